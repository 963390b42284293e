// TryBreaker: hold a part of the run whose tries keep failing at a server that answers, and probe.
//
//   closed ── more tries failed within ten minutes than allowed ──> open
//   open: the part is paused, for half a minute, twice as long after each probe that fails,
//         ten minutes at most ──> half open
//   half open: it is resumed ── the first try that fails ──> open
//                            ── a minute without one ──> closed, from none
//
// What a person pauses or resumes meanwhile stays so.  A server that is away is none of this: the
// waits between tries (pipeline/base/backoff.h) are its breaker.
#pragma once

#include <chrono>
#include <cstdint>
#include <deque>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <utility>

#include "pipeline/base/result.h"
#include "pipeline/ports/meters.h"
#include "pipeline/run/control.h"

namespace lockstep {

// What the names of breakers begin with where they pause: this one waits for a person ..
inline constexpr std::string_view kBreaker = "breaker";
// .. and this one probes; what an earlier process has paused by this name is gone on with.
inline constexpr std::string_view kProbingBreaker = "breaker, which tries again by itself";

// How many tries of these workers a server has answered with a refusal, since the process began.
std::uint64_t refused_tries(const Meters& meters, std::span<const Worker> workers);

// One per part.  look() on one thread.
class TryBreaker {
 public:
  using Time = std::chrono::steady_clock::time_point;
  enum class State : std::uint8_t { Closed, Open, HalfOpen };
  struct Ports {
    std::function<std::uint64_t()> refused;               // As refused_tries() of its workers.
    std::function<Status(const std::string& why)> pause;  // By kProbingBreaker.
    std::function<Status()> resume;                       // What kProbingBreaker has paused.
  };

  // `control` outlives it.  `tries`: what its workers do, "tries to write to the target".
  TryBreaker(const Control& control, Scope scope, std::string tries, Ports ports)
      : control_(control), scope_(scope), tries_(std::move(tries)), ports_(std::move(ports)) {}

  void look(Time now);
  State state() const { return state_; }

 private:
  struct Rise {
    Time at{};
    std::uint64_t tries = 0;
  };

  bool paused_by_us() const;
  void open(Time now, std::string why);
  void half_open(Time now);
  void close();
  std::uint64_t risen(Time now, std::uint64_t more);

  const Control& control_;
  const Scope scope_;
  const std::string tries_;
  const Ports ports_;
  State state_ = State::Closed;
  Time next_{};  // Open: when it probes.  Half open: when it closes.
  std::chrono::seconds wait_{0};
  std::uint64_t last_ = 0;
  std::deque<Rise> rises_;
};

}  // namespace lockstep
