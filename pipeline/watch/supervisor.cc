#include "pipeline/watch/supervisor.h"

#include <algorithm>
#include <iterator>
#include <utility>

#include "pipeline/apply/table_holds.h"
#include "pipeline/base/rules.h"

namespace lockstep {
namespace {

constexpr std::chrono::seconds kTickMax{5};
constexpr int kTimesCounted = 20;      // As long as a count took nobody counts again.
constexpr std::size_t kWaitsMax = 50;  // Lines.
constexpr const char* kSourcePart = "source: ";

// "a, b, c and 7 more tables".
class ShortList {
 public:
  void add(const std::string& name) {
    if (++count_ <= kShown) text_ += (text_.empty() ? "" : ", ") + name;
  }
  bool empty() const { return count_ == 0; }
  bool is_one() const { return count_ == 1; }
  std::string text() const {
    if (count_ <= kShown) return text_;
    return text_ + " and " + std::to_string(count_ - kShown) + " more tables";
  }

 private:
  static constexpr std::size_t kShown = 3;
  std::size_t count_ = 0;
  std::string text_;
};

}  // namespace

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
    case Phase::Aborted:
      return "aborted";
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
      shapes_(shared, ports.probe, ports.proof, ports.ledger,
              {[this](auto news, const auto& table, const auto& what) { tell(news, table, what); },
               [this](const TargetChange& change) { note_target(change); }},
              std::move(known_files)),
      next_tick_(options.tick_every),
      lag_known_(shared.clock.now()),
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
    if (all[id].life.copied) told_done_.insert(id);
  const MutexLock lock(mutex_);
  published_ = shared_.clock.now();  // A first look that hangs is silent from here on.
}

Result<Supervisor::Conclusion> Supervisor::tick(bool want_proof) {
  waiting_.clear();
  more_waits_ = 0;
  Status kept = note_tables();
  if (kept) kept = count_debts_if_due();
  if (kept && shared_.clock.now() - looked_back_at_ >= options_.look_back_every) kept = look_back();
  Result<Conclusion> conclusion = Conclusion::GoOn;
  if (kept) kept = watch_shapes();
  if (kept) hold_stream();
  if (kept) conclusion = prove(want_proof);
  if (kept) kept = note_stops();  // What the looks of this tick have stopped.
  publish();
  if (!kept) return std::unexpected(std::move(kept).error());
  return want_proof || !conclusion ? std::move(conclusion) : Conclusion::GoOn;
}

void Supervisor::waits_for(std::string what) {
  if (std::ranges::find(waiting_, what) != waiting_.end()) return;
  if (waiting_.size() < kWaitsMax)
    waiting_.push_back(std::move(what));
  else
    ++more_waits_;
}

// What an operator holds stands in the checkpoint (run/control.h), and is as good as before to the
// next start.
Status Supervisor::note_stop(TableId id, const TableLife& life) {
  const auto told = told_stopped_.find(id);
  if (told != told_stopped_.end() && told->second == life.reason) return {};
  const std::string table = shared_.tables[id]->text();
  if (life.paused) {
    events_.table_paused(table, life.reason);
  } else {
    LOCKSTEP_TRY(ports_.ledger.save_stop(id, life.reason));
    events_.table_stopped(table, life.reason);
  }
  told_stopped_[id] = life.reason;
  return {};
}

Status Supervisor::note_stops() {
  const std::vector<TableStatus> all = shared_.board.all();
  for (TableId id = 0; id < all.size(); ++id)
    if (all[id].life.is_stopped()) LOCKSTEP_TRY(note_stop(id, all[id].life));
  return {};
}

Status Supervisor::note_tables() {
  LOCKSTEP_TRY(note_stops());
  const std::vector<TableStatus> all = shared_.board.all();
  opened_ = 0;
  for (const TableStatus& table : all) opened_ += table.debts_opened;
  ShortList uncopied;
  for (TableId id = 0; id < all.size(); ++id) {
    if (all[id].life.is_stopped()) continue;
    if (!all[id].life.copied)
      uncopied.add(shared_.tables[id]->text());
    else if (told_done_.insert(id).second)
      events_.backfill_done(shared_.tables[id]->text(), all[id].rows_done);
  }
  backfilled_ = uncopied.empty();
  if (!backfilled_) waits_for("the backfill of " + uncopied.text());
  return {};
}

// Counting reads the whole table of debts: of millions it takes its time.
bool Supervisor::count_is_due() const {
  const bool some =
      opened_ != counted_opened_ ||
      std::ranges::any_of(debts_, [](const auto& entry) { return entry.second.open > 0; });
  const std::chrono::steady_clock::duration every =
      some ? options_.count_every : options_.recount_every;
  return counted_at_ == std::chrono::steady_clock::time_point{} ||
         shared_.clock.now() - counted_at_ >= std::max(every, kTimesCounted * count_took_);
}

