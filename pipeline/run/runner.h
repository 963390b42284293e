// Runner: gives each part of an Assembly a thread, and the run its one way to stop.
//
//   source -> lanes <- scanners;  probe;  supervisor on the caller's thread
//
// Stopping: the source is closed, the scanners leave their chunks, the lanes drain and commit the
// watermark, all threads are joined.  A halt skips the draining: the target stays as it is.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <vector>

#include "pipeline/run/moment.h"
#include "pipeline/run/run_options.h"

namespace lockstep {

class Runner {
 public:
  // `tables` by TableId.
  Runner(RunOptions options, std::vector<const TableMap*> tables, RunPorts ports);
  ~Runner();

  // Runs until stop(), until synced when that was asked for, or until something halts.
  // Returns the exit code of a run that ended as asked: Ok or Incomplete; Temporary when its end
  // took too long.
  Result<ExitCode> run();

  // Asks run() to drain and return.  Safe from any thread, not from a signal handler.
  void stop();
  // A table that has stopped did so for another reason by now: for status.  As stop().
  void restate(TableId table, const std::string& reason);
  // Asks for a proof of being synced that begins now; status() tells of it.  Returns its number.
  // As stop().
  std::uint64_t prove();
  // The last proof of which all is on the target that was committed before it was asked for.
  std::uint64_t applied_proof() const;
  // For one user at a time.  As stop().
  Moment& moment();
  // The transaction that changed a row last, while the lane remembers it.
  std::optional<Xid> last_change(TableId table, const Hash128& key) const;
  // Asks for a comparison of these tables, which begins now; sweep_status() tells of it.  As
  // stop().
  void sweep(std::vector<TableId> tables);
  // Asks for the repair of open findings, as they were seen.
  void repair(WantedRepairs wanted);
  // A person took a repair back, or could not.
  void mark(FindingMark mark);
  SweepStatus sweep_status() const;
  SweepStatus sweep_counts() const;  // Without the findings, which may be many.
  // Safe for concurrent use, also before and after run().
  RunStatus status() const;

 private:
  class Threads;
  std::unique_ptr<Threads> threads_;
};

// A service beside the run: `body` on a thread of its own, until stop() makes it return.
class Beside {
 public:
  Beside(std::function<void()> body, std::function<void()> stop);
  ~Beside();  // Stops and joins.
  Beside(const Beside&) = delete;
  Beside& operator=(const Beside&) = delete;

 private:
  class Thread;
  std::function<void()> stop_;
  std::unique_ptr<Thread> thread_;
};

}  // namespace lockstep
