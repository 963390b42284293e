// What a lane tells of a batch once it is committed: how much of what, and keys to be compared.
#include <algorithm>
#include <numeric>

#include "pipeline/apply/lane.h"
#include "pipeline/model/key.h"

namespace lockstep {

void Lane::count_change(const Change& change) {
  ++counts_.applied[change.table][static_cast<std::size_t>(change.kind)];
  if (counts_.commits.empty() || counts_.commits.back().first != change.commit_us)
    counts_.commits.emplace_back(change.commit_us, 0);
  ++counts_.commits.back().second;
}

void Lane::count_batch(const ApplyOutcome& outcome) {
  Meters& meters = shared_.meters;
  for (const auto& [table, by_kind] : counts_.applied) {
    for (std::size_t kind = 0; kind < by_kind.size(); ++kind)
      table_meters_[table]->applied[kind].add(by_kind[kind]);
    const auto all = std::accumulate(by_kind.begin(), by_kind.end(), std::uint64_t{0});
    shared_.board.events_applied(table, all);
  }
  const std::int64_t now_us = shared_.clock.wall_us();
  const std::int64_t source_now_us = shared_.source_clock.at(now_us);
  Histogram::Gathered latency(meters.apply_latency);
  for (const auto& [commit_us, times] : counts_.commits)  // 0: nobody knows when.
    if (commit_us != 0)
      latency.add(std::max(0.0, static_cast<double>(source_now_us - commit_us) / 1e6), times);
  meters.apply_latency.add(latency);
  if (!counts_.commits.empty()) meters.last_applied_us.store(now_us, std::memory_order_relaxed);
  meters.skipped_applied.add(counts_.skipped_applied);
  meters.skipped_stopped.add(counts_.skipped_stopped);
  for (const DebtOpened& debt : outcome.opened)
    meters.debts[static_cast<std::size_t>(debt.reason)].add(1);
  meters.quarantined.add(outcome.set_aside);
  if (batch_.empty()) return;  // Only a position was committed.
  meters.batches.add(1);
  meters.batch_rows.add(static_cast<double>(batch_rows_));
  meters.rows_written.add(outcome.rows_written);
}

// A few of the keys that were just committed, from all over the batch.
void Lane::sample_batch() {
  std::size_t changes = 0;
  for (const auto& [commit_us, times] : counts_.commits) changes += times;
  if (changes == 0) return;
  std::size_t wanted = shared_.sample.allowance(shared_.clock.now());
  if (wanted == 0) return;
  const std::size_t every = std::max<std::size_t>(1, changes / wanted);
  std::size_t next = 0;
  for (const LaneItem& item : batch_) {
    const auto* of_item = std::get_if<ChangesItem>(&item);
    if (of_item == nullptr) continue;
    for (const Change& change : of_item->changes) {
      if (wanted == 0) return;
      if (next++ % every != 0) continue;
      --wanted;
      const bool is_row = change.kind != ChangeKind::Delete;
      if (is_row && !extract_key(*shared_.tables[change.table], change.row, scratch_)) continue;
      shared_.sample.add({change.table, is_row ? scratch_ : change.row});
    }
  }
}

}  // namespace lockstep
