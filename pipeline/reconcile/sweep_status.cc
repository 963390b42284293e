// Sweep: what it tells of itself.
#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "pipeline/reconcile/sweep.h"

namespace lockstep {

SweepStatus Sweep::status() const {
  const MutexLock lock(mutex_);
  return status_;
}

SweepStatus Sweep::counts() const {
  const MutexLock lock(mutex_);
  return {status_.sweep,     status_.running, status_.continuous, status_.waits,
          status_.held_back, status_.tables,  status_.asked,      {}};
}

std::vector<std::pair<TableId, std::uint64_t>> Sweep::open_findings() const {
  const MutexLock lock(mutex_);
  std::vector<std::pair<TableId, std::uint64_t>> open;
  for (const auto& [id, table] : status_.tables) open.emplace_back(id, table.open_findings);
  return open;
}

// Of thousands of ranges those are shown that wait longest.
void Sweep::tell_ranges(Table& table) {
  constexpr std::size_t kRangesTold = 10;
  const std::uint64_t changes = table.ranges.changes();
  if (std::exchange(table.told_changes, changes) == changes) return;
  std::vector<SweptRange>& told = table.told.ranges;
  table.told.ranges_total = 0;
  told.clear();
  for (const auto order : {Compared::From::Source, Compared::From::Target}) {
    const bool of_target = order == Compared::From::Target;
    if (of_target && !table.ranges.two_orders()) continue;
    const Coverage& coverage = table.ranges.coverage(order);
    table.told.ranges_total += coverage.ranges();
    for (VerifiedRange& range : coverage.oldest(kRangesTold))
      told.push_back({std::move(range.range.lower), std::move(range.range.upper), range.position,
                      range.at_us, range.rows, of_target});
  }
  std::ranges::stable_sort(told, {}, &SweptRange::at_us);
  if (told.size() > kRangesTold) told.resize(kRangesTold);
}

void Sweep::tell(Table& table) const {
  TableSweep& told = table.told;
  tell_ranges(table);
  told.suspects = table.awaited_suspects();
  told.sample_matches = table.sample_matches;
  told.sample_divergences = table.sample_divergences;
  told.verified_through = table.ranges.verified_through();
  told.oldest_us = table.ranges.oldest_us();
  told.verified_rows = table.ranges.coverage(Compared::From::Source).rows();
  told.open_findings = table.open_count;
  told.repairs_wait = repairs_wait(table);
  told.no_digests = why_read(table);
  // Every range was compared after the last trouble: a clean pass began with the first of them.
  const bool clean = told.oldest_us > table.trouble_us && table.open_count == 0;
  if (!clean) table.clean_since_us = 0;
  if (clean && table.clean_since_us == 0) table.clean_since_us = told.oldest_us;
  if (told.oldest_us > table.unrest_us && table.open_count <= table.left_alone) table.repairs = 0;
  told.clean_since_us = table.clean_since_us;
}

void Sweep::publish() {
  const MutexLock lock(mutex_);
  status_.sweep = sweep_;
  status_.running = wanted_.has_value();
  status_.continuous = options_.continuous;
  status_.waits = waits_;
  status_.held_back = held_back_ == 0
                          ? ""
                          : fmt::format(
                                "{} repairs wait: no more than {} begin within a minute "
                                "(reconcile.repairs_per_minute)",
                                held_back_, options_.repairs_per_minute);
  status_.tables.clear();
  status_.asked.clear();
  for (TableId id = 0; id < tables_.size(); ++id) {
    Table& table = *tables_[id];
    tell(table);
    const bool running = table.asked;
    status_.running = status_.running || running;
    status_.tables.emplace_back(id, table.told);
    if (table.in_request) status_.asked.emplace_back(id, running ? table.told : table.answer);
  }
}

}  // namespace lockstep
