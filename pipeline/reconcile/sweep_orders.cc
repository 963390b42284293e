// Sweep: ranges of which each side has its own, since the two order keys otherwise (range_book.h),
// and ranges that turn out to be too large.
//
//   the source's: S ─> its rows of the range ─> proof (V3) ─> the target's rows of these keys
//   the target's: S ─> proof ─> its rows of the range ─> the source's rows of these keys, under S
//
// Both are of the two snapshots that any range is of, in the order that V3 asks for, and what is
// not equal is judged and looked at again as all rows are.  In memory is what the one side has of
// the range, as digests and keys; of the other there is no more.
#include <fmt/format.h>

#include <algorithm>
#include <span>
#include <utility>

#include "pipeline/reconcile/sweep.h"

namespace lockstep {

using From = Compared::From;

DigestReader& Sweep::reader_of(From side) const {
  return side == From::Source ? ports_.source : ports_.target;
}

Sweep::Rows& Sweep::rows_of(From side) {
  return side == From::Source ? source_rows_ : target_rows_;
}

// The next keys of the range that was read; once all were looked up they are judged.
Result<Sweep::Step> Sweep::look_up() {
  Table& table = *tables_[work_.table];
  const std::vector<std::string>& keys = rows_of(work_.order).keys;
  if (work_.looked_up == 0 && work_.order == From::Target) steer(table, keys.size());
  if (work_.looked_up == keys.size()) return judge_or_give_up();
  const From other = work_.order == From::Source ? From::Target : From::Source;
  const std::size_t count = std::min(keys.size() - work_.looked_up, many_keys(table.map));
  const auto next = std::span(keys).subspan(work_.looked_up, count);
  if (Status started = reader_of(other).start_keys(table.compared->view(other), next); !started)
    return give_up(std::move(started).error());
  work_.looked_up += count;
  state_ = other == From::Source ? State::Source : State::Target;
  return Step::Working;
}

// A range is cut where a server has so many rows of it, and rows come meanwhile.
bool Sweep::is_too_large(const Rows& rows) const {
  return rows.digests.size() > kRowsOfRange * options_.chunk_rows;
}

// The source's cuts do not bound the target's rows: only its own do.  So it is where the target has
// many rows alone, and where an order is not the one that the catalogs told of.
Result<Sweep::Step> Sweep::split_orders() {
  RangeBook& ranges = tables_[work_.table]->ranges;
  finish();
  LOCKSTEP_TRY(ranges.split());
  return Step::Working;
}

// The range has grown since it was cut.  One that does so again and again was never as small as its
// server said.
Result<Sweep::Step> Sweep::cut_again() {
  constexpr std::uint32_t kTimes = 10;
  Table& table = *tables_[work_.table];
  const From order = work_.order;
  finish();
  if (++table.too_large < kTimes) return Step::Working;
  table.too_large = 0;
  leave(
      table,
      fmt::format("the {0} has more than {1} rows between two keys of which it said that there "
                  "are fewer: the index of its key is damaged. REINDEX it",
                  order == From::Source ? "source" : "target", kRowsOfRange * options_.chunk_rows));
  publish();
  return Step::Working;
}

}  // namespace lockstep
