// Coverage: which ranges of a table's keys were compared, when, and at which position.
//
//   due() ─> a range ─> take(cut) ─> it is compared ─> verified() | untold() | released()
//
// The ranges cover everything from the lowest key to the highest, without a gap or an overlap: a
// range is cut where a server says, and its rest stays what it was.  Keys are never compared here:
// only that server knows their order.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "pipeline/ports/verified.h"

namespace lockstep {

// A change of the ranges, as VerifiedStore::save_ranges() takes it.
struct CoverageChange {
  std::vector<VerifiedRange> put;
  std::vector<std::optional<std::string>> gone;
};

// A time by a clock that was set back by so much; 0, which stands for never, stays.
inline std::int64_t moved_back(std::int64_t at_us, std::int64_t by_us) {
  return at_us == 0 ? 0 : std::max<std::int64_t>(1, at_us - by_us);
}

// One thread.
//
// Invariant: each range's upper bound is the next one's lower bound, the first has no lower bound
// and the last has no upper bound.
class Coverage {
 public:
  using RangeId = std::uint64_t;

  // One range that was never compared.
  Coverage();
  // The stored ranges, in any order; one that was never compared where they leave a gap.  None was
  // tried after `now_us`: a clock may have been put back.
  Coverage(const std::vector<VerifiedRange>& stored, std::int64_t now_us);

  // The wall clock was set back by so much: every time keeps its age.
  void move_back(std::int64_t by_us);
  // Every range is due again, whatever the clock says.
  void ask();

  // Of the ranges that were tried before `before_us` the most urgent one, which as a rule was tried
  // longest ago; neighbours that are due, too, or will be within `soon_us`, join it while all of
  // them had at most `rows` rows.
  struct Due {
    KeyRange range;
    bool known = false;  // About how many rows it has.
    double urgency = 0;  // Without the changes of its table (urgency.h).
  };
  std::optional<Due> due(std::int64_t before_us, std::uint64_t rows,
                         std::int64_t soon_us = 0) const;
  // Cuts `range` off at `cut` (nothing: it stays whole): that part is being compared from now on.
  // Nothing is taken where another range begins at `cut`, which then cannot lie within this one.
  // REQUIRES: due() answered it last.
  std::optional<RangeId> take(const KeyRange& range, const std::optional<std::string>& cut);
  // What take() changed.
  CoverageChange taken() const { return change_; }

  // All rows of it were compared, at `position` or later; so many were not equal.
  VerifiedRange verified(RangeId id, const VerifiedRange& result, std::uint64_t findings);
  // Some row of it could not be compared: what was known of it stays.
  void untold(RangeId id, std::int64_t now_us);
  // Nothing was compared, of this range or of all that are being compared.
  void released(RangeId id);
  void release_all();

  bool busy() const;
  // Whether any range was ever compared.
  bool any_known() const;
  // The least position of all ranges; nothing while one was never compared.
  std::optional<Lsn> verified_through() const;
  // When the range was compared that was compared longest ago; 0 while one never was.
  std::int64_t oldest_us() const;
  // Rows of the ranges that were compared.
  std::uint64_t rows() const;
  std::size_t ranges() const { return parts_.size(); }
  // The ranges that wait longest for their comparison, at most so many.
  std::vector<VerifiedRange> oldest(std::size_t most) const;
  // In the order of the keys.
  const VerifiedRange& range(std::size_t i) const { return parts_[i].is; }

 private:
  struct Part {
    VerifiedRange is;
    RangeId id = 0;
    std::int64_t tried_us = 0;
    bool busy = false;           // It is being compared.
    std::uint64_t findings = 0;  // When it was last compared by this process.
  };
  bool is_due(const Part& part, std::int64_t before_us) const;
  Part& part(RangeId id);

  RangeId next_id_ = 1;      // First: what follows takes one.
  std::vector<Part> parts_;  // In the order of the keys.
  CoverageChange change_;
};

}  // namespace lockstep
