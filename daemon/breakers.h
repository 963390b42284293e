// Breakers: hold every write to the target, changes and copy, once much more goes wrong than an
// operator allows, until a person has looked.
//
//   closed ── more rows set aside, or found unequal, within ten minutes than allowed ──> open
//   open: apply is paused, by "breaker", with what it saw ── lockstep resume ──> closed, from none
//
// What a run sees in its first three seconds, and while a server is away, was there before it.
// Breakers that probe by themselves (daemon/try_breaker.h) are looked after here too.
#pragma once

#include <array>
#include <chrono>
#include <cstdint>
#include <deque>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "daemon/try_breaker.h"
#include "pipeline/base/result.h"
#include "pipeline/base/stop_flag.h"
#include "pipeline/run/control.h"
#include "pipeline/watch/run_status.h"

namespace lockstep {

// run() on a thread of its own, stop() from any; look() is for run() and tests.
class Breakers {
 public:
  using Time = std::chrono::steady_clock::time_point;
  struct Ports {
    std::function<RunStatus()> status;
    std::function<std::uint64_t()> run;  // Which of the daemon's runs is under way; 0: none is.
    // Pauses apply; `why` is a clause: "1200 rows were set aside within ten minutes, ..".
    std::function<Status(const std::string& why)> trip;
  };

  // `control` outlives it.
  Breakers(const Control& control, Ports ports, std::vector<TryBreaker> tries)
      : control_(control), ports_(std::move(ports)), tries_(std::move(tries)) {}

  // Looks once a second.
  void run();
  void stop() { over_.raise(); }
  void look(Time now);

 private:
  struct Rise {
    Time at{};
    std::uint64_t rows = 0;
  };
  struct Counted {
    Limit limit;
    const char* what;  // "rows were set aside"
    std::uint64_t last = 0;
    std::deque<Rise> rises{};
  };

  void look_at_rows(Time now);
  static std::uint64_t count(const RunStatus& status, Limit limit);
  static std::uint64_t risen(Counted& counted, Time now);

  const Control& control_;
  const Ports ports_;
  std::vector<TryBreaker> tries_;
  StopFlag over_;
  std::uint64_t run_ = 0;
  Time counts_from_{};  // Until then what is seen first was there before.
  std::array<Counted, 2> counted_{
      Counted{Limit::BreakerQuarantined, "rows were set aside"},
      Counted{Limit::BreakerUnequal, "rows were found unequal on both sides"}};
};

}  // namespace lockstep
