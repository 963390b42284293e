// Clock: the time, as a port, so that the simulator can have its own.
#pragma once

#include <chrono>
#include <cstdint>

namespace lockstep {

class Clock {
 public:
  virtual ~Clock() = default;
  virtual std::chrono::steady_clock::time_point now() const = 0;
  virtual std::int64_t wall_us() const = 0;  // Microseconds since 1970.
};

}  // namespace lockstep
