// FakeClock: time that moves only when a test says so.
#pragma once

#include <chrono>
#include <cstdint>

#include "pipeline/ports/clock.h"

namespace lockstep {

class FakeClock final : public Clock {
 public:
  std::chrono::steady_clock::time_point now() const override { return now_; }
  std::int64_t wall_us() const override {
    return std::chrono::duration_cast<std::chrono::microseconds>(
               (now_ - set_back_).time_since_epoch())
        .count();
  }
  // Somebody sets the wall clock back.
  void set_back(std::chrono::milliseconds by) { set_back_ += by; }
  void advance(std::chrono::milliseconds by) { now_ += by; }

 private:
  std::chrono::milliseconds set_back_{0};
  std::chrono::steady_clock::time_point now_{std::chrono::hours(1)};
};

}  // namespace lockstep
