// Backoff: how long to wait before a failed call is made again.
#pragma once

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <random>

namespace lockstep {

// One per thread.  Doubles from 50 ms to 5 s; half of each wait is jitter, so that many lanes do
// not come back to a server all at once.  It begins anew once all went well for as long as it last
// waited: a part that connects and is then refused has steps that go well too, and would else be
// tried ten times a second for ever.
class Backoff {
 public:
  using Time = std::chrono::steady_clock::time_point;

  explicit Backoff(std::uint64_t seed) : random_(seed) {}

  // How long to wait from `now` on, when the call failed.
  std::chrono::milliseconds next(Time now) {
    const auto half = current_.count() / 2;
    std::uniform_int_distribution<std::int64_t> jitter(0, half);
    waited_ = std::chrono::milliseconds(half + jitter(random_));
    until_ = now + waited_;
    current_ = std::min(current_ * 2, kMax);
    return waited_;
  }
  // A call went well.
  void went_well(Time now) {
    if (now - until_ >= waited_) current_ = kFirst;
  }

 private:
  static constexpr std::chrono::milliseconds kFirst{50};
  static constexpr std::chrono::milliseconds kMax{5000};
  std::mt19937_64 random_;
  std::chrono::milliseconds current_ = kFirst;
  std::chrono::milliseconds waited_{0};
  Time until_{};
};

}  // namespace lockstep