Status Supervisor::count_debts_if_due() { return count_is_due() ? count_debts() : Status(); }

// A target that came back without some commits (I13): lanes with nothing to write, and scanners,
// would not notice.
Status Supervisor::look_back() {
  looked_back_at_ = shared_.clock.now();
  Status kept = ports_.ledger.still_has([this] { return shared_.progress.rows(); });
  target_lost_ = !kept && kept.error().reaction == Reaction::Halt;
  return kept;
}

Status Supervisor::count_debts() {
  const auto begun = counted_at_ = shared_.clock.now();
  counted_opened_ = opened_;
  LOCKSTEP_ASSIGN(const std::vector<DebtCount> counts, ports_.ledger.count_debts());
  counted_at_ = shared_.clock.now();
  count_took_ = counted_at_ - begun;
  LOCKSTEP_TRY(look_back());
  counted_ = true;
  debts_.clear();
  std::map<std::string, std::uint64_t> aside;
  for (const DebtCount& count : counts) {
    debts_[count.table] = count;
    if (count.quarantined > 0) aside[shared_.tables[count.table]->text()] = count.quarantined;
    // An operator may have opened it again: the reader, who took the table to be free of debts, is
    // told to look.
    if (count.open > 0) shared_.board.debts_opened(count.table, 1);
  }
  for (const std::string& table : shared_.meters.more_aside(aside))
    events_.quarantined(table, aside.at(table));
  return {};
}

// A table that was rewritten is copied again, once the events before that are applied (I15).
Status Supervisor::watch_shapes() {
  const bool at_once = look_at_once_.exchange(false, std::memory_order_acquire);
  if (at_once || shared_.clock.now() >= next_look_) {
    next_look_ = shared_.clock.now() + options_.look_every;
    LOCKSTEP_TRY(shapes_.look());
    LOCKSTEP_TRY(look_around());
  }
  ShortList newcomers;
  for (const std::string& table : newcomers_) newcomers.add(table);
  if (!newcomers.empty())
    waits_for((newcomers.is_one() ? "table " : "tables ") + newcomers.text() +
              ", which came after this run had begun: start lockstep again");
  LOCKSTEP_ASSIGN(std::string awaited, shapes_.advance(paused()));
  changed_ = !awaited.empty();
  if (changed_) waits_for(std::move(awaited));
  ShortList healing;
  for (const TableMap* table : shared_.tables) {
    const TableLife life = shared_.board.life(table->id);
    if (life.stage != Stage::Healing) continue;
    const std::string& gap = shapes_.gap(table->id);
    if (gap.empty())
      healing.add(table->text());
    else
      waits_for(gap);
    if (life.is_whole() && gap.empty()) next_look_ = {};  // All that is left is a look.
  }
  if (!healing.empty()) waits_for("the heal of " + healing.text());
  return {};
}

void Supervisor::tell(ShapeWatch::News news, const std::string& table, const std::string& what) {
  using enum ShapeWatch::News;
  if (news == Healed) return events_.healed(table);
  // At once: what the last proof says is known to be untrue from here on.
  if (rule_on(Rule::ContradictedProof)) forget_proof();
  if (news == CopiedAgain) events_.copied_again(table, what);
  if (news == PartitionCopied) events_.partition_copied(table, what);
  if (news == Heals) events_.heals(table, what);
}

