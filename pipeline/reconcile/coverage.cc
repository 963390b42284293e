#include "pipeline/reconcile/coverage.h"

#include <algorithm>
#include <map>
#include <utility>

#include "pipeline/base/result.h"
#include "pipeline/reconcile/urgency.h"

namespace lockstep {

Coverage::Coverage() : parts_{{{}, next_id_++}} {}

Coverage::Coverage(const std::vector<VerifiedRange>& stored, std::int64_t now_us) : Coverage() {
  std::map<std::optional<std::string>, const VerifiedRange*> by_lower;
  for (const VerifiedRange& range : stored) by_lower[range.range.lower] = &range;
  std::vector<Part> chain;
  std::optional<std::string> next;
  do {
    const auto found = by_lower.extract(next);
    if (found.empty()) return;
    const VerifiedRange& range = *found.mapped();
    chain.push_back({range, next_id_++, std::min(range.at_us, now_us)});
    next = range.range.upper;
  } while (next);
  parts_ = std::move(chain);
}

void Coverage::move_back(std::int64_t by_us) {
  for (Part& part : parts_) {
    part.is.at_us = moved_back(part.is.at_us, by_us);
    part.tried_us = moved_back(part.tried_us, by_us);
  }
}

void Coverage::ask() {
  for (Part& part : parts_) part.tried_us = 0;
}

bool Coverage::any_known() const {
  return std::ranges::any_of(parts_, [](const Part& part) { return part.is.known(); });
}

bool Coverage::is_due(const Part& part, std::int64_t before_us) const {
  return !part.busy && part.tried_us < before_us;
}

std::optional<Coverage::Due> Coverage::due(std::int64_t before_us, std::uint64_t rows,
                                           std::int64_t soon_us) const {
  auto first = parts_.end();
  double urgency = 0;
  for (auto part = parts_.begin(); part != parts_.end(); ++part) {
    if (!is_due(*part, before_us)) continue;
    const double its = urgency_of(before_us - part->tried_us, part->findings);
    if (its <= urgency) continue;
    first = part;
    urgency = its;
  }
  if (first == parts_.end()) return std::nullopt;
  KeyRange range = first->is.range;
  if (!first->is.known()) return Due{range, false, urgency};
  std::uint64_t joined = first->is.rows;
  for (auto part = first + 1; part != parts_.end(); ++part) {
    joined += part->is.rows;
    if (!is_due(*part, before_us + soon_us) || !part->is.known() || joined > rows) break;
    range.upper = part->is.range.upper;
  }
  return Due{range, true, urgency};
}

std::optional<Coverage::RangeId> Coverage::take(const KeyRange& range,
                                                const std::optional<std::string>& cut) {
  const auto first =
      std::ranges::find(parts_, range.lower, [](const Part& part) { return part.is.range.lower; });
  CHECK(first != parts_.end());
  auto last = first;
  while (last->is.range.upper != range.upper) ++last;
  const auto begins_at_cut = [&](const Part& part) { return part.is.range.lower == cut; };
  if (cut && (std::any_of(parts_.begin(), first + 1, begins_at_cut) ||
              std::any_of(last + 1, parts_.end(), begins_at_cut)))
    return std::nullopt;
  // The whole knows no more than the least of its parts.
  Part whole = *first;
  change_ = {};
  for (auto part = first + 1; part <= last; ++part) {
    whole.is.at_us = std::min(whole.is.at_us, part->is.at_us);
    whole.is.position = std::min(whole.is.position, part->is.position);
    whole.is.rows += part->is.rows;
    whole.findings += part->findings;
    whole.tried_us = std::min(whole.tried_us, part->tried_us);
    change_.gone.push_back(part->is.range.lower);
  }
  whole.is.range.upper = range.upper;
  const auto at = first - parts_.begin();
  parts_.erase(first + 1, last + 1);
  if (cut) {
    Part rest = whole;
    rest.id = next_id_++;
    rest.is.range.lower = whole.is.range.upper = cut;
    rest.is.rows = 0;
    change_.put.push_back(rest.is);
    // Where the cut is an old bound again, the rest is written in its place.
    std::erase(change_.gone, cut);
    parts_.insert(parts_.begin() + at + 1, std::move(rest));
  }
  if (cut || !change_.gone.empty()) change_.put.push_back(whole.is);
  whole.busy = true;
  whole.id = next_id_++;
  parts_[static_cast<std::size_t>(at)] = std::move(whole);
  return parts_[static_cast<std::size_t>(at)].id;
}

Coverage::Part& Coverage::part(RangeId id) {
  const auto found = std::ranges::find(parts_, id, &Part::id);
  CHECK(found != parts_.end());
  return *found;
}

VerifiedRange Coverage::verified(RangeId id, const VerifiedRange& result, std::uint64_t findings) {
  Part& found = part(id);
  found.findings = findings;
  found.is.at_us = found.tried_us = result.at_us;
  found.is.position = result.position;
  found.is.rows = result.rows;
  found.busy = false;
  return found.is;
}

void Coverage::untold(RangeId id, std::int64_t now_us) {
  Part& found = part(id);
  found.tried_us = now_us;
  found.busy = false;
}

void Coverage::released(RangeId id) { part(id).busy = false; }

void Coverage::release_all() {
  for (Part& part : parts_) part.busy = false;
}

bool Coverage::busy() const { return std::ranges::any_of(parts_, &Part::busy); }

std::optional<Lsn> Coverage::verified_through() const {
  Lsn least = parts_.front().is.position;
  for (const Part& part : parts_) {
    if (!part.is.known()) return std::nullopt;
    least = std::min(least, part.is.position);
  }
  return least;
}

std::int64_t Coverage::oldest_us() const {
  return std::ranges::min(parts_, {}, [](const Part& part) { return part.is.at_us; }).is.at_us;
}

std::vector<VerifiedRange> Coverage::oldest(std::size_t most) const {
  std::vector<const Part*> parts;
  for (const Part& part : parts_) parts.push_back(&part);
  const auto end = parts.begin() + static_cast<std::ptrdiff_t>(std::min(most, parts.size()));
  std::ranges::partial_sort(parts, end, {}, [](const Part* part) { return part->is.at_us; });
  std::vector<VerifiedRange> ranges;
  for (auto part = parts.begin(); part != end; ++part) ranges.push_back((*part)->is);
  return ranges;
}

std::uint64_t Coverage::rows() const {
  std::uint64_t rows = 0;
  for (const Part& part : parts_) rows += part.is.known() ? part.is.rows : 0;
  return rows;
}

}  // namespace lockstep
