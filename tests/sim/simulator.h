// Simulator: a whole migration in one thread, decided by one seed.
//
// Each step lets somebody act: the applications, the source's log, our source thread, a lane, a
// scanner; or fails something.  Inside a call to a fake port others may act too, so that everything
// a real server would let happen between two statements can happen.  At the end the applications
// stop and everything settles.  Whenever the supervisor says that what the source holds is on the
// target, the target must equal the source.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "tests/sim/options.h"
#include "tests/sim/process.h"
#include "tests/sim/workload.h"

namespace lockstep {

class Simulator final : public Chaos {
 public:
  explicit Simulator(const SimOptions& options);

  // Runs to the end.  Returns what was wrong; empty: nothing.
  std::string run();
  void print_trace() { trace_ = true; }
  std::size_t steps() const { return steps_; }
  std::size_t looks() const { return looks_; }  // At both sides alike.

  // Chaos
  void interleave(std::string_view where) override;
  Fate fate(std::string_view where) override;
  bool killed() const override { return killed_; }
  bool tracing() const override { return trace_; }
  void tell(const std::string& what) override { note("  ", what); }

 private:
  // At both sides, which are to be alike (run/moment.h).
  struct Look {
    using Tables = std::vector<TargetStore::Rows>;
    std::size_t until = 0;  // The step at which it has taken too long.
    std::uint64_t debts_opened = 0;
    std::optional<Tables> source;
    std::optional<Tables> target;
  };
  enum class Kind : std::uint8_t { Apps, Visible, Decode, Our, Time, Trouble };

  void prepare();
  void act(bool nested);
  Kind choose_kind();
  void act_ours();
  void make_trouble();
  void bury();
  void restart();
  void note_source();
  void note(std::string_view what, std::string_view detail = {});
  void after_step();
  void work_on();
  void settle();
  void settle_round();
  void check_sweep();
  void step_look();
  void look_at_target();
  std::uint64_t debts_opened() const;
  bool all_is_told() const;
  bool knows_last_partition(TableId table) const;
  bool proven() const;
  void check_proof();
  void toggle_pause();
  std::string why_unsettled() const;
  std::string compare() const;
  std::string compare_table(TableId table) const;
  std::string check_bookkeeping() const;
  Outside outside();

  const SimOptions options_;
  Random random_;
  std::vector<TableMap> tables_;
  FakeSource source_;
  StreamLog log_;
  TargetStore store_;
  Zombies zombies_;
  FakeCheckpoint checkpoint_;
  FakeClock clock_;
  Control control_;
  Workload workload_;
  std::optional<FakeExport> exported_;
  std::unique_ptr<Process> ours_;
  std::optional<Look> look_;
  bool killed_ = false;
  bool calm_ = false;     // No more trouble.
  bool settled_ = false;  // The supervisor has said so since then.
  bool trace_ = false;
  int depth_ = 0;
  std::size_t steps_ = 0;
  std::size_t looks_ = 0;
  std::size_t noted_ = 0;  // Transactions of the source's log that the trace has told of.
  std::string failure_;
};

}  // namespace lockstep
