// Backoff: how long to wait before a failed call is made again.
#pragma once

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <random>

namespace lockstep {

// One per thread.  Doubles from 50 ms to 5 s; half of each wait is jitter, so that many lanes do
// not come back to a server all at once.
class Backoff {
 public:
  explicit Backoff(std::uint64_t seed) : random_(seed) {}

  std::chrono::milliseconds next() {
    const auto half = current_.count() / 2;
    std::uniform_int_distribution<std::int64_t> jitter(0, half);
    const std::chrono::milliseconds wait(half + jitter(random_));
    current_ = std::min(current_ * 2, kMax);
    return wait;
  }
  void reset() { current_ = kFirst; }

 private:
  static constexpr std::chrono::milliseconds kFirst{50};
  static constexpr std::chrono::milliseconds kMax{5000};
  std::mt19937_64 random_;
  std::chrono::milliseconds current_ = kFirst;
};

}  // namespace lockstep
