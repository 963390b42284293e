#include "pipeline/run/runner.h"

#include <algorithm>
#include <atomic>
#include <map>
#include <set>
#include <thread>
#include <utility>

#include "pipeline/base/backoff.h"
#include "pipeline/base/failpoint.h"
#include "pipeline/base/health.h"
#include "pipeline/watch/supervisor.h"

namespace lockstep {
namespace {

using std::chrono::milliseconds;

constexpr milliseconds kPollWait{100};
constexpr milliseconds kIdleWait{100};
constexpr milliseconds kScanWait{20};
constexpr milliseconds kTick{200};
constexpr milliseconds kAcknowledgeEvery{1000};
constexpr std::size_t kLanePendingMax = 8 << 20;

// A flag that threads can wait on: nothing is ever pushed, closing it ends every wait.
class StopFlag {
 public:
  void raise() {
    raised_.store(true, std::memory_order_release);
    waits_.close();
  }
  bool raised() const { return raised_.load(std::memory_order_acquire); }
  // Waits, at most `time`, for the flag.
  void wait(milliseconds time) { waits_.take(1, time); }

 private:
  std::atomic<bool> raised_{false};  // release/acquire: what happened before raise() is seen.
  BoundedQueue<char> waits_{1};
};

// Names of the source's streams, published by the source thread.
class StreamNames {
 public:
  void publish(const std::vector<std::string>& names) {
    const MutexLock lock(mutex_);
    for (std::size_t i = names_.size(); i < names.size(); ++i) names_.push_back(names[i]);
  }
  std::string at(StreamId id) const {
    const MutexLock lock(mutex_);
    CHECK(id < names_.size());
    return names_[id];
  }

 private:
  mutable Mutex mutex_;
  std::vector<std::string> names_ GUARDED_BY(mutex_);
};

std::vector<std::unique_ptr<Recent>> make_recents(const RunnerOptions& options, std::size_t tables,
                                                  const Visibility& visibility) {
  std::vector<std::unique_ptr<Recent>> recents;
  for (std::uint32_t lane = 0; lane < options.lanes; ++lane)
    recents.push_back(std::make_unique<Recent>(tables, options.recent_entries_max, visibility));
  return recents;
}

std::vector<std::unique_ptr<LaneQueue>> make_queues(const RunnerOptions& options) {
  std::vector<std::unique_ptr<LaneQueue>> queues;
  for (std::uint32_t lane = 0; lane < options.lanes; ++lane)
    queues.push_back(std::make_unique<LaneQueue>(options.queue_bytes_max));
  return queues;
}

}  // namespace

class Runner::Threads {
 public:
  Threads(RunnerOptions options, std::vector<const TableMap*> tables, RunnerPorts ports);

  Result<ExitCode> run();
  void stop() { asked_.raise(); }
  RunStatus status() const { return supervisor_.status(); }

 private:
  void start();
  Result<ExitCode> supervise();
  void shut_down(bool drain);
  void abandon();
  void tell_progress();

  void run_source();
  Status poll_once(ChangeBatch& batch);
  Status acknowledge();
  Status pause_stopped();
  void run_lane(std::uint32_t index);
  void run_scan(std::size_t index);
  template <typename Stepper>
  bool step_scan(Stepper& stepper, const std::string& part, Backoff& backoff);
  void run_probe();

  // Handles an error of a thread's loop.  Returns whether the loop goes on.
  bool survives(const std::string& part, const Error& error, Backoff& backoff, StopFlag& until);
  void going_on(const std::string& part, Backoff& backoff);
  void fail_run(const std::string& part, const Error& error);
  Shared shared() {
    return {tables_,   visibility_, recents_,          queues_,
            progress_, board_,      ports_.checkpoint, ports_.clock};
  }

  const RunnerOptions options_;
  const std::vector<const TableMap*> tables_;
  RunnerPorts ports_;

  Visibility visibility_;
  Progress progress_;
  TableBoard board_;
  Health health_;
  std::vector<std::unique_ptr<Recent>> recents_;
  std::vector<std::unique_ptr<LaneQueue>> queues_;
  Planner planner_;
  Pacer pacer_;
  Router router_;
  Supervisor supervisor_;
  StreamNames stream_names_;

  StopFlag asked_;        // Somebody wants the run to end.
  StopFlag source_stop_;  // The flags below end the threads, in flow order.
  StopFlag scan_stop_;
  StopFlag probe_stop_;
  StopFlag lanes_abandon_;                 // Do not drain: leave the rest to the next start.
  std::atomic<bool> flush_wanted_{false};  // A hint; nothing else depends on its order.
  Mutex failure_mutex_;
  std::optional<Error> failure_ GUARDED_BY(failure_mutex_);

