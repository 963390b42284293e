// Rereads: keys whose rows were read again for debts since a comparison began to look (V4).
//
//   sweep:  watch ──> S is taken ──────────> the target is read ──> may_have: in doubt ──> end
//   lane:              a row that was read again: note ──> it is committed
//
// Such a row may be of a later snapshot than S, while the stream has yet to bring what S does not
// see: it is not in Recent, and the debt that would tell of it is gone.  One that was noted before
// watch() is of an earlier snapshot than S, and what came after it has to come by the stream.
#pragma once

#include <cstddef>
#include <optional>
#include <span>
#include <unordered_set>

#include "pipeline/base/sync.h"
#include "pipeline/model/row.h"
#include "pipeline/model/table.h"

namespace lockstep {

// Safe for concurrent use: by the sweep, which looks at one table at a time, and by every lane.
//
// Invariant: may_have() answers true for each key of the table that was noted since watch().
class Rereads {
 public:
  // `keys_max`: where more were noted any key may be one of them.
  explicit Rereads(std::size_t keys_max = 100'000) : keys_max_(keys_max) {}

  // REQUIRES: called before S is taken.
  void watch(TableId table);
  // Nobody looks any more: nothing is kept until the next watch().
  void end();
  // REQUIRES: called before the rows are sent to the target.
  void note(TableId table, std::span<const Hash128> keys);
  bool may_have(const Hash128& key) const;

 private:
  const std::size_t keys_max_;
  mutable Mutex mutex_;
  std::optional<TableId> table_ GUARDED_BY(mutex_);
  std::unordered_set<Hash128, Hash128Hasher> keys_ GUARDED_BY(mutex_);
  bool too_many_ GUARDED_BY(mutex_) = false;
};

}  // namespace lockstep