void Supervisor::note_target(const TargetChange& change) {
  const std::string table = shared_.tables[change.table]->text();
  if (change.effect == TargetEffect::Harmless) return events_.target_warning(table, change.why);
  if (!ports_.plan_again) return void(shared_.board.stop(change.table, change.why));
  events_.planned_again(table, change.why);
  ports_.plan_again();
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
         std::ranges::none_of(all, [](const auto& table) { return table.life.is_stopped(); }) &&
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

// Rows of tables that go on are to be read again.
bool Supervisor::owes_rows() {
  for (const auto& [id, count] : debts_) {
    if (count.open == 0 || shared_.board.stopped(id)) continue;
    waits_for(std::to_string(count.open) + " rows of " + shared_.tables[id]->text() +
              " to be read again");
    return true;
  }
  return false;
}

// Never a number that was not measured.
std::optional<double> Supervisor::lag(Owed owed) const {
  if (source_.kind != SourceState::Kind::Streaming || held_) return std::nullopt;
  std::int64_t oldest = owed == Owed::Counts ? oldest_debt_us_ : 0;
  for (const std::int64_t us : oldest_us_)
    if (us != 0 && (oldest == 0 || us < oldest)) oldest = us;
  if (oldest == 0) oldest = newest_us_;  // Of what is on its way to the lanes.
  if (oldest != 0) {
    const std::int64_t now_us = shared_.source_clock.at(shared_.clock.wall_us());
    return std::max(0.0, static_cast<double>(now_us - oldest) / 1e6);
  }
  // Nothing is under way.  That says something only of what the stream is known to have brought.
  const auto blind = shared_.clock.now() - applied_until_;
  return blind < options_.proof_holds ? std::optional(0.0) : std::nullopt;
}

// V3: a proof is about a moment.  It speaks for now as long as nothing that is known contradicts
// it: a part that waits, a source that is away, a change that has been missing for too long.
bool Supervisor::proof_stands(std::optional<double> lag) const {
  const auto now = shared_.clock.now();
  if (!proven_ || !proven_->complete || now - proven_at_ >= options_.proof_holds) return false;
  if (!rule_on(Rule::ContradictedProof)) return true;
  // A supervisor that hangs knows nothing.
  return now - published_ < kTickMax && lag && *lag < options_.synced_lag_seconds &&
         status_.waiting_for.empty() && health_.waiting().empty();
}

void Supervisor::publish() {
  RunStatus status;
  status.looked = true;
  status.positions = shared_.progress.positions();
  status.waiting_for = waiting_;
  if (more_waits_ > 0)
    status.waiting_for.push_back("and " + std::to_string(more_waits_) + " more things");
  const std::vector<TableStatus> all = shared_.board.all();
  for (TableId id = 0; id < all.size(); ++id) {
    RunTableStatus table;
    table.table = shared_.tables[id]->source.name.text();
    table.target = shared_.tables[id]->target.name.text();
    table.counts = all[id];
    // Whoever reads of a stop acts on it, and the next start must know what it was.
    if (const auto told = told_stopped_.find(id); told != told_stopped_.end())
      table.stopped = told->second;
    if (counted_) {
      const auto found = debts_.find(id);
      table.debts = found == debts_.end() ? 0 : found->second.open;
      table.quarantined = found == debts_.end() ? 0 : found->second.quarantined;
    }
    status.tables.push_back(std::move(table));
  }
  for (const auto& queue : shared_.queues) {
    status.queue_bytes += queue->bytes();
    status.queue_bytes_max += queue->bytes_max();
  }
  const bool complete = is_complete();
  std::int64_t oldest_debt_us = 0;
  for (const auto& [id, count] : debts_) {
    const std::int64_t us = count.oldest_commit_us;
    if (us != 0 && (oldest_debt_us == 0 || us < oldest_debt_us)) oldest_debt_us = us;
  }
  const MutexLock lock(mutex_);
  status.phase = draining_ ? Phase::Drain : backfilled_ ? Phase::Follow : Phase::Backfill;
  status_ = std::move(status);
  held_ = held_back_;
  oldest_debt_us_ = oldest_debt_us;
  published_ = shared_.clock.now();
  if (proven_) proven_->complete = proven_->complete && complete;
  if (lag(Owed::Counts)) lag_known_ = published_;
}

void Supervisor::pause_streams(const std::vector<std::string>& names) {
  const MutexLock lock(mutex_);
  paused_.insert(names.begin(), names.end());
}

void Supervisor::set_source(const SourceState& state, std::int64_t newest_us) {
  const MutexLock lock(mutex_);
  source_ = state;
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

// What changes by the moment is as of now, whatever the last tick saw.
RunStatus Supervisor::status() const {
  using Seconds = std::chrono::duration<double>;
  const MutexLock lock(mutex_);
  const auto now = shared_.clock.now();
  RunStatus status = status_;
  status.lag_seconds = lag(Owed::Counts);
  status.stream_held = held_;
  if (!status.lag_seconds) status.lag_unknown_seconds = Seconds(now - lag_known_).count();
  status.synced = proof_stands(status.lag_seconds);
  status.proof = proven_;
  if (status.proof) status.proof->age_seconds = Seconds(now - proven_at_).count();
  status.trouble = health_.faults();
  std::ranges::copy(health_.waiting(), std::back_inserter(status.waiting_for));
  // A step that failed says it in other words.
  if (source_.kind == SourceState::Kind::Away && !source_.text.empty() &&
      std::ranges::none_of(status.trouble,
                           [](const auto& line) { return line.starts_with(kSourcePart); })) {
    status.trouble.push_back(kSourcePart + source_.text);
    status.waiting_for.push_back(status.trouble.back());
  }
  status.silent_seconds = Seconds(now - published_).count();
  status.source_state = source_.text;
  return status;
}

}  // namespace lockstep
