// Fold: turns one batch of a lane into runs of writes, as few as the rules allow (I19).
//
//   lane's items -> Effects in order -> Fold -> Runs -> Target::apply
//
// Several effects of one key become one; effects of different keys change places only where nothing
// but the primary key is unique.
#pragma once

#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "pipeline/base/arena.h"
#include "pipeline/ports/target.h"

namespace lockstep {

// One thing a lane wants done to one key.  `row` and `key` borrow from the batch.
struct Effect {
  const TableMap* table = nullptr;
  WriteKind kind = WriteKind::Upsert;
  DebtRule rule = DebtRule::Clear;
  Holders holders = Holders::Stay;
  const Snapshot* snapshot = nullptr;
  Write write;
};

// Not thread-safe: one per lane, cleared per batch.
//
// Invariant: executing the runs in order leaves the target as executing the effects in order would.
class Fold {
 public:
  void add(const Effect& effect);
  // Returns the runs; rows merged on the way are owned by this object until clear().
  std::vector<Run> runs();
  void clear();

 private:
  // Effects of one table between two cuts; in arrival order of their keys.
  struct Stage {
    std::vector<Effect> effects;
    std::unordered_map<Hash128, std::size_t, Hash128Hasher> by_key;
  };
  struct TableStages {
    const TableMap* table = nullptr;
    std::vector<Stage> stages;
  };

  TableStages& stages_of(const TableMap* table);
  // Folds `next` into `prior` when the pair allows it.
  bool fold(Effect& prior, const Effect& next);
  std::string_view merge(std::string_view prior, std::string_view next);

  std::vector<TableStages> tables_;
  Arena arena_;
  std::string scratch_;
};

}  // namespace lockstep
