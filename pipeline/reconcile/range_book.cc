#include "pipeline/reconcile/range_book.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>
#include <vector>

namespace lockstep {

std::string target_ranges(const std::string& table) { return "." + table; }

std::string RangeBook::stored_as(From order) const {
  return order == From::Source ? table_ : target_ranges(table_);
}

Status RangeBook::load(std::int64_t now_us) {
  LOCKSTEP_ASSIGN(const std::vector<VerifiedRange> of_source,
                  store_.load_ranges(stored_as(From::Source)));
  LOCKSTEP_ASSIGN(const std::vector<VerifiedRange> of_target,
                  store_.load_ranges(stored_as(From::Target)));
  source_ = Coverage(of_source, now_us);
  ++changes_;
  if (of_target.empty()) return known_orders_ ? split() : Status();
  target_ = Coverage(of_target, now_us);
  return {};
}

// Stored before anything is compared: who finds no range of the target takes one of the source for
// one of both.
Status RangeBook::split() {
  const VerifiedRange everything;
  LOCKSTEP_TRY(store_.save_ranges(stored_as(From::Target), {&everything, 1}, {}));
  target_ = Coverage();
  ++changes_;
  return {};
}

void RangeBook::move_back(std::int64_t by_us) {
  source_.move_back(by_us);
  if (target_) target_->move_back(by_us);
  for (auto& [id, open] : open_) open.result.at_us = moved_back(open.result.at_us, by_us);
  ++changes_;
}

void RangeBook::ask() {
  source_.ask();
  if (target_) target_->ask();
}

Status RangeBook::forget() {
  for (const From order : {From::Source, From::Target})
    LOCKSTEP_TRY(store_.forget_ranges(stored_as(order)));
  source_ = Coverage();
  target_.reset();
  ++changes_;
  open_.clear();
  return known_orders_ ? split() : Status();
}

std::optional<Lsn> RangeBook::verified_through() const {
  const std::optional<Lsn> of_source = source_.verified_through();
  if (!target_ || !of_source) return of_source;
  const std::optional<Lsn> of_target = target_->verified_through();
  return of_target ? std::min(of_source, of_target) : of_target;
}

std::int64_t RangeBook::oldest_us() const {
  return target_ ? std::min(source_.oldest_us(), target_->oldest_us()) : source_.oldest_us();
}

std::optional<RangeBook::Due> RangeBook::due(std::int64_t before_us, std::uint64_t rows,
                                             std::int64_t soon_us) const {
  std::optional<Due> next;
  if (auto of_source = source_.due(before_us, rows, soon_us))
    next = Due{std::move(*of_source), From::Source};
  if (!target_) return next;
  auto of_target = target_->due(before_us, rows, soon_us);
  if (of_target && (!next || of_target->urgency > next->urgency))
    next = Due{std::move(*of_target), From::Target};
  return next;
}

// The cut first: a range that is stored later finds its neighbours in place.
Result<RangeBook::RangeId> RangeBook::take(From order, const KeyRange& range,
                                           const std::optional<std::string>& cut) {
  Coverage& ranges = chain(order);
  const auto id = ranges.take(range, cut);
  if (!id) {
    LOCKSTEP_TRY(forget());
    return fail(Reaction::StopTable,
                fmt::format("a key of the {0} lies between two others by its index and does not by "
                            "the ranges that were compared before: the index of the key is "
                            "damaged, or its collation was changed. REINDEX the {0}'s table unless "
                            "that is known to be right; all of it is compared anew",
                            order == From::Source ? "source" : "target"));
  }
  ++changes_;
  const CoverageChange change = ranges.taken();
  if (!change.put.empty())
    LOCKSTEP_TRY(store_.save_ranges(stored_as(order), change.put, change.gone));
  return 2 * *id + (order == From::Source ? 0 : 1);
}

Status RangeBook::compared(RangeId id, VerifiedRange result, std::size_t suspects) {
  const Open open{std::move(result), suspects, 0, false};
  if (suspects == 0) return settle(id, open);
  open_[id] = open;
  return {};
}

Status RangeBook::suspect_over(RangeId id, Outcome outcome) {
  const auto found = open_.find(id);
  if (found == open_.end()) return {};
  Open& open = found->second;
  open.untold = open.untold || outcome == Outcome::Untold;
  open.findings += outcome == Outcome::Found ? 1 : 0;
  if (--open.suspects > 0) return {};
  const Open last = std::move(open);
  open_.erase(found);
  return settle(id, last);
}

Status RangeBook::settle(RangeId id, const Open& open) {
  Coverage& ranges = chain(order_of(id));
  if (open.untold) {
    ranges.untold(id / 2, open.result.at_us);
    return {};
  }
  ++changes_;
  const VerifiedRange now = ranges.verified(id / 2, open.result, open.findings);
  return store_.save_ranges(stored_as(order_of(id)), {&now, 1}, {});
}

void RangeBook::released(RangeId id) { chain(order_of(id)).released(id / 2); }

void RangeBook::release_all() {
  open_.clear();
  source_.release_all();
  if (target_) target_->release_all();
}

}  // namespace lockstep
