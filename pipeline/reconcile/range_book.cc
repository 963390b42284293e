#include "pipeline/reconcile/range_book.h"

#include <utility>
#include <vector>

namespace lockstep {

Status RangeBook::load(std::int64_t now_us) {
  LOCKSTEP_ASSIGN(const std::vector<VerifiedRange> stored, store_.load_ranges(table_));
  coverage_ = Coverage(stored, now_us);
  ++changes_;
  return {};
}

void RangeBook::move_back(std::int64_t by_us) {
  coverage_.move_back(by_us);
  for (auto& [id, open] : open_) open.result.at_us = moved_back(open.result.at_us, by_us);
  ++changes_;
}

Status RangeBook::forget() {
  LOCKSTEP_TRY(store_.forget_ranges(table_));
  coverage_ = Coverage();
  ++changes_;
  open_.clear();
  return {};
}

// The cut first: a range that is stored later finds its neighbours in place.
Result<RangeBook::RangeId> RangeBook::take(const KeyRange& range,
                                           const std::optional<std::string>& cut) {
  const RangeId id = coverage_.take(range, cut);
  ++changes_;
  const CoverageChange change = coverage_.taken();
  if (!change.put.empty()) LOCKSTEP_TRY(store_.save_ranges(table_, change.put, change.gone));
  return id;
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
  if (open.untold) {
    coverage_.untold(id, open.result.at_us);
    return {};
  }
  ++changes_;
  const VerifiedRange now = coverage_.verified(id, open.result, open.findings);
  return store_.save_ranges(table_, {&now, 1}, {});
}

void RangeBook::released(RangeId id) { coverage_.released(id); }

void RangeBook::release_all() {
  open_.clear();
  coverage_.release_all();
}

}  // namespace lockstep
