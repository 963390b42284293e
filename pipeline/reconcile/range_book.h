// RangeBook: the ranges of one table, kept across restarts, and what of them is being compared.
//
//   due() ─> take() ─> compared(suspects) ─> suspect_over() for each ─> verified, and stored
//
// A range is verified once all its rows were compared: those that were in doubt, or differed, are
// looked at again by key, and the range waits for the last of them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <string>

#include "pipeline/base/result.h"
#include "pipeline/ports/verified.h"
#include "pipeline/reconcile/coverage.h"

namespace lockstep {

// The sweep's thread.  Every error is the store's.
class RangeBook {
 public:
  using RangeId = Coverage::RangeId;

  // `table`: as people write it.  Borrows the store.
  RangeBook(VerifiedStore& store, std::string table) : store_(store), table_(std::move(table)) {}

  // Goes on with what is stored.
  Status load(std::int64_t now_us);
  // The wall clock was set back by so much: nothing was compared in what is the future now.
  void move_back(std::int64_t by_us);
  // Every range is due again.
  void ask() { coverage_.ask(); }
  // The table was copied again: nothing of it was compared.
  Status forget();

  const Coverage& coverage() const { return coverage_; }
  bool busy() const { return coverage_.busy(); }
  // Rises when the ranges have changed, or what is known of one.
  std::uint64_t changes() const { return changes_; }

  // Coverage::take(), and the cut is stored.
  Result<RangeId> take(const KeyRange& range, const std::optional<std::string>& cut);
  // The range was read on both sides; `suspects` of its keys are looked at again.
  Status compared(RangeId id, VerifiedRange result, std::size_t suspects);
  // One of its suspects is none any more: it was compared under some later snapshot, or it cannot
  // be.
  enum class Outcome : std::uint8_t { Equal, Found, Untold };
  Status suspect_over(RangeId id, Outcome outcome);
  // Nothing was compared of it.
  void released(RangeId id);
  // The same of all that are being compared.
  void release_all();

 private:
  struct Open {
    VerifiedRange result;
    std::size_t suspects = 0;
    std::uint64_t findings = 0;
    bool untold = false;  // One of them could not be compared.
  };
  Status settle(RangeId id, const Open& open);

  VerifiedStore& store_;
  const std::string table_;
  Coverage coverage_;
  std::uint64_t changes_ = 1;
  std::map<RangeId, Open> open_;  // Read on both sides, and not settled.
};

}  // namespace lockstep
