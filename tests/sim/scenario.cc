#include "tests/sim/scenario.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>

namespace lockstep {
namespace {

constexpr int kDrainRoundsMax = 60;
constexpr int kSweepSteps = 20;
constexpr std::uint32_t kScanner = 1;  // The first reader is left to the debts.

}  // namespace

SimOptions scenario_options(std::vector<FakeTableOptions> tables) {
  SimOptions options;
  options.partitions.assign(tables.size(), 1);
  options.tables = std::move(tables);
  options.scanners = 2;
  options.chunk_rows = 100;
  options.piece_bytes = 10'000;
  options.item_changes_max = 1;
  options.item_rows_max = 1;
  return options;
}

FakeRow row(int id, int version, const std::string& unique) {
  return {id, 0, fmt::format("a{}", version), fmt::format("toast{}", version), unique};
}

Scenario::Scenario(SimOptions options)
    : options_(std::move(options)),
      random_(1),
      tables_(make_tables(options_)),
      source(tables_, 100),
      store(tables_),
      log_(options_.mode, source, options_.partitions),
      checkpoint_(*this) {}

void Scenario::interleave(std::string_view where) {
  ++calls_[std::string(where)];
  const auto found = work_.find(where);
  if (found == work_.end()) return;
  const auto work = std::move(found->second);
  work_.erase(found);
  work();
}

Fate Scenario::fate(std::string_view where) {
  const auto found = fates_.find(where);
  if (found == fates_.end()) return Fate::Work;
  const Fate fate = found->second;
  fates_.erase(found);
  killed_ = fate == Fate::KilledBefore || fate == Fate::KilledAfter || fate == Fate::Zombie;
  return fate;
}

void Scenario::log(Xid xid) {
  source.log_commit(xid);
  source.flush(source.insert_lsn());
  while (log_.decode(false)) {
  }
}

void Scenario::visible(Xid xid) { CHECK(source.make_visible(xid)); }

void Scenario::commit(Xid xid) {
  log(xid);
  visible(xid);
}

void Scenario::start() {
  const Outside outside{tables_, source,  log_,  store,    zombies_, checkpoint_,
                        clock_,  random_, *this, control_, exported_};
  if (store.epoch() == 0) begin_migration(options_, outside);
  ours_ = std::make_unique<Process>(options_, outside);
}

void Scenario::crash() {
  ours_.reset();
  killed_ = false;
  work_.clear();
  fates_.clear();
  start();
}

void Scenario::crash_back_to(std::size_t copy) {
  ours_.reset();
  if (copy < checkpoint_.older_copies()) checkpoint_.restore(copy);  // Else nothing came since.
  crash();
}

Status Scenario::try_step(Process::Actor actor, std::uint32_t index) {
  Status done = ours_->step({actor, index});
  return !done && done.error().reaction == Reaction::Halt ? done : Status();
}

void Scenario::deliver() {
  for (int i = 0; i < 40; ++i) step(Process::Actor::Source);
}

void Scenario::apply(std::uint32_t lane) {
  for (int i = 0; i < 12; ++i) step(Process::Actor::Lane, lane);
}

void Scenario::apply() {
  for (int i = 0; i < 12; ++i)
    for (std::uint32_t lane = 0; lane < options_.lanes; ++lane) step(Process::Actor::Lane, lane);
}

void Scenario::apply_once() {
  for (std::uint32_t lane = 0; lane < options_.lanes; ++lane) step(Process::Actor::Lane, lane);
}

void Scenario::scan(int steps) {
  for (int i = 0; i < steps; ++i) step(Process::Actor::Chunk, kScanner);
}

void Scenario::scan_all() {
  for (int i = 0; i < 20; ++i) {
    scan(1);
    apply();
  }
}

void Scenario::read_debts(int steps) {
  for (int i = 0; i < steps; ++i) step(Process::Actor::Debts);
}

Status Scenario::try_watch() {
  while (log_.decode(false)) {
  }
  return try_step(Process::Actor::Supervisor);
}

ExitCode Scenario::end(bool cut) {
  ours_->drain();
  if (cut) ours_->cut_off();
  for (int i = 0; i < 20 && !ours_->drained(); ++i)
    for (const Process::Turn& turn : ours_->turns()) step(turn.actor, turn.index);
  CHECK(ours_->drained());
  return ours_->exit_code();
}

void Scenario::carry_out_zombies() {
  for (const auto& zombie : zombies_)
    static_cast<void>(store.apply(zombie->epoch, zombie->transaction));  // Nobody hears of it.
  zombies_.clear();
}

void Scenario::sweep_round() {
  clock_.advance(std::chrono::milliseconds(100));
  flush();
  step(Process::Actor::Sweep);
  while (log_.decode(false)) {
  }
  deliver();
  probe();
  step(Process::Actor::Supervisor);
  apply();
}

SweepStatus Scenario::sweep() {
  ours_->sweep();
  for (int round = 0; round < 5000 && ours_->sweep_status().running; ++round) sweep_round();
  return ours_->sweep_status();
}

std::uint64_t Scenario::finding_of(int id) {
  const auto open = checkpoint_.verified().open_findings(tables_[0].text(), 1000);
  for (const Finding& finding : *open)
    if (id_of(finding) == id) return finding.id;
  return 0;
}

SweepStatus Scenario::sweep_on() {
  for (int round = 0; round < 300; ++round) {
    sweep_round();
    read_debts(4);
    apply();
  }
  return ours_->sweep_status();
}

std::string Scenario::settle() {
  for (const Xid xid : source.open_transactions()) source.log_commit(xid);
  source.flush(source.insert_lsn());
  for (const Xid xid : source.logged_transactions()) visible(xid);
  while (log_.decode(false)) {
  }
  for (int round = 0; round < kDrainRoundsMax; ++round) {
    clock_.advance(std::chrono::seconds(2));
    deliver();
    probe();
    watch();
    if (ours_->status().proof) return difference();
    scan_all();
    for (int i = 0; i < kSweepSteps; ++i) step(Process::Actor::Sweep);
    read_debts(8);
    apply();
  }
  const std::vector<std::string> reasons = ours_->status().waiting_for;
  return "does not come to an end: " + (reasons.empty() ? "" : reasons.front());
}

std::string Scenario::difference() const {
  for (TableId table = 0; table < tables_.size(); ++table) {
    TargetStore::Rows expected;
    for (const FakeRow& row : source.rows(table, source.snapshot())) expected[row.id] = row;
    if (expected == store.rows(table)) continue;
    std::string text = fmt::format("table {}: source", table);
    for (const auto& [id, row] : expected) text += " [" + text_of(row) + "]";
    text += ", target";
    for (const auto& [id, row] : store.rows(table)) text += " [" + text_of(row) + "]";
    return text;
  }
  return {};
}

void expect_needed(Rule rule, const std::function<std::string()>& script) {
  EXPECT_EQ(script(), "");
  switch_rule_off(rule);
  EXPECT_NE(script(), "") << "the scenario does not need the rule";
  switch_all_rules_on();
}

}  // namespace lockstep
