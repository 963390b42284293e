#include "daemon/run_state.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "connectors/postgres/wire/rows.h"
#include "daemon/offline_status.h"

namespace lockstep {

void RunState::waiting(const std::string& reason) {
  const MutexLock lock(mutex_);
  prepare_wait_.waits(reason, std::chrono::steady_clock::now());
}

bool RunState::wait(std::chrono::milliseconds time) {
  if (!aborted()) stopped_.wait(time);
  const MutexLock lock(mutex_);
  prepare_wait_.tries(std::chrono::steady_clock::now());
  return !stopped_.raised() && !aborted();
}

// An order that comes while it leaves finds it parked still, or is seen here.
bool RunState::park() {
  constexpr std::chrono::milliseconds kLook{200};
  while (aborted() && !stopped_.raised()) {
    parked_.store(true);
    parts_->abort.wake();
    while (aborted() && !stopped_.raised()) stopped_.wait(kLook);
    parked_.store(false);
  }
  return !stopped_.raised();
}

void RunState::running(Runner& runner, const Prepared& prepared) {
  bool again = false;
  {
    const MutexLock lock(mutex_);
    runner_ = &runner;
    ++runs_;
    prepared_ = &prepared;
    left_out_ = prepared.left_out;
    asked_of_.clear();
    asked_after_ = 0;
    broken_off_ = aborted();
    prepare_wait_.clear();
    again = resume_;
  }
  if (stopped_.raised() || aborted() || again) runner.stop();
}

void RunState::preparing_anew() {
  const MutexLock lock(mutex_);
  resume_ = false;
}

bool RunState::take_abort() {
  const MutexLock lock(mutex_);
  return (std::exchange(broken_off_, false) && !stopped_.raised()) || aborted();
}

void RunState::finished(RunStatus last) {
  const MutexLock lock(mutex_);
  runner_ = nullptr;
  prepared_ = nullptr;
  last_ = std::move(last);
  preparing_ = std::chrono::steady_clock::now();
}

void RunState::stop() {
  stopped_.raise();
  const MutexLock lock(mutex_);
  if (runner_ != nullptr) runner_->stop();
}

void RunState::resume() {
  const MutexLock lock(mutex_);
  resume_ = true;
  if (runner_ != nullptr) runner_->stop();
}

bool RunState::take_resume() {
  const MutexLock lock(mutex_);
  return std::exchange(resume_, false) && !stopped_.raised();
}

std::vector<StoppedTable> RunState::stopped_tables() const {
  const MutexLock lock(mutex_);
  std::vector<StoppedTable> stopped;
  if (runner_ == nullptr) return stopped;
  for (const RunTableStatus& table : status().tables)
    if (!table.stopped.empty() && !table.counts.life.paused)
      stopped.push_back({table.table, table.stopped});
  return stopped;
}

void RunState::explain(const ResumeWatch::Obstacles& obstacles) {
  const MutexLock lock(mutex_);
  obstacles_ = obstacles;
}

// The supervisor keeps that of a table of the run for a daemon that is down; of one that the run
// left alone nobody else does.
Status RunState::restate(const StoppedTable& table) {
  const MutexLock lock(mutex_);
  if (runner_ == nullptr) return {};
  for (const TableMap* map : prepared_->tables)
    if (map->text() == table.table) runner_->restate(map->id, table.reason);
  const auto left_out = std::ranges::find(left_out_, table.table, &LeftOut::table);
  if (left_out == left_out_.end()) return {};
  left_out->reason = table.reason;
  return note_left_out(store_, left_out_);
}

std::string RunState::explained(const RunTableStatus& table) const {
  if (table.counts.life.paused)
    return fmt::format(
        "{}; its changes wait in the source's log; next: lockstep resume {} --table '{}'",
        table.stopped, manifest_.path, table.table);
  const auto known = obstacles_.find(table.table);
  if (known == obstacles_.end())
    return fmt::format(
        "{}; next: put that right, then lockstep resume {} --table '{}'; or leave it "
        "out with `skip: true`",
        table.stopped, manifest_.path, table.table);
  const std::string obstacles = fmt::format("{}", fmt::join(known->second, "; "));
  const std::string reason = table.stopped == obstacles ? "" : table.stopped + "; next: ";
  return reason + obstacles + "; it goes on by itself then, or is left out with `skip: true`";
}

std::string RunState::unfinished() const {
  constexpr std::size_t kShownMax = 3;
  const MutexLock lock(mutex_);
  std::vector<std::string> lines = last_.waiting_for;
  if (lines.size() > kShownMax) {
    const std::string more = fmt::format("and {} more", lines.size() - kShownMax);
    lines.resize(kShownMax);
    lines.push_back(more);
  }
  return fmt::format("{}", fmt::join(lines, "; "));
}

// Nobody measures: of the run before only its tables are shown.
RunStatus RunState::between_runs() const {
  using Seconds = std::chrono::duration<double>;
  const auto now = std::chrono::steady_clock::now();
  RunStatus status;
  status.tables = last_.tables;
  status.positions = last_.positions;
  status.phase = stopped_.raised() ? Phase::Drain : Phase::Prepare;
  status.lag_unknown_seconds = Seconds(now - preparing_).count();
  if (const auto waits = prepare_wait_.shown(now)) {
    status.waiting_for = {waits->reason};
    status.prepare_waits_seconds = waits->seconds;
  }
  show_pauses(steering_.control().pauses(), status);
  status.kept_wal = steering_.control().kept_wal();
  return status;
}

RunStatus RunState::status() const {
  RunStatus status = runner_ != nullptr ? runner_->status() : between_runs();
  if (aborted()) {
    status.phase = Phase::Aborted;
    status.abort_waits_for = parts_->abort.waits_for();
    // What the run waits for counts no more; who has ordered this does.
    status.waiting_for.clear();
    std::vector<PausedScope> held = std::move(status.paused);
    show_pauses(steering_.control().pauses(), status);
    status.paused = std::move(held);
    if (!status.abort_waits_for.empty()) status.waiting_for.push_back(status.abort_waits_for);
  }
  if (const std::string undo = undoing_.waits(std::chrono::steady_clock::now()); !undo.empty())
    for (PausedScope& held : status.paused)
      if (held.scope == part_text(Scope::Apply) && held.waits_for.empty()) held.waits_for = undo;
  status.synced = status.synced && left_out_.empty();
  if (prepared_ != nullptr) status.foreign_writers = prepared_->foreign_writers;
  for (const LeftOut& table : left_out_) {
    RunTableStatus entry;
    entry.table = table.table;
    entry.target = table.target;
    entry.stopped = table.reason;
    entry.counts.rows_done = table.rows_done;
    entry.debts = table.debts;
    entry.quarantined = table.quarantined;
    status.tables.push_back(std::move(entry));
  }
  return status;
}

std::optional<RunState::Servers> RunState::servers() const {
  const MutexLock lock(mutex_);
  if (prepared_ == nullptr) return std::nullopt;
  return Servers{prepared_->source, prepared_->target_server};
}

std::uint64_t RunState::run() const {
  const MutexLock lock(mutex_);
  return runner_ == nullptr ? 0 : runs_;
}

bool RunState::with_moment(std::uint64_t run, const std::function<void(Moment&)>& act) {
  const MutexLock lock(mutex_);
  if (runner_ == nullptr || run != runs_) return false;
  act(runner_->moment());
  return true;
}

}  // namespace lockstep
