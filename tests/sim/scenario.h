// Scenario: a scripted interleaving on the simulator's parts, in the words of the models: a change
// is logged, delivered, applied, visible; a chunk is read, copied, committed.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "pipeline/base/rules.h"
#include "tests/sim/process.h"

namespace lockstep {

// One table per entry of `tables`, two lanes, a reader of debts, and a scanner whose chunk is the
// whole table.
SimOptions scenario_options(std::vector<FakeTableOptions> tables = {FakeTableOptions{}});

class Scenario final : public Chaos {
 public:
  explicit Scenario(SimOptions options = scenario_options());

  // ---- the applications
  // Rows that are there before the migration starts.  REQUIRES: start() was not called.
  void seed(const FakeRow& row, TableId table = 0) { source.seed_row(table, row); }
  Xid begin(CommitMode mode = CommitMode::Sync) { return source.begin(mode); }
  // What was written so far is flushed (I6 waits for nothing).
  void flush() { source.flush(source.insert_lsn()); }
  // Decodable from now on; not visible.
  void log(Xid xid);
  void visible(Xid xid);
  // Both at once.
  void commit(Xid xid);

  // ---- our process
  void start();
  void crash();  // And start again.
  // The same, with the state directory as it was when `copy` was taken.
  std::size_t copy_checkpoint() const { return checkpoint_.older_copies(); }
  void crash_back_to(std::size_t copy);
  void deliver();
  // The connector tells only that the row is to be read again: a debt.
  void reread(int id) { log_.emit_reread(0, id); }
  void set_fault(StreamFault fault) { log_.set_fault(fault); }
  void read_once() { step(Process::Actor::Reader); }
  void poll_once() { step(Process::Actor::Source); }
  void apply();  // All lanes, as far as they get.
  void apply_once();
  void apply(std::uint32_t lane);
  void scan(int steps);  // Of the scanner.
  void scan_all();       // Until the scanner has nothing left, the lanes helping.
  void probe() { step(Process::Actor::Probe); }
  void read_debts(int steps);
  // What is logged is decoded first.  An error that ends the run is returned.
  Status try_watch();
  void watch() { CHECK(try_watch().has_value()); }
  RunStatus status() const { return ours_->status(); }
  // One step of the comparison, the supervisor and the lanes helping.
  void sweep_round();
  // Compares everything, until that is over.
  SweepStatus sweep();
  // Lets the continuous comparison go on for a while, likewise; debts are settled meanwhile.
  SweepStatus sweep_on();
  // Of the finding as it is now.
  void repair(std::uint64_t finding, RepairScope scope = RepairScope::All) {
    ours_->repair({{finding, {scope, seen_as(this->finding(finding).value())}}});
  }
  void mark(FindingMark mark) { ours_->mark(mark); }
  std::uint64_t finding_of(int id);
  std::optional<Finding> finding(std::uint64_t id) { return *checkpoint_.verified().find(id); }
  SweepStatus sweep_status() const { return ours_->sweep_status(); }
  int id_of(const Finding& finding) const {
    return key_id(table_named(tables_, finding.table), finding.key);
  }
  void pass(std::chrono::milliseconds time) { clock_.advance(time); }
  void set_clock_back(std::chrono::milliseconds by) { clock_.set_back(by); }
  // An orderly end; `cut`: which takes too long.  Returns the exit code.
  ExitCode end(bool cut);
  // Runs `work` once, at the next call to the fake port named `where`.
  void at(const std::string& where, std::function<void()> work) { work_[where] = std::move(work); }
  void fail_next(const std::string& where, Fate fate) { fates_[where] = fate; }
  // How often the fake port named `where` was called.
  std::size_t calls(const std::string& where) const {
    const auto found = calls_.find(where);
    return found == calls_.end() ? 0 : found->second;
  }
  void carry_out_zombies();

  // Everything ends, and the supervisor says so.  Returns what is wrong; empty: nothing.
  std::string settle();
  std::string difference() const;
  bool on_target(int id, TableId table = 0) const { return store.rows(table).contains(id); }
  std::size_t debts() const { return store.debts().size(); }

  // Chaos
  void interleave(std::string_view where) override;
  Fate fate(std::string_view where) override;
  bool killed() const override { return killed_; }

 private:
  Status try_step(Process::Actor actor, std::uint32_t index = 0);
  void step(Process::Actor actor, std::uint32_t index = 0) {
    CHECK(try_step(actor, index).has_value());
  }

  const SimOptions options_;
  Random random_;
  std::vector<TableMap> tables_;

 public:
  FakeSource source;
  TargetStore store;

 private:
  StreamLog log_;
  Zombies zombies_;
  FakeCheckpoint checkpoint_;
  FakeClock clock_;
  Control control_;
  std::optional<FakeExport> exported_;
  std::unique_ptr<Process> ours_;
  bool killed_ = false;
  std::map<std::string, std::function<void()>, std::less<>> work_;
  std::map<std::string, Fate, std::less<>> fates_;
  std::map<std::string, std::size_t, std::less<>> calls_;
};

// The row as version `version` of an application would write it.
FakeRow row(int id, int version, const std::string& unique = "");

// Runs `script` with all rules on, when the target must equal the source at its end, and with
// `rule` off, when it must not: the scenario is the one that the rule is for.
void expect_needed(Rule rule, const std::function<std::string()>& script);

}  // namespace lockstep
