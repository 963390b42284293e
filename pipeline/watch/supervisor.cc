#include "pipeline/watch/supervisor.h"

#include <algorithm>
#include <utility>

#include "pipeline/apply/table_holds.h"

namespace lockstep {

std::string_view phase_text(Phase phase) {
  switch (phase) {
    case Phase::Prepare:
      return "prepare";
    case Phase::Backfill:
      return "backfill";
    case Phase::Follow:
      return "follow";
    case Phase::Drain:
      return "drain";
    case Phase::Stopped:
      return "stopped";
  }
  return "unknown";
}

Supervisor::Supervisor(SupervisorOptions options, Shared shared, Health& health, Events& events,
                       SupervisorPorts ports, std::vector<KnownFiles> known_files)
    : options_(options),
      shared_(shared),
      health_(health),
      events_(events),
      ports_(ports),
      proof_({ports.probe, ports.proof, shared.progress, shared.clock,
              [shared] { shared.flush_lanes(); }}),
      shapes_(
          shared, ports.probe, ports.proof, ports.ledger,
          [&events](const auto& table, const auto& why) { events.copied_again(table, why); },
          std::move(known_files)),
      paused_(streams_of_others()),
      oldest_us_(shared.queues.size(), 0) {}

// Own streams (table_holds.h) of tables that this run does not have: nobody moves them.
std::set<std::string> Supervisor::streams_of_others() const {
  std::set<std::string> others;
  for (const auto& [stream, position] : shared_.progress.positions()) {
    for (std::string& own : shared_.progress.own_streams(stream)) others.insert(std::move(own));
    for (const TableMap* table : shared_.tables) others.erase(own_stream(stream, *table));
  }
  return others;
}

void Supervisor::begin() {
  const std::vector<TableStatus> all = shared_.board.all();
  for (TableId id = 0; id < all.size(); ++id)
    if (all[id].backfill == BackfillState::Done) told_done_.insert(id);
}

Result<Supervisor::Verdict> Supervisor::tick(bool want_proof) {
  waiting_.clear();
  Status kept = note_tables();
  if (kept) kept = count_debts();
  Result<Verdict> verdict = Verdict::GoOn;
  if (kept) kept = watch_shapes();
  if (kept) hold_stream();
  if (kept) verdict = want_proof ? prove() : prove_again();
  if (kept) kept = note_stops();  // What is shown is known to the next start, too.
  publish(verdict.value_or(Verdict::GoOn));
  if (!kept) return std::unexpected(std::move(kept).error());
  return want_proof ? verdict : Verdict::GoOn;
}

void Supervisor::waits_for(std::string what) { waiting_.push_back(std::move(what)); }

Status Supervisor::note_stop(TableId id, const std::string& reason) {
  if (told_stopped_.contains(id)) return {};
  LOCKSTEP_TRY(ports_.ledger.save_stop(id, reason));
  events_.table_stopped(shared_.tables[id]->text(), reason);
  told_stopped_.insert(id);
  return {};
}

Status Supervisor::note_stops() {
  const std::vector<TableStatus> all = shared_.board.all();
  for (TableId id = 0; id < all.size(); ++id)
    if (!all[id].stopped.empty()) LOCKSTEP_TRY(note_stop(id, all[id].stopped));
  return {};
}

Status Supervisor::note_tables() {
  LOCKSTEP_TRY(note_stops());
  const std::vector<TableStatus> all = shared_.board.all();
  backfilled_ = true;
  for (TableId id = 0; id < all.size(); ++id) {
    const std::string name = shared_.tables[id]->text();
    if (!all[id].stopped.empty()) continue;
    if (all[id].backfill != BackfillState::Done) {
      backfilled_ = false;
      waits_for("the backfill of " + name);
    } else if (told_done_.insert(id).second) {
      events_.backfill_done(name, all[id].rows_done);
    }
  }
  return {};
}

Status Supervisor::count_debts() {
  LOCKSTEP_ASSIGN(const std::vector<DebtCount> counts, ports_.ledger.count_debts());
  const std::map<TableId, DebtCount> before = std::exchange(debts_, {});
  for (const DebtCount& count : counts) {
    debts_[count.table] = count;
    const auto last = before.find(count.table);
    if (count.quarantined > (last == before.end() ? 0 : last->second.quarantined))
      events_.quarantined(shared_.tables[count.table]->text(), count.quarantined);
    // An operator may have opened it again: the reader, who took the table to be free of debts, is
    // told to look.
    if (count.open > 0) shared_.board.debts_opened(count.table, 1);
  }
  return {};
}

// A table that was rewritten is copied again, once the events before that are applied (I15).
Status Supervisor::watch_shapes() {
  if (shared_.clock.now() >= next_look_) {
    next_look_ = shared_.clock.now() + options_.look_every;
    LOCKSTEP_TRY(shapes_.look());
    LOCKSTEP_TRY(look_around());
  }
  for (const std::string& table : newcomers_)
    waits_for("table " + table + ", which came after this run had begun: start lockstep again");
  LOCKSTEP_ASSIGN(std::string awaited, shapes_.advance(paused()));
  changed_ = !awaited.empty();
  if (changed_) waits_for(std::move(awaited));
  return {};
}

// Somebody made a table: one that the manifest selects, which this run cannot take in, or one in
// the place of the target's.
Status Supervisor::look_around() {
  LOCKSTEP_ASSIGN(const std::vector<TableId> replaced, ports_.ledger.replaced_targets());
  for (const TableId id : replaced)
    shared_.board.stop(id,
                       "its table or a column of it was dropped or made again on the target; "
                       "put it right and start lockstep again: it is copied again");
  if (!ports_.newcomers) return {};
  LOCKSTEP_ASSIGN(newcomers_, ports_.newcomers());
  for (const std::string& table : newcomers_)
    if (told_newcomers_.insert(table).second) events_.newcomer(table);
  return {};
}

bool Supervisor::is_complete() const {
  const std::vector<TableStatus> all = shared_.board.all();
  return newcomers_.empty() &&
         std::ranges::all_of(all, &std::string::empty, &TableStatus::stopped) &&
         std::ranges::all_of(debts_,
                             [](const auto& entry) { return entry.second.quarantined == 0; });
}

// What is copied again waits for the stream.
void Supervisor::hold_stream() {
  held_back_ =
      ports_.hold_stream && ports_.hold_stream(backfilled_ ? "every table is copied or stopped"
                                               : changed_ ? "a table is not the one that was copied"
                                                          : "");
}

std::set<std::string> Supervisor::paused() const {
  const MutexLock lock(mutex_);
  return paused_;
}

// One step towards the proof of V3; see the class invariant for the order.
Result<Supervisor::Verdict> Supervisor::prove() {
  if (!backfilled_) {
    proof_.reset();
    return Verdict::GoOn;
  }
  LOCKSTEP_ASSIGN(const bool applied, proof_.step(paused()));
  if (!applied) {
    waits_for(proof_.waiting_for());
    return Verdict::GoOn;
  }
  exact_ = proof_.exact();
  applied_at_ = shared_.clock.now();
  LOCKSTEP_ASSIGN(const bool unchanged, shapes_.look());
  if (!unchanged) return Verdict::GoOn;
  LOCKSTEP_TRY(look_around());
  LOCKSTEP_TRY(count_debts());  // Counted after the positions: a debt opened by them is in it.
  for (const auto& [id, count] : debts_) {
    if (count.open == 0 || shared_.board.stopped(id)) continue;
    waits_for(std::to_string(count.open) + " rows of " + shared_.tables[id]->text() +
              " to be read again");
    return Verdict::GoOn;
  }
  proven_ = proof_.marker();
  proven_at_ = shared_.clock.now();
  return is_complete() ? Verdict::Synced : Verdict::Incomplete;
}

// While following, the proof is begun anew every few seconds, and holds until the next, unless what
// is known by now contradicts it.
Supervisor::Verdict Supervisor::prove_again() {
  const auto now = shared_.clock.now();
  if (!backfilled_ || !shapes_.settled()) {
    proof_.reset();
    proven_until_ = {};
    return Verdict::GoOn;
  }
  if (now >= next_proof_) {
    const std::size_t shown = waiting_.size();
    auto verdict = prove();
    waiting_.resize(shown);
    next_proof_ = now + options_.proof_step;
    if (!verdict) {
      waits_for("the proof of being synced: " + verdict.error().message);
    } else if (*verdict != Verdict::GoOn) {
      proven_until_ = now + options_.proof_holds;
      next_proof_ = now + options_.proof_every;
      proof_.reset();
    }
  }
  if (owes_rows()) proven_until_ = {};  // Once they are settled it is an old proof.
  return now < proven_until_ && is_complete() ? Verdict::Synced : Verdict::GoOn;
}

// Rows of tables that go on are to be read again.
bool Supervisor::owes_rows() const {
  return std::ranges::any_of(debts_, [&](const auto& entry) {
    return entry.second.open > 0 && !shared_.board.stopped(entry.first);
  });
}

bool Supervisor::is_streaming() const {
  const std::vector<std::string> waits = health_.waiting();
  return source_state_.starts_with("streaming") &&
         std::ranges::none_of(waits,
                              [](const std::string& line) { return line.starts_with("source: "); });
}

// Never a number that was not measured: a stream that brings nothing has nothing to bring, or
// cannot.  Which of the two it is, the last proof tells.
std::optional<double> Supervisor::lag() const {
  std::int64_t oldest = 0;
  const auto older = [&](std::int64_t us) {
    if (us != 0 && (oldest == 0 || us < oldest)) oldest = us;
  };
  for (const std::int64_t us : oldest_us_) older(us);
  for (const auto& [id, count] : debts_) older(count.oldest_commit_us);
  if (!newest_us_ || held_back_ || !is_streaming()) return std::nullopt;
  if (oldest == 0) oldest = *newest_us_;  // All of what was read is applied.
  const auto blind = shared_.clock.now() - applied_at_;
  if (oldest == 0 && backfilled_ && blind >= options_.proof_holds) return std::nullopt;
  if (oldest == 0) return 0.0;
  return std::max(0.0, static_cast<double>(shared_.clock.wall_us() - oldest) / 1e6);
}

// What is known by now speaks against a proof: a part that waits, a source that is away, a change
// that has been missing for longer than one is under way.
bool Supervisor::is_contradicted(std::optional<double> lag) const {
  return !lag || *lag >= options_.synced_lag_seconds || !waiting_.empty() ||
         !health_.waiting().empty();
}

void Supervisor::publish(Verdict verdict) {
  const auto now = shared_.clock.now();
  RunStatus status;
  status.positions = shared_.progress.positions();
  status.proof_exact = exact_;
  status.proof_position = proven_;
  status.waiting_for = waiting_;
  for (std::string& line : health_.waiting()) status.waiting_for.push_back(std::move(line));
  const std::vector<TableStatus> all = shared_.board.all();
  for (TableId id = 0; id < all.size(); ++id) {
    RunTableStatus table{shared_.tables[id]->source.name.text(),
                         shared_.tables[id]->target.name.text(), all[id], 0, 0};
    if (const auto found = debts_.find(id); found != debts_.end()) {
      table.debts = found->second.open;
      table.quarantined = found->second.quarantined;
    }
    status.tables.push_back(std::move(table));
  }
  for (const auto& queue : shared_.queues) status.queue_bytes += queue->bytes();
  const MutexLock lock(mutex_);
  status.phase = draining_ ? Phase::Drain : backfilled_ ? Phase::Follow : Phase::Backfill;
  status.lag_seconds = lag();
  if (status.lag_seconds || lag_known_ == std::chrono::steady_clock::time_point{}) lag_known_ = now;
  status.lag_unknown_seconds = std::chrono::duration<double>(now - lag_known_).count();
  status.synced = verdict == Verdict::Synced && !is_contradicted(status.lag_seconds);
  if (proven_) status.proof_age_seconds = std::chrono::duration<double>(now - proven_at_).count();
  published_ = now;
  status.source_state = source_state_;
  status_ = std::move(status);
}

void Supervisor::pause_streams(const std::vector<std::string>& names) {
  const MutexLock lock(mutex_);
  paused_.insert(names.begin(), names.end());
}

void Supervisor::set_source_state(std::string state, std::int64_t newest_us) {
  const MutexLock lock(mutex_);
  source_state_ = std::move(state);
  newest_us_ = newest_us;
}

void Supervisor::set_oldest(std::uint32_t lane, std::int64_t commit_us) {
  const MutexLock lock(mutex_);
  oldest_us_[lane] = commit_us;
}

void Supervisor::set_draining() {
  const MutexLock lock(mutex_);
  draining_ = true;
}

// A supervisor that hangs in a call knows nothing about now.
RunStatus Supervisor::status() const {
  const MutexLock lock(mutex_);
  RunStatus status = status_;
  const auto silent = shared_.clock.now() - published_;
  if (silent < options_.tick_max) return status;
  const double seconds = std::chrono::duration<double>(silent).count();
  status.synced = false;
  status.lag_seconds.reset();
  status.lag_unknown_seconds += seconds;
  if (status.proof_age_seconds) *status.proof_age_seconds += seconds;
  return status;
}

}  // namespace lockstep
