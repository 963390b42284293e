#include "tests/sim/simulator.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cstdio>

namespace lockstep {
namespace {

constexpr Xid kFirstXid = (Xid{1} << 32) - 20;  // Runs over the 32-bit limit soon.
constexpr int kDepthMax = 2;
constexpr int kRoundsMax = 1500;

std::string text_of(const TargetStore::Rows& rows) {
  std::string text;
  for (const auto& [id, row] : rows) text += " (" + text_of(row) + ")";
  return text;
}

}  // namespace

Simulator::Simulator(const SimOptions& options)
    : options_(options),
      random_(options.seed),
      tables_(make_tables(options_)),
      source_(tables_, kFirstXid),
      log_(options_.mode, source_, options_.partitions),
      store_(tables_, 3),
      checkpoint_(*this),
      workload_(options_, source_, random_) {}

Outside Simulator::outside() {
  return {tables_, source_, log_,  store_,   zombies_, checkpoint_,
          clock_,  random_, *this, control_, exported_};
}

void Simulator::note(std::string_view what, std::string_view detail) {
  if (!trace_) return;
  fmt::print(stderr, "{:5d} {:{}}{}{}{}\n", steps_, "", depth_ * 2, what,
             detail.empty() ? "" : ": ", detail);
}

// The migration begins in the middle of the applications' work.
void Simulator::prepare() {
  workload_.seed_rows();
  for (int i = random_.between(0, 40); i > 0; --i) {
    workload_.step();
    if (random_.chance(200)) workload_.make_one_visible();
    if (random_.chance(300)) log_.decode(false);
  }
  begin_migration(options_, outside());
}

std::string Simulator::run() {
  prepare();
  restart();
  for (int step = 0; step < options_.steps && failure_.empty(); ++step) act(false);
  if (failure_.empty()) settle();
  if (failure_.empty()) failure_ = compare();
  if (failure_.empty()) failure_ = check_bookkeeping();
  // A restart changes nothing.
  if (failure_.empty() && random_.chance(200)) {
    ours_.reset();
    restart();
    settle();
    if (failure_.empty()) failure_ = compare();
  }
  return failure_;
}

Simulator::Kind Simulator::choose_kind() {
  const int ours = options_.poll_weight + options_.debt_weight + options_.probe_weight +
                   options_.supervisor_weight +
                   static_cast<int>(options_.lanes) * options_.lane_weight +
                   static_cast<int>(options_.scanners) * options_.scan_weight;
  const int weights[] = {options_.source_weight, options_.visible_weight, 12, ours, 4, 4};
  int total = 0;
  for (const int weight : weights) total += weight;
  int left = random_.between(0, total - 1);
  for (std::size_t kind = 0;; ++kind) {
    if (left < weights[kind]) return static_cast<Kind>(kind);
    left -= weights[kind];
  }
}

void Simulator::act(bool nested) {
  ++steps_;
  switch (choose_kind()) {
    case Kind::Apps:
      workload_.step();
      return note_source();
    case Kind::Visible:
      workload_.make_one_visible();
      return note_source();
    case Kind::Decode:
      log_.decode(random_.chance(200));
      return;
    case Kind::Our:
      if (ours_ != nullptr) return act_ours();
      if (random_.chance(100)) restart();
      return;
    case Kind::Time:
      clock_.advance(std::chrono::milliseconds(random_.between(1, 900)));
      return;
    case Kind::Trouble:
      if (!nested) make_trouble();
      return;
  }
}

// Tells of new commits, and of what became visible.
void Simulator::note_source() {
  if (!trace_) return;
  const auto& log = source_.log();
  noted_ = std::min(noted_, log.size());
  for (; noted_ < log.size(); ++noted_) {
    note("commit", fmt::format("xid {} at {}", log[noted_].xid, log[noted_].commit_lsn));
    for (const SourceChange& change : log[noted_].changes)
      for (const Change& event : change.events)
        note("      ", text_of(tables_[event.table], event));
  }
  note("running", source_.snapshot().text());
}

void Simulator::act_ours() {
  std::vector<Process::Turn> choices;
  for (const Process::Turn& turn : ours_->turns()) {
    // Who reads debts is a reader of chunks, too.
    const int reads = options_.scan_weight + (turn.index == 0 ? options_.debt_weight : 0);
    const int weights[] = {
        options_.poll_weight,  options_.lane_weight,       reads,
        options_.probe_weight, options_.supervisor_weight, options_.sweep_weight};
    const int weight = weights[static_cast<std::size_t>(turn.actor)];
    choices.insert(choices.end(), static_cast<std::size_t>(weight), turn);
  }
  const Process::Turn turn = random_.pick(choices);
  if (trace_) note(ours_->describe(turn));
  const Status done = ours_->step(turn);
  if (!done && trace_) note("  error", done.error().message);
  if (!done && done.error().reaction == Reaction::Halt)
    failure_ = "halted: " + done.error().message;
  if (depth_ == 0) after_step();
}

// What the program does when its supervisor is content, and when it has drained.
void Simulator::after_step() {
  if (killed_) return bury();
  if (!ours_->draining()) check_proof();
  if (ours_->waiting() && ours_->status().synced) failure_ = "synced beside a part that waits";
  check_sweep();
  if (options_.moment > 0) step_look();
  if (!ours_->draining() && (ours_->reached() || settled_)) {
    note("ENDS");
    ours_->drain();
  }
  if (!ours_->drained()) return;
  note("DRAINED");
  const bool done = ours_->reached() == ExitCode::Ok;
  if (options_.until_synced && !done && ours_->exit_code() == ExitCode::Ok)
    failure_ = "ends as synced, and is not";
  ours_.reset();
}

// The supervisor says of all that the source holds now that the target holds it.
bool Simulator::proven() const {
  const std::optional<Proof> proof = ours_->status().proof;
  const auto& log = source_.log();
  return proof && source_.logged_transactions().empty() &&
         (log.empty() || log.back().commit_lsn <= proof->position);
}

void Simulator::check_proof() {
  if (!proven() || !failure_.empty()) return;
  failure_ = compare();
  settled_ = calm_ && !ours_->any_stopped();
}

// Nobody else writes to the target: whatever a sweep finds is a false alarm.
void Simulator::check_sweep() {
  const SweepStatus status = ours_->sweep_status();
  for (const Finding& finding : status.findings)
    if (failure_.empty())
      failure_ = fmt::format("the sweep finds {} key {}: {}", finding.table,
                             key_id(table_named(tables_, finding.table), finding.key),
                             kind_text(finding.kind));
  for (const auto& [table, told] : status.tables) {
    if (told.findings > 0 && failure_.empty())
      failure_ = fmt::format("the sweep finds something in table {}", table);
    if (options_.all_verified && told.unverified > 0 && failure_.empty())
      failure_ = fmt::format("the sweep leaves keys of table {} in doubt", table);
  }
  if (options_.sweep_weight > 0 && !options_.sweep_continuous && !status.running) ours_->sweep();
}

// Nothing is on its way to the target but what the stream brings.
bool Simulator::all_is_told() const {
  const RunStatus status = ours_->status();
  return status.phase == Phase::Follow && store_.debts().empty() &&
         std::ranges::all_of(status.tables, [](const RunTableStatus& table) {
           const TableLife& life = table.counts.life;
           return table.stopped.empty() && life.stage == Stage::Following && life.is_settled();
         });
}

std::uint64_t Simulator::debts_opened() const {
  std::uint64_t opened = 0;
  for (const RunTableStatus& table : ours_->status().tables) opened += table.counts.debts_opened;
  return opened;
}

void Simulator::step_look() {
  constexpr std::size_t kStepsMax = 2000;
  if (!look_) {
    if (ours_->draining() || !random_.chance(options_.moment) || !all_is_told()) return;
    note("LOOKS at both sides");
    ours_->moment().begin();
    look_ = Look{steps_ + kStepsMax, debts_opened(), {}, {}};
    return;
  }
  if (ours_->draining() || steps_ >= look_->until) {
    note("gives up the look");
    ours_->moment().end();
    look_.reset();
  } else if (!look_->source) {
    // Rows that are about to be truncated can be read by nobody, whatever his snapshot.
    for (TableId table = 0; table < tables_.size(); ++table)
      if (source_.locked(table)) return;
    const Snapshot snapshot = source_.snapshot();
    ours_->moment().see(snapshot);
    note("the source is read under", snapshot.text());
    look_->source.emplace(tables_.size());
    for (TableId table = 0; table < tables_.size(); ++table)
      for (const FakeRow& row : source_.rows(table, snapshot))
        (*look_->source)[table][row.id] = row;
  } else {
    look_at_target();
  }
}

void Simulator::look_at_target() {
  Moment& moment = ours_->moment();
  bool good = true;
  if (!look_->target) {
    if (!moment.stands()) return;
    look_->target.emplace();
    for (TableId table = 0; table < tables_.size(); ++table)
      look_->target->push_back(store_.rows(table));
    good = moment.release();
    note("the target is read", good ? "" : "in vain");
    if (good) return;
  } else {
    const auto exact = moment.exact();
    if (!exact) return;
    good = *exact;
  }
  good = good && all_is_told() && debts_opened() == look_->debts_opened;
  note("the look is over", good ? "it counts" : "it does not count");
  if (good) ++looks_;
  for (TableId table = 0; good && failure_.empty() && table < tables_.size(); ++table)
    if ((*look_->source)[table] != (*look_->target)[table])
      failure_ = fmt::format("at one moment table {} has: source{}, target{}", table,
                             text_of((*look_->source)[table]), text_of((*look_->target)[table]));
  moment.end();
  look_.reset();
}

void Simulator::bury() {
  note("KILLED");
  ours_.reset();
  killed_ = false;
}

void Simulator::restart() {
  const std::size_t copies = checkpoint_.older_copies();
  if (copies > 0 && random_.chance(options_.old_checkpoint)) {
    const std::size_t newest = random_.chance(500) ? std::min<std::size_t>(copies, 4) : copies;
    const std::size_t copy = copies - 1 - random_.below(newest);
    if (trace_) note("an older checkpoint is put back", std::to_string(copy));
    checkpoint_.restore(copy);
  } else if (random_.chance(options_.no_checkpoint)) {
    note("the checkpoint is lost");
    checkpoint_.wipe();
  }
  if (random_.chance(50)) store_.claim();  // A start that died before it recorded itself.
  look_.reset();                           // It was of the process before.
  ours_ = std::make_unique<Process>(options_, outside());
  note("RESTART", fmt::format("epoch {}", store_.epoch()));
}

void Simulator::make_trouble() {
  if (!zombies_.empty() && random_.chance(300)) {
    note("a zombie's transaction is carried out");
    const auto zombie = std::move(zombies_.front());
    zombies_.erase(zombies_.begin());
    // Its answer reaches nobody.
    static_cast<void>(store_.apply(zombie->epoch, zombie->transaction));
    return;
  }
  if (ours_ != nullptr && random_.chance(options_.kill * 5)) return bury();
  if (ours_ != nullptr && ours_->draining() && random_.chance(200)) {
    note("the end takes too long");
    return ours_->cut_off();
  }
  if (ours_ != nullptr && !ours_->draining() && random_.chance(options_.drain * 5)) {
    note("asked to stop");
    return ours_->drain();
  }
  if (random_.chance(options_.source_crash * 5)) {
    if (trace_) note("the source crashes", fmt::format("flushed to {}", source_.flush_lsn()));
    return source_.crash();
  }
  if (exported_ && random_.chance(options_.end_export * 20)) {
    note("the exported snapshot dies");
    exported_->alive = false;
    return;
  }
  if (random_.chance(options_.rewrite * 20)) {
    const auto table = static_cast<TableId>(random_.below(tables_.size()));
    const auto keys = random_.chance(500) ? FakeSource::Keys::Moved : FakeSource::Keys::Kept;
    if (source_.rewrite(table, keys)) note("a table is rewritten", std::to_string(table));
    return;
  }
  if (options_.attach > 0 && random_.chance(options_.attach * 20)) {
    const auto table = static_cast<TableId>(random_.below(tables_.size()));
    if (workload_.attach(table)) note("a partition comes with rows", std::to_string(table));
    return;
  }
  if (options_.lose_partition > 0 && random_.chance(options_.lose_partition * 20)) {
    const auto table = static_cast<TableId>(random_.below(tables_.size()));
    const auto loss =
        random_.chance(500) ? FakeSource::Loss::Truncated : FakeSource::Loss::Detached;
    if (knows_last_partition(table) && source_.lose_partition(table, loss))
      note("a partition is lost", std::to_string(table));
    return;
  }
  if (options_.pause > 0 && random_.chance(options_.pause * 20)) return toggle_pause();
  if (options_.mode == StreamMode::Kafka && random_.chance(options_.repeat * 10)) {
    note("the connector repeats itself");
    return log_.repeat(static_cast<std::size_t>(random_.between(1, 4)));
  }
  if (options_.mode == StreamMode::Kafka && random_.chance(options_.reread * 10)) {
    const auto table = static_cast<TableId>(random_.below(tables_.size()));
    return log_.emit_reread(table, random_.between(0, options_.keys - 1));
  }
  if (ours_ != nullptr && random_.chance(options_.stop_table * 20)) {
    note("a table stops");
    const auto table = static_cast<TableId>(random_.below(tables_.size()));
    if (random_.chance(500)) return ours_->break_event(table);
    ours_->break_table(static_cast<std::uint32_t>(random_.below(options_.lanes)), table);
  }
}

// An operator holds a part or a table, or lets it go on.
void Simulator::toggle_pause() {
  const std::size_t which = random_.below(kScopes.size() + 1);
  const std::string name = which < kScopes.size()
                               ? std::string(part_text(kScopes[which]))
                               : held_table(tables_[random_.below(tables_.size())].text());
  const bool held = control_.resume(name);  // Of a table it counts from the next run.
  note(held ? "resume" : "pause", name);
  if (!held) control_.pause(name, {"the simulator", "", 0});
}

// One that comes and goes between two looks leaves rows that nothing tells of.
bool Simulator::knows_last_partition(TableId table) const {
  const auto known = parse_files(store_.files(table));
  const std::uint32_t last = source_.files(table).back().relation;
  return known && std::ranges::find(known->files, last, &TableFile::relation) != known->files.end();
}

void Simulator::interleave(std::string_view where) {
  if (calm_ || killed_ || depth_ >= kDepthMax || !random_.chance(options_.interleave)) return;
  note("meanwhile", where);
  ++depth_;
  for (int i = random_.between(1, options_.interleave_steps); i > 0 && !killed_; --i) act(true);
  --depth_;
}

Fate Simulator::fate(std::string_view where) {
  if (calm_ || killed_) return Fate::Work;
  if (random_.chance(options_.lost)) {
    const Fate fate = random_.chance(500) ? Fate::LostBefore : Fate::LostAfter;
    note(fate == Fate::LostBefore ? "lost before" : "lost after", where);
    return fate;
  }
  if (!random_.chance(options_.kill)) return Fate::Work;
  constexpr Fate kinds[] = {Fate::KilledBefore, Fate::KilledAfter, Fate::Zombie};
  killed_ = true;
  const Fate fate = kinds[random_.below(3)];
  if (trace_) note("killed", fmt::format("{} ({})", where, static_cast<int>(fate)));
  return fate;
}

void Simulator::settle_round() {
  workload_.finish();
  while (log_.decode(false)) {
  }
  clock_.advance(std::chrono::milliseconds(1100));
  const std::vector<Process::Turn> turns = ours_->turns();
  for (int i = 0; i < 4; ++i) {
    for (const Process::Turn& turn : turns) {
      ++steps_;
      if (trace_) note(ours_->describe(turn));
      const Status done = ours_->step(turn);
      if (!done && done.error().reaction == Reaction::Halt)
        failure_ = "halted: " + done.error().message;
      after_step();
      if (ours_ == nullptr) return;
    }
  }
}

// Meanwhile the applications go on, and the copy must come to its end all the same.
void Simulator::work_on() {
  for (int round = 0; round < options_.busy_rounds && failure_.empty(); ++round) {
    if (ours_ == nullptr) restart();
    for (int i = 0; i < 40; ++i) workload_.step();
    settle_round();
    if (ours_ == nullptr || ours_->any_stopped() || ours_->copied()) return;
  }
  if (options_.busy_rounds != 0 && failure_.empty()) failure_ = "the copy gets no turn";
}

// Until the supervisor says so.
void Simulator::settle() {
  note("SETTLE");
  calm_ = true;
  for (const auto& [name, pause] : control_.pauses()) control_.resume(name);
  settled_ = false;
  work_on();
  for (int round = 0; round < kRoundsMax && failure_.empty(); ++round) {
    if (ours_ == nullptr && settled_) return;
    if (ours_ == nullptr) restart();
    settle_round();
    if (ours_ == nullptr || !ours_->any_stopped()) continue;
    note("an operator repairs the table");
    ours_.reset();
  }
  if (failure_.empty()) failure_ = "does not come to an end: " + why_unsettled();
}

std::string Simulator::why_unsettled() const {
  if (!log_.decoded_all()) return "the log is not decoded";
  if (ours_ == nullptr) return "the program has ended";
  for (const std::string& reason : ours_->status().waiting_for) return reason;
  return {};
}

std::string Simulator::compare() const {
  for (TableId table = 0; table < tables_.size(); ++table) {
    if (source_.locked(table)) continue;
    if (ours_ != nullptr && !ours_->status().tables[table].stopped.empty()) continue;
    if (std::string difference = compare_table(table); !difference.empty()) return difference;
  }
  return {};
}

std::string Simulator::compare_table(TableId table) const {
  TargetStore::Rows expected;
  for (const FakeRow& row : source_.rows(table, source_.snapshot())) expected[row.id] = row;
  TargetStore::Rows found = store_.rows(table);
  for (const Debt& debt : store_.debts()) {
    // One that was opened since the proof changes nothing: the connector repeated itself.
    if (debt.table != table || !debt.quarantined) continue;
    const int id = key_id(tables_[table], debt.key);
    if (!source_.disliked().contains({table, id}))
      return fmt::format("table {} key {} is quarantined without a reason", table, id);
    expected.erase(id);
    found.erase(id);
  }
  for (const auto& [id, row] : expected) {
    const auto on_target = found.find(id);
    if (on_target == found.end())
      return fmt::format("table {}: missing on the target: {}", table, text_of(row));
    if (on_target->second != row)
      return fmt::format("table {}: source {}, target {}", table, text_of(row),
                         text_of(on_target->second));
    found.erase(on_target);
  }
  if (found.empty()) return {};
  return fmt::format("table {}: only on the target: {}", table, text_of(found.begin()->second));
}

// The target's own account must be complete: a new process would believe it.
std::string Simulator::check_bookkeeping() const {
  const Progress progress(options_.lanes, store_.progress());
  for (StreamId stream = 0; stream < log_.names().size(); ++stream)
    if (progress.least(log_.names()[stream]) < log_.end(stream))
      return "progress is not at the end of " + log_.names()[stream];
  TableBoard board(tables_.size());
  PlannerOptions planner_options;
  for (TableId table = 0; table < tables_.size(); ++table) planner_options.order.push_back(table);
  Planner planner(planner_options, board);
  planner.restore(store_.marks());
  return planner.all_done() ? std::string() : "the chunks' marks are not complete";
}

}  // namespace lockstep
