// Process: one life of our process: the real router, lanes, scanners and reader of debts, wired as
// runner.cc wires them, on fake ports.  It dies by being destroyed.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "pipeline/apply/lane.h"
#include "pipeline/apply/route.h"
#include "pipeline/backfill/debts.h"
#include "pipeline/backfill/planner.h"
#include "pipeline/backfill/scanner.h"
#include "pipeline/watch/shape_watch.h"
#include "tests/fakes/fake_checkpoint.h"
#include "tests/fakes/fake_clock.h"
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

  enum class Actor : std::uint8_t { Source, Lane, Scanner, Debts, Probe, Watch };
  struct Turn {
    Actor actor = Actor::Source;
    std::uint32_t index = 0;
  };
  const std::vector<Turn>& turns() const { return turns_; }
  // Lets one of turns() do one step.  Returns false when it is busy in an outer call.
  Result<bool> step(std::size_t turn);
  std::string describe(std::size_t turn) const;

  // Nothing is left to do, as far as this process knows.
  bool quiet() { return why_not_quiet().empty(); }
  std::string why_not_quiet();
  bool any_stopped() const;
  bool backfill_done() { return planner_.all_done(); }
  void look_for_debts() { debt_reader_.look_again(); }
  void break_table(std::uint32_t lane, TableId table) { lane_targets_[lane]->break_table(table); }

 private:
  static Unseen current(const Outside& outside, std::uint64_t last_epoch);
  static std::vector<KnownFiles> known_files(const Outside& outside);
  static std::vector<Position> resume(const SimOptions& options, const Outside& outside,
                                      const Progress& progress);
  void build_lanes();
  void build_scanners();
  FakeExport* exported() const { return outside_.exported ? &*outside_.exported : nullptr; }
  FakeTarget::Connection connect() { return {epoch_, epoch_ * 100 + ++connections_}; }

  Status step_source();
  Status step_lane(std::uint32_t lane);
  Status step_watch();

  const SimOptions& options_;
  const Outside outside_;
  const std::uint64_t last_epoch_;
  const std::uint64_t epoch_;
  std::uint64_t connections_ = 0;
  std::vector<const TableMap*> tables_;
  const Unseen unseen_;
  Visibility visibility_;
  std::vector<std::unique_ptr<Recent>> recents_;
  std::vector<std::unique_ptr<LaneQueue>> queues_;
  Progress progress_;
  TableBoard board_;
  const Shared shared_;
  Planner planner_;
  Pacer pacer_;
  FakeStream stream_;
  Router router_;
  FakeProbe probe_;
  std::vector<std::unique_ptr<FakeTarget>> lane_targets_;
  std::vector<std::unique_ptr<Lane>> lanes_;
  std::vector<std::unique_ptr<FakeReader>> readers_;
  std::vector<std::unique_ptr<FakeTarget>> scan_targets_;
  std::vector<std::unique_ptr<Scanner>> scanners_;
  FakeReader debt_source_;
  FakeTarget debt_target_;
  DebtReader debt_reader_;
  FakeProof proof_;
  FakeLedger ledger_;
  ShapeWatch watch_;
  bool watch_settled_ = false;
  std::vector<Turn> turns_;
  std::vector<bool> busy_;  // By turn.
};

}  // namespace lockstep
