// EndWatch: the daemon ends once somebody has asked it to, and an abort comes to its end, whatever
// server hangs meanwhile.
//
//   asked to stop, or the run ends ─> 5 s: whoever waits for the source is cut loose
//     ─> the drain's limit: whoever waits for a server ─> 10 s more: the process is left (code 75)
//
// A process may be killed at any instruction, so that leaving it like this costs nothing.
#pragma once

#include <atomic>
#include <chrono>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "pipeline/base/stop_flag.h"
#include "pipeline/base/sync.h"

namespace lockstep {

// run() on a thread of its own; the rest is safe for concurrent use.
class EndWatch {
 public:
  using Time = std::chrono::steady_clock::time_point;

  // None of them may wait for anything.
  struct Ports {
    std::function<bool()> stopping;  // Somebody has asked for the end.
    std::function<bool()> aborting;  // There is an abort, and something may run still.
    std::chrono::seconds drain_limit;
    // OpenConnections::shut().
    std::function<void(std::string_view side, std::chrono::seconds longest)> shut;
    // Leaves the process.
    std::function<void()> leave;
  };

  explicit EndWatch(Ports ports) : ports_(std::move(ports)) {}

  // The run ends, also by itself; it is over.
  void run_ends() { ending_.store(true); }
  void run_is_over() { ending_.store(false); }

  void run();
  void stop() { over_.raise(); }
  // What run() does now and then.
  void look(Time now);

 private:
  const Ports ports_;
  std::atomic<bool> ending_{false};
  StopFlag over_;
  std::optional<Time> ending_since_;    // Of look().
  std::optional<Time> aborting_since_;  // Likewise.
};

// Writes to standard error, past every lock, what this process waits for, and ends it.
[[noreturn]] void leave_hung_process();

}  // namespace lockstep