  // The source thread's.
  std::set<TableId> paused_;
  std::map<std::string, Position> acknowledged_;
  std::chrono::steady_clock::time_point next_acknowledge_{};

  // The main thread's.
  std::chrono::steady_clock::time_point begun_{};
  std::chrono::steady_clock::time_point next_progress_{};

  std::jthread source_;
  std::jthread probe_;
  std::vector<std::jthread> lanes_;
  std::vector<std::jthread> scans_;
};

Runner::Threads::Threads(RunnerOptions options, std::vector<const TableMap*> tables,
                         RunnerPorts ports)
    : options_(std::move(options)),
      tables_(std::move(tables)),
      ports_(std::move(ports)),
      visibility_(options_.snapshot_floor, options_.unseen),
      progress_(options_.lanes, options_.progress),
      board_(tables_.size()),
      recents_(make_recents(options_, tables_.size(), visibility_)),
      queues_(make_queues(options_)),
      planner_(options_.planner, board_),
      pacer_(options_.rate_limit_rows_per_second),
      router_({options_.lanes, 500,
               [this](TableId table) { return ports_.source.streams_of(table).size() > 1; },
               !options_.shared_stream.empty()},
              shared()),
      supervisor_(shared(), health_, ports_.events,
                  {ports_.marker_probe, ports_.proof, ports_.ledger, options_.hold_stream,
                   options_.newcomers},
                  options_.files) {
  CHECK(ports_.lane_targets.size() == options_.lanes);
  CHECK(options_.batches.size() == options_.lanes);
  for (const TableMap* table : tables_) board_.estimate(table->id, table->source.estimated_rows);
  for (const auto& [table, horizon] : options_.horizons) board_.set_horizon(table, horizon);
  planner_.restore(options_.marks);
}

void Runner::Threads::fail_run(const std::string& part, const Error& error) {
  {
    const MutexLock lock(failure_mutex_);
    if (failure_) return;
    failure_ = error;
  }
  ports_.events.halted(part, error.message);
  asked_.raise();
}

bool Runner::Threads::survives(const std::string& part, const Error& error, Backoff& backoff,
                               StopFlag& until) {
  if (error.reaction == Reaction::Cancel) return false;
  if (error.reaction != Reaction::Retry) {
    fail_run(part, error);
    return false;
  }
  if (health_.set(part, error.message)) ports_.events.waiting(part, error.message);
  until.wait(backoff.next());
  return true;
}

void Runner::Threads::going_on(const std::string& part, Backoff& backoff) {
  if (health_.set(part, {})) ports_.events.resumed(part);
  backoff.reset();
}

// ---------------------------------------------------------------- the source thread

void Runner::Threads::run_source() {
  Backoff backoff(1);
  ChangeBatch batch;
  while (!source_stop_.raised()) {
    if (auto polled = poll_once(batch); !polled) {
      if (!survives("source", polled.error(), backoff, source_stop_)) return;
      continue;
    }
    going_on("source", backoff);
    if (!router_.announce(ports_.source.streams().size()) || !router_.route(batch)) return;
  }
}

Status Runner::Threads::poll_once(ChangeBatch& batch) {
  batch = {};
  LOCKSTEP_TRY(pause_stopped());
  LOCKSTEP_TRY(ports_.source.poll(batch, kPollWait));
  stream_names_.publish(ports_.source.streams());
  supervisor_.set_source_state(ports_.source.state(),
                               batch.changes.empty() ? 0 : batch.changes.back().commit_us);
  failpoint("source_after_poll");
  if (ports_.clock.now() < next_acknowledge_) return {};
  next_acknowledge_ = ports_.clock.now() + kAcknowledgeEvery;
  return acknowledge();
}

Status Runner::Threads::acknowledge() {
  const std::vector<std::string>& names = ports_.source.streams();
  for (StreamId id = 0; id < names.size(); ++id) {
    const Position least = progress_.resume_point(names[id]);
    Position& last = acknowledged_[names[id]];
    if (least <= last) continue;
    LOCKSTEP_TRY(ports_.source.acknowledge(id, least));
    last = least;
  }
  return {};
}

Status Runner::Threads::pause_stopped() {
  for (const TableMap* table : tables_) {
    if (paused_.contains(table->id) || !board_.stopped(table->id)) continue;
    LOCKSTEP_TRY(ports_.source.pause_table(table->id));
    paused_.insert(table->id);
  }
  for (const TableId table : paused_) supervisor_.pause_streams(ports_.source.streams_of(table));
  return {};
}

// ---------------------------------------------------------------- lanes

void Runner::Threads::run_lane(std::uint32_t index) {
  const std::string part = "lane " + std::to_string(index);
  LaneOptions options;
  options.index = index;
  options.epoch = options_.epoch;
  options.first_batch = options_.batches[index];
  options.shared_stream = options_.shared_stream;
  Lane lane(options, shared(), *ports_.lane_targets[index],
            [this](StreamId id) { return stream_names_.at(id); });
  Backoff backoff(100 + index);
  LaneQueue& queue = *queues_[index];
  milliseconds wait = kIdleWait;
  while (!lanes_abandon_.raised()) {
    if (lane.pending_bytes() < kLanePendingMax) {
      for (LaneItem& item : queue.take(options_.queue_bytes_max, wait)) lane.add(std::move(item));
    } else if (wait.count() > 0) {
      lanes_abandon_.wait(kScanWait);
    }
    supervisor_.set_oldest(index, lane.oldest_commit_us());
    auto step = lane.step();
    if (!step) {
      wait = milliseconds(0);
      if (!survives(part, step.error(), backoff, lanes_abandon_)) return;
      continue;
    }
    going_on(part, backoff);
    const bool applied = *step == Lane::Step::Applied;
    wait = applied ? milliseconds(0) : *step == Lane::Step::Blocked ? kScanWait : kIdleWait;
    if (!applied && queue.drained()) {
      if (lane.drained()) return;
      lane.add(FlushItem{});
    }
  }
}

// ---------------------------------------------------------------- scanners and debts

// Steps a scanner or a reader of debts once.  Returns whether it has more to do right now.
template <typename Stepper>
bool Runner::Threads::step_scan(Stepper& stepper, const std::string& part, Backoff& backoff) {
  auto step = stepper.step();
  if (!step) {
    StopFlag& until = scan_stop_.raised() ? lanes_abandon_ : scan_stop_;
    if (!survives(part, step.error(), backoff, until)) scan_stop_.raise();
    return false;
  }
  going_on(part, backoff);
  if (*step == Stepper::Step::Waiting) scan_stop_.wait(kScanWait);
  return *step != Stepper::Step::Done;
}

void Runner::Threads::run_scan(std::size_t index) {
  const std::string part = "scan " + std::to_string(index);
  ScanPorts& ports = ports_.scans[index];
  Scanner scanner(options_.scanner, shared(), planner_, pacer_, *ports.reader, *ports.target);
  DebtReader debts(options_.debts, shared(), *ports.reader, *ports.target);
  Backoff backoff(200 + index);
  const bool reads_debts = index == 0;
  // Lanes may wait for an open COPY: it is brought to its end even while stopping.
  while (!scan_stop_.raised() || (scanner.copying() && !lanes_abandon_.raised())) {
    const bool debts_due = reads_debts && scanner.idle();
    if (debts_due && (step_scan(debts, part, backoff) || !debts.idle())) continue;
    const bool busy = step_scan(scanner, part, backoff);
    health_.set(part + " waits", scanner.waiting_for());
    if (scanner.waits_for_flush()) flush_wanted_.store(true, std::memory_order_relaxed);
    if (!busy) scan_stop_.wait(kIdleWait);
  }
  health_.set(part + " waits", {});
}

// ---------------------------------------------------------------- the probe

void Runner::Threads::run_probe() {
  Backoff backoff(300);
  while (!probe_stop_.raised()) {
    auto snapshot = ports_.probe.probe();
    if (!snapshot) {
      if (!survives("probe", snapshot.error(), backoff, probe_stop_)) return;
      continue;
    }
    visibility_.probed(*snapshot);
    // Nobody may flush the log of an idle source for many seconds; a marker does at once (I6).
    if (flush_wanted_.exchange(false, std::memory_order_relaxed)) {
      if (auto marked = ports_.probe.emit_marker(); !marked) {
        if (!survives("probe", marked.error(), backoff, probe_stop_)) return;
        continue;
      }
    }
    std::string blockers;
    if (const Xid xid = visibility_.waiting_for(); xid != 0) {
      auto running = ports_.probe.blockers(xid);
      if (running)
        for (const auto& one : *running) blockers += (blockers.empty() ? "" : "; ") + one.what;
    }
    health_.set("snapshots", blockers.empty() ? "" : "waiting for " + blockers);
    going_on("probe", backoff);
    probe_stop_.wait(options_.probe_every);
  }
}

// ---------------------------------------------------------------- the life of a run

void Runner::Threads::start() {
  supervisor_.begin();
  for (std::uint32_t lane = 0; lane < options_.lanes; ++lane)
    lanes_.emplace_back([this, lane] { run_lane(lane); });
  probe_ = std::jthread([this] { run_probe(); });
  source_ = std::jthread([this] { run_source(); });
  for (std::size_t scan = 0; scan < ports_.scans.size(); ++scan)
    scans_.emplace_back([this, scan] { run_scan(scan); });
}

Result<ExitCode> Runner::Threads::supervise() {
  Backoff backoff(400);
  while (!asked_.raised()) {
    auto verdict = supervisor_.tick(options_.until_synced);
    if (!verdict) {
      if (!survives("supervisor", verdict.error(), backoff, asked_)) break;
      continue;
    }
    going_on("supervisor", backoff);
    if (*verdict == Supervisor::Verdict::Synced && options_.tables_left_out)
      return ExitCode::Incomplete;
    if (*verdict == Supervisor::Verdict::Synced) {
      ports_.events.synced(supervisor_.status().proof_exact ? "exact" : "near");
      return ExitCode::Ok;
    }
    if (*verdict == Supervisor::Verdict::Incomplete) return ExitCode::Incomplete;
    tell_progress();
    asked_.wait(kTick);
  }
  return options_.until_synced ? ExitCode::Incomplete : ExitCode::Ok;
}

void Runner::Threads::tell_progress() {
  const auto now = ports_.clock.now();
  if (!options_.on_progress || now < next_progress_) return;
  if (begun_ == std::chrono::steady_clock::time_point{}) begun_ = now;
  const auto age = now - begun_;
  next_progress_ = now + (age < std::chrono::minutes(1)    ? std::chrono::seconds(1)
                          : age < std::chrono::minutes(10) ? std::chrono::seconds(5)
                                                           : std::chrono::seconds(30));
  options_.on_progress(supervisor_.status());
}

// Nobody waits for anything any more: what is not committed is read again at the next start.
void Runner::Threads::abandon() {
  lanes_abandon_.raise();
  for (const auto& queue : queues_) queue->close();
}

// Ends the threads in flow order.  Draining is bounded: a target that is away must not keep us.
void Runner::Threads::shut_down(bool drain) {
  supervisor_.set_draining();
  if (!drain) abandon();
  const auto deadline = ports_.clock.now() + options_.drain_limit;
  std::jthread limit([this, deadline](const std::stop_token& over) {
    while (!over.stop_requested() && !lanes_abandon_.raised()) {
      if (ports_.clock.now() >= deadline) return abandon();
      lanes_abandon_.wait(milliseconds(50));
    }
  });
  source_stop_.raise();
  source_ = {};
  scan_stop_.raise();
  scans_.clear();
  for (const auto& queue : queues_) queue->close();
  lanes_.clear();
  limit = {};
  probe_stop_.raise();
  probe_ = {};
}

Result<ExitCode> Runner::Threads::run() {
  start();
  Result<ExitCode> ended = supervise();
  bool failed = false;
  {
    const MutexLock lock(failure_mutex_);
    failed = failure_.has_value();
  }
  if (!failed) ports_.events.draining(ended && *ended == ExitCode::Ok ? "as asked" : "incomplete");
  shut_down(!failed);
  failpoint("drain_before_exit");
  if (auto told = acknowledge(); !told) ports_.events.waiting("source", told.error().message);
  const MutexLock lock(failure_mutex_);
  if (failure_) return std::unexpected(*failure_);
  return ended;
}

Runner::Runner(RunnerOptions options, std::vector<const TableMap*> tables, RunnerPorts ports)
    : threads_(std::make_unique<Threads>(std::move(options), std::move(tables), std::move(ports))) {
}
Runner::~Runner() = default;

class Beside::Thread {
 public:
  explicit Thread(std::function<void()> body) : thread_(std::move(body)) {}

 private:
  std::jthread thread_;
};

Beside::Beside(std::function<void()> body, std::function<void()> stop)
    : stop_(std::move(stop)), thread_(std::make_unique<Thread>(std::move(body))) {}
Beside::~Beside() { stop_(); }

Result<ExitCode> Runner::run() { return threads_->run(); }
void Runner::stop() { threads_->stop(); }
RunStatus Runner::status() const { return threads_->status(); }

}  // namespace lockstep
