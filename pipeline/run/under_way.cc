#include "pipeline/run/under_way.h"

#include <fmt/format.h>

#include <algorithm>

namespace lockstep {

void UnderWay::Part::take_turn() {
  if (turns.load() % 2 == 0) turns.fetch_add(1);
}

void UnderWay::Part::end(bool works, bool done) {
  if (done && turns.load() % 2 == 1) turns.fetch_add(1);
  at_work.store(works);
}

UnderWay::Turns UnderWay::turns_of(const Parts& parts) {
  Turns turns;
  for (const Part& part : parts) turns.push_back(part.turns.load());
  return turns;
}

std::size_t UnderWay::working(const Parts& parts) {
  return static_cast<std::size_t>(
      std::ranges::count_if(parts, [](const Part& part) { return part.at_work.load(); }));
}

std::size_t UnderWay::still(const Parts& parts, const Turns& then) {
  std::size_t count = 0;
  for (std::size_t i = 0; i < parts.size(); ++i)
    if (then[i] % 2 == 1 && parts[i].turns.load() == then[i]) ++count;
  return count;
}

void UnderWay::holds_table(std::string_view table) {
  const MutexLock lock(mutex_);
  if (!tables_.contains(table)) tables_.emplace(table, Held{turns_of(lanes_), turns_of(scanners_)});
}

std::string UnderWay::waits_for(std::string_view name, bool table_moves) const {
  if (name == part_text(Scope::Apply)) {
    const std::size_t lanes = working(lanes_);
    return lanes == 0 ? ""
                      : fmt::format("{} of {} lanes to end what they write to the target", lanes,
                                    lanes_.size());
  }
  if (name == part_text(Scope::Backfill)) {
    const std::size_t chunks = working(scanners_);
    return chunks == 0
               ? ""
               : fmt::format("{} of {} scanners to give up their chunks", chunks, scanners_.size());
  }
  if (name == part_text(Scope::Reconcile))
    return sweep_.load() ? "what is being compared to be given up" : "";
  const auto table = table_of_held(name);
  if (!table || !table_moves) return {};
  const MutexLock lock(mutex_);
  const auto held = tables_.find(*table);
  if (held == tables_.end()) return "the supervisor to hold the table";
  const std::size_t lanes = still(lanes_, held->second.lanes);
  const std::size_t scanners = still(scanners_, held->second.scanners);
  if (lanes + scanners == 0) return {};
  return fmt::format("{} lanes and {} scanners to end what they write to the target", lanes,
                     scanners);
}

}  // namespace lockstep
