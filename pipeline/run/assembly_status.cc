// What is told of a run while it goes on.
#include <fmt/format.h>

#include <algorithm>
#include <string>
#include <vector>

#include "pipeline/run/assembly.h"

namespace lockstep {

bool Assembly::any_stopped() const {
  const std::vector<TableStatus> all = board_.all();
  return std::ranges::any_of(all, [](const auto& table) { return table.life.is_stopped(); });
}

// What the servers bear, and whether lanes get done what they have to do.
void Assembly::show_load(RunStatus& status) const {
  status.throttled = governor_.throttled();
  status.kept_wal = ports_.control.kept_wal();
  if (ports_.control.paused(Scope::Apply)) return;
  const auto now = ports_.clock.now().time_since_epoch();
  std::chrono::steady_clock::duration longest{};
  for (const auto& since : stuck_since_) {
    const std::chrono::steady_clock::duration begun(since.load(std::memory_order_relaxed));
    if (begun.count() != 0) longest = std::max(longest, now - begun);
  }
  status.stuck_seconds = std::chrono::duration<double>(longest).count();
}

// Of each pause what began before it and has not ended.
void Assembly::show_under_way(RunStatus& status) const {
  for (PausedScope& held : status.paused) {
    const bool of_table = held.scope == "table";
    const bool moves = of_table && std::ranges::any_of(tables_, [&](const TableMap* table) {
                         return table->text() == held.table;
                       });
    held.waits_for = under_way_.waits_for(of_table ? held_table(held.table) : held.scope, moves);
    if (!held.waits_for.empty())
      status.waiting_for.push_back(fmt::format("{}, before the pause of {} is in force",
                                               held.waits_for, of_table ? held.table : held.scope));
  }
}

RunStatus Assembly::status() const {
  RunStatus status = supervisor_.status();
  const SweepStatus sweep = sweep_.counts();
  const std::vector<std::string> trouble = sweep_health_.waiting();
  show_pauses(ports_.control.pauses(), status);
  show_under_way(status);
  status.reconcile = ports_.control.paused(Scope::Reconcile) ? "paused"
                     : sweep.running                         ? "as asked"
                     : !trouble.empty()                      ? "waits: " + trouble.front()
                     : !sweep.continuous                     ? "off"
                     : sweep.waits.empty()                   ? "continuous"
                                                             : "waits: " + sweep.waits;
  show_load(status);
  if (!sweep.held_back.empty()) status.reconcile += "; " + sweep.held_back;
  for (const auto& [id, table] : sweep.tables) {
    if (id >= status.tables.size()) continue;
    status.tables[id].sweep = table;
    if (status.tables[id].counts.life.stage == Stage::Healing && !table.left.empty())
      status.waiting_for.push_back("rows of " + tables_[id]->text() + " to compare: " + table.left);
  }
  return status;
}

}  // namespace lockstep
