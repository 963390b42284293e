// Process: one life of our process: an Assembly, the one that the program has, on fake ports.  It
// dies by being destroyed.
#pragma once

#include <algorithm>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "pipeline/run/assembly.h"
#include "tests/fakes/fake_checkpoint.h"
#include "tests/fakes/fake_clock.h"
#include "tests/fakes/fake_events.h"
#include "tests/fakes/fake_reader.h"
#include "tests/fakes/fake_stream.h"
#include "tests/fakes/fake_target.h"
#include "tests/sim/options.h"

namespace lockstep {

std::vector<TableMap> make_tables(const SimOptions& options);

// What outlives our process.
struct Outside {
  const std::vector<TableMap>& tables;
  FakeSource& source;
  StreamLog& log;
  TargetStore& store;
  Zombies& zombies;
  FakeCheckpoint& checkpoint;
  FakeClock& clock;
  Random& random;
  Chaos& chaos;
  Control& control;
  // Of the first process; dies with it.
  std::optional<FakeExport>& exported;
};

// The first start of a migration, as `prepare` does it: positions, horizons, and what is exported.
void begin_migration(const SimOptions& options, const Outside& outside);

// Claims the migration, as `prepare` does: U is what the checkpoint proves, else the largest xid
// (I5).
class Process {
 public:
  Process(const SimOptions& options, const Outside& outside);
  ~Process() { outside_.exported.reset(); }
  Process(const Process&) = delete;
  Process& operator=(const Process&) = delete;

  // Who acts: the run's parts, and for scripts the two that share the first of its readers.
  enum class Actor : std::uint8_t { Source, Lane, Reader, Probe, Supervisor, Sweep, Chunk, Debts };
  struct Turn {
    Actor actor = Actor::Source;
    std::uint32_t index = 0;
    friend bool operator==(const Turn&, const Turn&) = default;
  };
  // Without the two for scripts.
  const std::vector<Turn>& turns() const { return turns_; }
  // Lets somebody do one step, unless he is in the middle of one in an outer call.
  Status step(Turn turn);
  std::string describe(Turn turn) const;

  // That the run has come to what it was asked for, as the supervisor's last step said.
  std::optional<ExitCode> reached() const { return reached_; }
  ExitCode exit_code() const { return run_.exit_code(reached_); }
  RunStatus status() const { return run_.status(); }
  // Compares all tables from now on.
  void sweep();
  void repair(WantedRepairs wanted) { run_.repair(std::move(wanted)); }
  void mark(FindingMark mark) { run_.mark(mark); }
  Moment& moment() { return run_.moment(); }
  SweepStatus sweep_status() const { return run_.sweep_status(); }
  bool any_stopped() const { return run_.any_stopped(); }
  // A part's last step failed, and it will try again.
  bool waiting() const { return !waiting_.empty(); }
  bool copied() const {
    const std::vector<RunTableStatus> tables = run_.status().tables;
    return std::ranges::all_of(tables, [](const auto& table) { return table.counts.life.copied; });
  }
  void break_table(std::uint32_t lane, TableId table) { lane_targets_[lane]->break_table(table); }
  void break_event(TableId table) { stream_.break_table(table); }

  // An orderly end, one stage after the other, as steps are made.
  void drain();
  bool draining() const { return stage_.has_value(); }
  void cut_off() { run_.cut_off(); }  // An end that took too long.
  bool drained() const { return stage_ && *stage_ == kStages; }

 private:
  static constexpr std::size_t kStages = 4;  // Of Assembly::Part.

  RunOptions run_options();
  RunPorts run_ports();
  std::vector<KnownFiles> known_files() const;
  std::vector<Position> resume() const;
  FakeExport* exported() const { return outside_.exported ? &*outside_.exported : nullptr; }
  FakeTarget::Connection connect() { return {epoch_, epoch_ * 100 + ++connections_}; }
  Result<Assembly::Turn> step_run(Turn turn);
  void end_stages();

  const SimOptions& options_;
  const Outside outside_;
  const std::uint64_t last_epoch_;
  const std::uint64_t epoch_;
  std::uint64_t connections_ = 0;
  FakeEvents events_;
  FakeStream stream_;
  FakeProbe probe_;
  FakeProbe marker_probe_;
  FakeProof proof_;
  FakeLedger ledger_;
  Meters meters_;
  FakeReader compare_source_;
  FakeTargetReader compare_target_;
  std::vector<FakeTarget*> lane_targets_;
  Assembly run_;
  std::optional<ExitCode> reached_;
  std::optional<std::size_t> stage_;  // Of the orderly end.
  std::vector<Turn> turns_;
  std::vector<Turn> busy_;
  std::vector<Turn> waiting_;
  std::vector<Turn> over_;
};

}  // namespace lockstep
