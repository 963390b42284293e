#include "pipeline/run/assembly.h"

#include <algorithm>
#include <utility>

#include "pipeline/base/failpoint.h"
#include "pipeline/base/rules.h"

namespace lockstep {
namespace {

using std::chrono::milliseconds;

constexpr milliseconds kLaneFullWait{20};
constexpr std::string_view kDeadlock = "40P01";
constexpr std::chrono::minutes kUnreadableEvery{1};
constexpr std::size_t kLanePendingMax = 8 << 20;

std::vector<std::unique_ptr<Recent>> make_recents(const RunOptions& options, std::size_t tables,
                                                  const Visibility& visibility) {
  std::vector<std::unique_ptr<Recent>> recents;
  for (std::uint32_t lane = 0; lane < options.lanes; ++lane)
    recents.push_back(std::make_unique<Recent>(tables, options.recent_entries_max, visibility));
  return recents;
}

std::vector<std::unique_ptr<LaneQueue>> make_queues(const RunOptions& options) {
  std::vector<std::unique_ptr<LaneQueue>> queues;
  for (std::uint32_t lane = 0; lane < options.lanes; ++lane)
    queues.push_back(std::make_unique<LaneQueue>(options.queue_bytes_max));
  return queues;
}

}  // namespace

void Assembly::StreamNames::publish(const std::vector<std::string>& names) {
  const MutexLock lock(mutex_);
  for (std::size_t i = names_.size(); i < names.size(); ++i) names_.push_back(names[i]);
}

std::string Assembly::StreamNames::at(StreamId id) const {
  const MutexLock lock(mutex_);
  CHECK(id < names_.size());
  return names_[id];
}

Assembly::Assembly(RunOptions options, std::vector<const TableMap*> tables, RunPorts ports)
    : options_(std::move(options)),
      tables_(std::move(tables)),
      ports_(std::move(ports)),
      visibility_(options_.snapshot_floor, options_.unseen),
      progress_(options_.lanes, options_.progress),
      board_(tables_.size()),
      ledger_(ports_.ledger, board_, options_.files),
      hold_(options_.sweep.hold_limit),
      standstill_(options_.lanes, options_.stand_limit),
      sample_(options_.sweep.continuous ? options_.sweep.sample_per_second : 0),
      recents_(make_recents(options_, tables_.size(), visibility_)),
      queues_(make_queues(options_)),
      planner_(options_.planner, board_),
      pacer_(pace()),
      router_({options_.lanes, options_.item_changes_max,
               [this](TableId table) { return ports_.source.streams_of(table).size() > 1; },
               !options_.shared_stream.empty()},
              shared()),
      supervisor_(options_.supervisor, shared(), health_, ports_.events,
                  {ports_.marker_probe, ports_.proof, ledger_, options_.hold_stream,
                   options_.newcomers, options_.plan_again},
                  options_.files),
      moment_({options_.lanes, visibility_, standstill_, progress_, supervisor_,
               [this] { return prove(); }, [this] { shared().wake_lanes(); }}),
      transaction_us_(options_.lanes),
      stuck_since_(options_.lanes),
      under_way_(options_.lanes, ports_.scans.size()),
      debts_(options_.debts, shared(), *ports_.scans.at(0).reader, *ports_.scans.at(0).target),
      sweep_(options_.sweep, shared(),
             {ports_.compare.source, ports_.compare.target, ports_.compare.owed,
              [this](ProofOf of) { return prove(of); },
              [this](std::uint64_t proof) { return supervisor_.is_applied(proof); },
              [this] { return supervisor_.applied_through(); }, ports_.compare.store,
              [this] { return sweep_yields_to(); },
              [this] { return ports_.control.get(Limit::ReconcileRows); },
              [this] { return ports_.control.get(Limit::ReconcileBytes); },
              [this] { return governor_.share(); }}) {
  CHECK(ports_.lane_targets.size() == options_.lanes);
  for (const TableMap* table : tables_)
    board_.estimate(table->id, table->source.estimated_rows, table->source.estimated_bytes);
  for (const auto& [table, horizon] : options_.horizons) board_.set_horizon(table, horizon);
  planner_.restore(options_.marks);
  supervisor_.begin();
  hold_tables();
  build_lanes();
  for (const ScanPorts& scan : ports_.scans) {
    scan_names_.push_back("scan " + std::to_string(scanners_.size()));
    scanners_.push_back(std::make_unique<Scanner>(options_.scanner, shared(), planner_, pacer_,
                                                  *scan.reader, *scan.target));
  }
}

Assembly::~Assembly() = default;

void Assembly::build_lanes() {
  LaneOptions lane;
  lane.epoch = options_.epoch;
  lane.shared_stream = options_.shared_stream;
  lane.batch_rows_max = options_.batch_rows_max;
  for (; lane.index < options_.lanes; ++lane.index) {
    lane_names_.push_back("lane " + std::to_string(lane.index));
    lanes_.push_back(std::make_unique<Lane>(lane, shared(), *ports_.lane_targets[lane.index],
                                            [this](StreamId id) { return stream_names_.at(id); }));
  }
}

// ---------------------------------------------------------------- what people are told

void Assembly::fail_run(const std::string& part, const Error& error) {
  {
    const MutexLock lock(failure_mutex_);
    if (failure_) return;
    failure_ = error;
  }
  ports_.events.halted(part, error.message);
  asked_.raise();
}

template <typename T>
Result<T> Assembly::told(Worker worker, const std::string& part, Result<T> ended, Health& health) {
  ports_.meters.heartbeat(worker).store(ports_.clock.wall_us(), std::memory_order_relaxed);
  if (ended) {
    ports_.events.told(part, {}, health.tell(part, {}, ports_.clock.now()));
  } else if (const Error& error = ended.error(); error.reaction == Reaction::Retry) {
    ports_.meters.retries.add(worker_text(worker), error.code.empty() ? "none" : error.code);
    ports_.events.told(part, error.message, health.tell(part, error.message, ports_.clock.now()));
  } else if (error.reaction != Reaction::Cancel) {
    fail_run(part, error);
  }
  return ended;
}

std::optional<Error> Assembly::failure() const {
  const MutexLock lock(failure_mutex_);
  return failure_;
}

// ---------------------------------------------------------------- the source

Result<Assembly::Turn> Assembly::step_source(milliseconds wait) {
  if (stop_of(Part::Source).raised()) return Turn::Over;
  return told(Worker::Source, "source", read_source(wait), health_);
}

Result<Assembly::Turn> Assembly::read_source(milliseconds wait) {
  LOCKSTEP_TRY(pause_stopped());
  ports_.source.note_newest(visibility_.newest());
  Polled polled = ports_.source.poll(wait);
  const std::vector<Change>& changes = polled.batch.changes;
  count_read(changes);
  stream_names_.publish(ports_.source.streams());
  supervisor_.set_source(polled.state, changes.empty() ? 0 : changes.back().commit_us);
  tell_unreadable(changes);
  failpoint("source_after_poll");
  const bool awaited = brings_marker(polled.batch);
  if (!route(polled)) return Turn::Over;
  if (awaited) asked_.wake();
  LOCKSTEP_TRY(std::move(polled.error));
  LOCKSTEP_TRY(acknowledge_if_due());
  return Turn::Busy;
}

// Whether the supervisor waits for it.  Of the one stream of all tables its positions tell (V3).
bool Assembly::brings_marker(const ChangeBatch& batch) const {
  const Lsn marker = supervisor_.awaited_marker();
  if (marker == 0 || options_.shared_stream.empty()) return false;
  return (!batch.changes.empty() && batch.changes.back().next.major >= marker) ||
         (!batch.watermarks.empty() && batch.watermarks.back().position.major >= marker);
}

void Assembly::count_read(const std::vector<Change>& changes) {
  std::uint64_t bytes = 0;
  for (const Change& change : changes) bytes += change.row.size();
  ports_.meters.changes_read.add(changes.size());
  ports_.meters.bytes_read.add(bytes);
}

// One line a minute: a connector that garbles a column garbles it in every event.
void Assembly::tell_unreadable(const std::vector<Change>& changes) {
  for (const Change& change : changes) {
    if (change.debt != DebtReason::Unreadable) continue;
    ++unreadable_;
    if (ports_.clock.now() < next_unreadable_) continue;
    next_unreadable_ = ports_.clock.now() + kUnreadableEvery;
    ports_.events.unreadable(tables_[change.table]->text(), change.detail,
                             std::exchange(unreadable_, 0));
  }
}

// First of all: the source has moved past what it has read, and brings none of it again.
bool Assembly::route(Polled& polled) {
  if (!polled.error && !rule_on(Rule::RouteWhatWasRead)) return true;
  return router_.announce(ports_.source.streams().size()) && router_.route(polled.batch);
}

Status Assembly::acknowledge_if_due() {
  if (ports_.clock.now() < next_acknowledge_) return {};
  next_acknowledge_ = ports_.clock.now() + options_.acknowledge_every;
  return acknowledge();
}

Status Assembly::acknowledge() {
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

Status Assembly::pause_stopped() {
  for (const TableMap* table : tables_) {
    if (paused_.contains(table->id) || !board_.stopped(table->id)) continue;
    LOCKSTEP_TRY(ports_.source.pause_table(table->id));
    paused_.insert(table->id);
  }
  for (const TableId table : paused_) supervisor_.pause_streams(ports_.source.streams_of(table));
  return {};
}

void Assembly::acknowledge_last() {
  if (const Status told = acknowledge(); !told)
    ports_.events.waiting("source", told.error().message);
}

// ---------------------------------------------------------------- lanes

Result<Assembly::Turn> Assembly::step_lane(std::uint32_t index, milliseconds wait) {
  StopFlag& abandon = stop_of(Part::Lanes);
  if (abandon.raised()) return Turn::Over;
  Lane& lane = *lanes_[index];
  if (lane.pending_bytes() < kLanePendingMax) {
    for (LaneItem& item : queues_[index]->take(options_.taken_bytes_max, wait))
      lane.add(std::move(item));
  } else if (wait.count() > 0) {
    abandon.wait(std::min(wait, kLaneFullWait));
  }
  supervisor_.set_oldest(index, lane.oldest_commit_us());
  under_way_.lane_begins(index);
  if (ports_.control.paused(Scope::Apply)) {
    stuck_since_[index].store(0, std::memory_order_relaxed);
    under_way_.lane_is_held(index);
    return Turn::Waiting;
  }
  under_way_.lane_writes(index);
  auto turn = told(Worker::Lane, lane_names_[index], apply(index), health_);
  under_way_.lane_ends(index, turn.has_value());
  if (!turn && turn.error().code == kDeadlock) supervisor_.look_at_once();
  return turn;
}

Result<Assembly::Turn> Assembly::apply(std::uint32_t index) {
  Lane& lane = *lanes_[index];
  const auto begun = ports_.clock.now();
  auto& stuck_since = stuck_since_[index];
  if (stuck_since.load(std::memory_order_relaxed) == 0)
    stuck_since.store(begun.time_since_epoch().count(), std::memory_order_relaxed);
  LOCKSTEP_ASSIGN(const Lane::Step step, lane.step());
  stuck_since.store(0, std::memory_order_relaxed);
  if (step == Lane::Step::Applied) {
    const std::int64_t took =
        std::chrono::duration_cast<std::chrono::microseconds>(ports_.clock.now() - begun).count();
    // The longest until the governor looks: a short one after it must not hide it.
    auto& longest = transaction_us_[index];
    longest.store(std::max(longest.load(std::memory_order_relaxed), took),
                  std::memory_order_relaxed);
    if (supervisor_.awaits_lanes()) asked_.wake();
    return Turn::Busy;
  }
  if (queues_[index]->drained()) {
    if (lane.drained()) return Turn::Over;
    lane.add(FlushItem{});
  }
  return step == Lane::Step::Blocked ? Turn::Waiting : Turn::Idle;
}

// ---------------------------------------------------------------- scanners and debts

// Lanes may wait for an open COPY: it is brought to its end even while stopping.
Result<Assembly::Turn> Assembly::step_read(std::size_t index) {
  const Scanner& scanner = *scanners_[index];
  if (stop_of(Part::Reads).raised() && (!scanner.copying() || abandoned())) {
    under_way_.scan_ends(index, false, true);
    health_.set_waiting(scan_names_[index] + " waits", {});
    return Turn::Over;
  }
  // One round of debts, one chunk, and so on: neither waits for the other for ever.  A round that
  // has begun is brought to its end first: both use the same connections.
  const bool due = !debts_.idle() || ports_.clock.now() >= debts_due_;
  if (index == 0 && scanner.idle() && debts_turn_ && due) {
    auto turn = step_debts();
    debts_turn_ = !debts_.idle() || !rule_on(Rule::FairTurns);
    if (!turn || *turn != Turn::Idle) return turn;
  }
  auto turn = step_chunk(index);
  if (index == 0 && scanner.idle()) debts_turn_ = true;
  return turn;
}

Result<Assembly::Turn> Assembly::step_debts() {
  if (ports_.control.paused(Scope::Apply) && debts_.idle()) return Turn::Idle;
  // A part of its own: a chunk that goes well is no word that debts go on, and no reason to try
  // them at once again.
  const auto step = told(Worker::Debts, "debts", debts_.step(), health_);
  if (!step) {
    const auto now = ports_.clock.now();
    debts_due_ = now + debts_backoff_.next(now);
    return std::unexpected(step.error());
  }
  debts_backoff_.went_well(ports_.clock.now());
  if (*step == DebtReader::Step::Waiting) return Turn::Waiting;
  return *step == DebtReader::Step::Working || !debts_.idle() ? Turn::Busy : Turn::Idle;
}

Result<Assembly::Turn> Assembly::step_chunk(std::size_t index) {
  bool at_rest = false;
  under_way_.scan_begins(index);
  auto turn = scan(index, at_rest);
  const Scanner& scanner = *scanners_[index];
  under_way_.scan_ends(index, scanner.copying(), at_rest || scanner.idle());
  return turn;
}

Result<Assembly::Turn> Assembly::scan(std::size_t index, bool& at_rest) {
  Scanner& scanner = *scanners_[index];
  pacer_.set(pace());
  if (ports_.control.paused(Scope::Backfill)) {
    if (scanner.idle()) return Turn::Idle;
    scanner.leave();
    // What lanes have of its rows they keep: until they go on nothing is marked, either.
    at_rest = ports_.control.paused(Scope::Apply) && !scanner.copying();
    if (at_rest) return Turn::Waiting;
  }
  const auto step = told(Worker::Scan, scan_names_[index], scanner.step(), health_);
  health_.set_waiting(scan_names_[index] + " waits", scanner.waiting_for());
  if (scanner.waits_for_flush()) flush_wanted_.store(true, std::memory_order_relaxed);
  if (!step) return std::unexpected(step.error());
  switch (*step) {
    case Scanner::Step::Working:
      return Turn::Busy;
    case Scanner::Step::Waiting:
      return Turn::Waiting;
    case Scanner::Step::Done:
      break;
  }
  return Turn::Idle;
}

// ---------------------------------------------------------------- the probe

Result<Assembly::Turn> Assembly::step_probe() {
  if (stop_of(Part::Probe).raised()) return Turn::Over;
  LOCKSTEP_TRY(told(Worker::Probe, "probe", probe(), health_));
  return Turn::Waiting;
}

Status Assembly::probe() {
  const std::int64_t begun_us = ports_.clock.wall_us();
  LOCKSTEP_ASSIGN(const Snapshot snapshot, ports_.probe.probe());
  compare_clocks(begun_us);
  visibility_.probed(snapshot);
  // Nobody may flush the log of an idle source for many seconds; a marker does at once (I6).
  if (flush_wanted_.exchange(false, std::memory_order_relaxed)) {
    LOCKSTEP_ASSIGN([[maybe_unused]] const Lsn marker, ports_.probe.emit_marker());
  }
  std::string blockers;
  if (const Xid xid = visibility_.waiting_for(); xid != 0) {
    LOCKSTEP_ASSIGN(const std::vector<BlockingTransaction> running, ports_.probe.blockers(xid));
    for (const BlockingTransaction& one : running)
      blockers += (blockers.empty() ? "" : "; ") + one.what;
  }
  health_.set_waiting("snapshots", blockers.empty() ? "" : "waiting for " + blockers);
  return {};
}

// ---------------------------------------------------------------- the sweep

Result<Assembly::Turn> Assembly::step_sweep() {
  if (stop_of(Part::Reads).raised()) {
    sweep_.leave();
    under_way_.sweep_is_left();
    return Turn::Over;
  }
  under_way_.sweep_begins();
  if (ports_.control.paused(Scope::Reconcile)) {
    sweep_.leave();
    under_way_.sweep_is_left();
    // A person waits for them, and no server is asked.
    LOCKSTEP_TRY(told(Worker::Sweep, "sweep", sweep_.take_marks(), sweep_health_));
    return Turn::Idle;
  }
  LOCKSTEP_ASSIGN(const Sweep::Step step,
                  told(Worker::Sweep, "sweep", sweep_.step(), sweep_health_));
  tell_findings();
  return step == Sweep::Step::Working   ? Turn::Busy
         : step == Sweep::Step::Waiting ? Turn::Waiting
                                        : Turn::Idle;
}

// Until the ticket has a value U only grows, so that nothing of what S does not see is missing.
std::optional<Xid> Assembly::last_change(TableId table, const Hash128& key) const {
  return recents_[lane_of(*tables_[table], key, options_.lanes)]->last_change(table, key);
}

// What the continuous comparison waits for: it has time, and others have not.
std::string Assembly::sweep_yields_to() {
  if (!planner_.all_done()) return "tables are being copied";
  const std::optional<double> lag = supervisor_.lag_seconds();
  if (!lag) return "the lag is not known";
  return *lag > options_.supervisor.synced_lag_seconds ? "the stream lags" : "";
}

// Of a run that ends with its sweep; nothing while that goes on.
std::optional<ExitCode> Assembly::compared() const {
  const SweepStatus status = sweep_.counts();
  if (status.sweep == 0 || status.running) return std::nullopt;
  const auto incomplete = [](const auto& entry) {
    return !entry.second.left.empty() || entry.second.unverified > 0;
  };
  if (std::ranges::any_of(status.asked,
                          [](const auto& entry) { return entry.second.findings > 0; }))
    return ExitCode::Different;
  return options_.tables_left_out || std::ranges::any_of(status.asked, incomplete)
             ? ExitCode::Incomplete
             : ExitCode::Ok;
}

// ---------------------------------------------------------------- the end

Result<std::optional<ExitCode>> Assembly::tick() {
  hold_tables();
  govern();
  LOCKSTEP_ASSIGN(
      const Supervisor::Conclusion conclusion,
      told(Worker::Supervisor, "supervisor", supervisor_.tick(options_.until_synced), health_));
  // Only for people: the conclusion stands, whether or not the target tells who holds a lock.
  if (const Status looked = told(Worker::Supervisor, "locks", look_for_locks(), health_);
      !looked && looked.error().reaction != Reaction::Retry)
    return fail(looked.error());
  if (options_.until_compared)
    return options_.compared_too && !options_.compared_too() ? std::nullopt : compared();
  if (conclusion == Supervisor::Conclusion::GoOn) return std::nullopt;
  if (conclusion == Supervisor::Conclusion::Incomplete || options_.tables_left_out)
    return ExitCode::Incomplete;
  const std::optional<Proof> proof = supervisor_.status().proof;
  ports_.events.synced(proof && proof->exact ? "exact" : "near");
  return ExitCode::Ok;
}

void Assembly::draining() { supervisor_.set_draining(); }

void Assembly::end(Part part) {
  if (part != Part::Lanes) return stop_of(part).raise();
  for (const auto& queue : queues_) queue->close();
}

void Assembly::abandon() {
  stop_of(Part::Lanes).raise();
  for (const auto& queue : queues_) queue->close();
}

void Assembly::cut_off() {
  ports_.events.cut_off(options_.drain_limit);
  cut_off_.store(true, std::memory_order_release);
  abandon();
}

ExitCode Assembly::exit_code(std::optional<ExitCode> reached) const {
  if (cut_off_.load(std::memory_order_acquire) && rule_on(Rule::CutDrainIsTold))
    return ExitCode::Temporary;
  return reached.value_or(stopped_code(options_.until_synced || options_.until_compared));
}

// A scanner that brings its COPY to an end is kept from it by abandon() alone.
void Assembly::wait(Part part, milliseconds time) {
  const bool ending = part == Part::Reads && stop_of(part).raised();
  stop_of(ending ? Part::Lanes : part).wait(time);
}

}  // namespace lockstep
