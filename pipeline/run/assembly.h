// Assembly: every part of a run.  It owns and wires every part, and knows no thread.
//
//   step_source -> lanes' queues -> step_lane(i);  step_read(i) -> target, queues;  step_probe;
//   tick
//
// Each step does one bounded thing and says when to call it again.  runner.cc gives every part a
// thread; the simulator calls the steps of this very object one by one, in an order of its seed.
#pragma once

#include <array>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "pipeline/apply/route.h"
#include "pipeline/apply/shared.h"
#include "pipeline/backfill/throttle.h"
#include "pipeline/base/backoff.h"
#include "pipeline/base/health.h"
#include "pipeline/base/stop_flag.h"
#include "pipeline/run/moment.h"
#include "pipeline/run/noted_ledger.h"
#include "pipeline/run/run_options.h"
#include "pipeline/run/under_way.h"
#include "pipeline/watch/governor.h"

namespace lockstep {

// Each part of a run is stepped by one thread at a time; stop(), end(), abandon(), status(),
// restate(), prove(), sweep(), sweep_status() and failure() are safe for concurrent use.
//
// Invariant: a part whose step answered Over has nothing that a part behind it waits for.
class Assembly {
 public:
  // `tables` by TableId.
  Assembly(RunOptions options, std::vector<const TableMap*> tables, RunPorts ports);
  ~Assembly();
  Assembly(const Assembly&) = delete;
  Assembly& operator=(const Assembly&) = delete;

  // What a step says of the next one of its part.
  enum class Turn : std::uint8_t {
    Busy,     // There is more to do: at once.
    Waiting,  // For something outside, or for another part: a little later.
    Idle,     // There is nothing to do now.
    Over,     // Never again: the part has ended.
  };
  // The parts with steps, in flow order: so they end.  A sweep is one of the reads.
  enum class Part : std::uint8_t { Source, Reads, Lanes, Probe };

  // Every error is told to people before it is returned.  Retry: the step may be made again, later.
  // Any other ends the part; Halt is a failure of the run, too.
  //
  // `wait`: how long the step may wait for its input.
  Result<Turn> step_source(std::chrono::milliseconds wait);
  Result<Turn> step_lane(std::uint32_t index, std::chrono::milliseconds wait);
  // The debts' reader or the scanner `index`, whoever's turn it is: they share a connection.
  Result<Turn> step_read(std::size_t index);
  Result<Turn> step_probe();
  // The sweep's: nothing is compared until somebody asks for it.
  Result<Turn> step_sweep();
  // The supervisor's step.  Returns the exit code of a run that has reached what it was asked for.
  Result<std::optional<ExitCode>> tick();
  // How long the next one may wait; see wait().
  std::chrono::milliseconds next_tick() const { return supervisor_.next_tick(); }

  // The two that step_read() chooses from.
  Result<Turn> step_chunk(std::size_t index);
  Result<Turn> step_debts();

  // Asks for the end of the run.
  void stop() { asked_.raise(); }
  bool stopping() const { return asked_.raised(); }
  // The run ends, in an orderly way or not; before the first end().
  void draining();
  // Tells the part to end, once the parts before it have.
  void end(Part part);
  // Nobody waits for anything any more: what is not committed is read again at the next start.
  void abandon();
  // The same, of an orderly end that took too long: people are told.
  void cut_off();
  bool abandoned() const { return stops_[index_of(Part::Lanes)].raised(); }
  // After all parts have ended: tells the source what is durable.
  void acknowledge_last();

  // Waits, at most `time`, until the part may have to end, or the run.
  void wait(Part part, std::chrono::milliseconds time);
  // The supervisor's: until it has something to do at once, too.
  void wait(std::chrono::milliseconds time) { asked_.wait(time); }

  std::optional<Error> failure() const;
  // Of a run that ended; `reached`: what tick() answered, nothing when it was stopped.
  ExitCode exit_code(std::optional<ExitCode> reached) const;
  RunStatus status() const;
  // A table that has stopped did so for another reason by now.
  void restate(TableId table, const std::string& reason) { board_.restate(table, reason); }
  // Asks for a proof that begins now.
  std::uint64_t prove(ProofOf of = ProofOf::Tables) {
    const std::uint64_t proof = supervisor_.prove_from_now(of);
    asked_.wake();
    return proof;
  }
  Moment& moment() { return moment_; }
  std::uint64_t applied_proof() const { return supervisor_.applied_proof(); }
  // The transaction that changed a row last, while its lane remembers it.
  std::optional<Xid> last_change(TableId table, const Hash128& key) const;
  // Asks for a comparison of these tables, from now on; how far it is.
  void sweep(std::vector<TableId> tables) { sweep_.begin(std::move(tables)); }
  void repair(WantedRepairs wanted) { sweep_.repair(std::move(wanted)); }
  void mark(FindingMark mark) { sweep_.mark(mark); }
  SweepStatus sweep_status() const { return sweep_.status(); }
  SweepStatus sweep_counts() const { return sweep_.counts(); }
  std::uint32_t lanes() const { return options_.lanes; }
  std::size_t readers() const { return scanners_.size(); }
  bool any_stopped() const;
  // Whether the lanes write nothing since somebody has said so: they cannot drain.
  bool holds_lanes() const { return ports_.control.paused(Scope::Apply); }

