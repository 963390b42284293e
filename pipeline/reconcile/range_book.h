// RangeBook: the ranges of one table, kept across restarts, and what of them is being compared.
//
//   due() ─> take() ─> compared(suspects) ─> suspect_over() for each ─> verified, and stored
//
// A range is verified once all its rows were compared: those that were in doubt, or differed, are
// looked at again by key, and the range waits for the last of them.
//
// One order of keys, or two.  A range is what lies between two keys, and each server reads it by
// its own index, so in its own order.  Where both have one order, one chain of ranges does, which
// the source cuts: what it has between two keys the target has there, too.
//
// Where they have not (en_US and C, an enum whose labels stand otherwise) the target has other rows
// between two keys, any number of them, and none where the first comes behind the second.  Such a
// chain would still meet every row: one of the source lies in one range, and one of the target in
// at least one, since a chain that begins below a key and ends above it has a link that goes from
// what is not above to what is, in any order.  But most rows would be met in different ranges, and
// looked for one by one, and those of a range would have no bound.  So each side then has a chain
// of its own, which that server alone cuts and reads:
//
//   the source's: its rows of a range, and the target's of the same keys ─> missing, differing
//   the target's: its rows of a range, and the source's of the same keys ─> rows it has alone
//
// The table was compared once both chains were, at the least position of both.  So that a range of
// the source's alone is never taken for more, also by another process, two chains stay two until
// all that was compared is forgotten.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <string>

#include "pipeline/base/result.h"
#include "pipeline/ports/verified.h"
#include "pipeline/reconcile/coverage.h"
#include "pipeline/tables/compared.h"

namespace lockstep {

// What a store calls the ranges of its own that the target has of a table.  None is called so,
// since no schema has an empty name.
std::string target_ranges(const std::string& table);

// The sweep's thread.  Every error is the store's, but for those of take().
class RangeBook {
 public:
  using RangeId = Coverage::RangeId;  // Distinct over both chains; never 0.
  using From = Compared::From;        // Whose order a range is of.

  // `table`: as people write it.  `two_orders`: both sides are known to order its keys otherwise.
  // Borrows the store.
  RangeBook(VerifiedStore& store, std::string table, bool two_orders)
      : store_(store), table_(std::move(table)), known_orders_(two_orders) {}

  // Goes on with what is stored.
  Status load(std::int64_t now_us);
  // The wall clock was set back by so much: nothing was compared in what is the future now.
  void move_back(std::int64_t by_us);
  // The target has ranges of its own from now on, of which none was compared.
  Status split();
  bool two_orders() const { return target_.has_value(); }
  // Every range is due again.
  void ask();
  // The table was copied again: nothing of it was compared.
  Status forget();

  // REQUIRES of Target: two_orders().
  const Coverage& coverage(From order) const { return order == From::Source ? source_ : *target_; }
  bool busy() const { return source_.busy() || (target_ && target_->busy()); }
  bool any_known() const { return source_.any_known() || (target_ && target_->any_known()); }
  // As Coverage has them, of all ranges.
  std::optional<Lsn> verified_through() const;
  std::int64_t oldest_us() const;
  // Rises when the ranges have changed, or what is known of one.
  std::uint64_t changes() const { return changes_; }

  struct Due : Coverage::Due {
    From order = From::Source;
  };
  // Coverage::due(), of both chains.
  std::optional<Due> due(std::int64_t before_us, std::uint64_t rows,
                         std::int64_t soon_us = 0) const;
  // Coverage::take(), and the cut is stored.  StopTable where another range begins at `cut`: then
  // nothing of the table counts as compared any more.
  Result<RangeId> take(From order, const KeyRange& range, const std::optional<std::string>& cut);
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
  static From order_of(RangeId id) { return id % 2 == 0 ? From::Source : From::Target; }
  Coverage& chain(From order) { return order == From::Source ? source_ : *target_; }
  std::string stored_as(From order) const;

  VerifiedStore& store_;
  const std::string table_;
  const bool known_orders_;
  Coverage source_;
  std::optional<Coverage> target_;  // Where it has ranges of its own.
  std::uint64_t changes_ = 1;
  std::map<RangeId, Open> open_;  // Read on both sides, and not settled.
};

}  // namespace lockstep