 private:
  // Names of the source's streams, published by the source's steps.
  class StreamNames {
   public:
    void publish(const std::vector<std::string>& names);
    std::string at(StreamId id) const;

   private:
    mutable Mutex mutex_;
    std::vector<std::string> names_ GUARDED_BY(mutex_);
  };

  static std::size_t index_of(Part part) { return static_cast<std::size_t>(part); }
  StopFlag& stop_of(Part part) { return stops_[index_of(part)]; }
  Shared shared() {
    return {tables_,     visibility_,       recents_,      queues_,      progress_,
            board_,      ports_.checkpoint, ports_.clock,  hold_,        rereads_,
            standstill_, sample_,           ports_.meters, source_clock_};
  }
  void build_lanes();
  Result<Turn> read_source(std::chrono::milliseconds wait);
  void count_read(const std::vector<Change>& changes);
  void tell_unreadable(const std::vector<Change>& changes);
  bool brings_marker(const ChangeBatch& batch) const;
  bool route(Polled& polled);
  Status acknowledge_if_due();
  Status acknowledge();
  Status pause_stopped();
  void hold_tables();
  Pacer::Pace pace() const;
  void govern();
  void show_load(RunStatus& status) const;
  Status look_for_locks();
  Status probe();
  void compare_clocks(std::int64_t from_us);
  void tell_findings();
  std::string sweep_yields_to();
  std::optional<ExitCode> compared() const;
  Result<Turn> apply(std::uint32_t index);
  Result<Turn> scan(std::size_t index, bool& at_rest);
  void show_under_way(RunStatus& status) const;
  void fail_run(const std::string& part, const Error& error);
  // Tells people how the step of `part` ended.
  template <typename T>
  Result<T> told(Worker worker, const std::string& part, Result<T> ended, Health& health);

  const RunOptions options_;
  const std::vector<const TableMap*> tables_;
  RunPorts ports_;

  Visibility visibility_;
  Progress progress_;
  TableBoard board_;
  NotedLedger ledger_;
  KeyHold hold_;
  Rereads rereads_;
  Standstill standstill_;
  Sample sample_;
  SourceClock source_clock_;
  Health health_;
  Health sweep_health_;  // Of its own: what keeps us from comparing says nothing of being synced.
  std::vector<std::unique_ptr<Recent>> recents_;    // By lane.
  std::vector<std::unique_ptr<LaneQueue>> queues_;  // By lane.
  Planner planner_;
  Governor governor_;
  Pacer pacer_;
  Router router_;
  Supervisor supervisor_;
  Moment moment_;
  StreamNames stream_names_;
  std::vector<std::unique_ptr<Lane>> lanes_;
  // By lane: how long its last transaction took, in microseconds; a hint, since the last look of
  // the governor.
  std::vector<std::atomic<std::int64_t>> transaction_us_;
  // By lane: when it began the step that it has not got done since, as the clock counts; 0: none.
  // A hint, as above.
  std::vector<std::atomic<std::chrono::steady_clock::rep>> stuck_since_;
  UnderWay under_way_;
  std::vector<std::unique_ptr<Scanner>> scanners_;
  DebtReader debts_;  // On the first scanner's connections.
  Sweep sweep_;
  // Names of the parts, for people.
  std::vector<std::string> lane_names_;
  std::vector<std::string> scan_names_;

  StopFlag asked_;                         // Somebody wants the run to end.
  std::array<StopFlag, 4> stops_;          // By Part; of the lanes: abandon.
  bool clocks_differ_ = false;             // As it was told; the probe's steps'.
  std::atomic<bool> flush_wanted_{false};  // A hint; nothing else depends on its order.
  std::atomic<bool> cut_off_{false};       // release/acquire: set before the end is told.
  mutable Mutex failure_mutex_;
  std::optional<Error> failure_ GUARDED_BY(failure_mutex_);

  // Of the first reader's steps.
  bool debts_turn_ = true;  // The debts are next, not a chunk.
  Backoff debts_backoff_{201};
  std::chrono::steady_clock::time_point debts_due_{};  // After a failure: when they are next tried.

  // Of the supervisor's step.
  std::chrono::steady_clock::time_point next_locks_{};
  std::chrono::steady_clock::time_point holders_seen_{};

  // Of the source's steps.
  std::set<TableId> paused_;
  std::map<std::string, Position> acknowledged_;
  std::chrono::steady_clock::time_point next_acknowledge_{};
  std::uint64_t unreadable_ = 0;  // Events that nobody was told of yet.
  std::chrono::steady_clock::time_point next_unreadable_{};

  // Of the sweep's steps.
  std::map<TableId, std::uint64_t> told_findings_;
  std::chrono::steady_clock::time_point next_findings_{};
  std::chrono::steady_clock::time_point next_diverged_{};
  std::chrono::steady_clock::time_point next_equal_{};
};

}  // namespace lockstep
