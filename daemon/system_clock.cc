#include "daemon/system_clock.h"

#include <time.h>

#include "pipeline/base/result.h"

namespace lockstep {

// What was known before the machine was suspended must not pass for fresh afterwards.
std::chrono::steady_clock::time_point SystemClock::now() const {
  timespec time{};
  CHECK(::clock_gettime(CLOCK_BOOTTIME, &time) == 0);
  return std::chrono::steady_clock::time_point(std::chrono::seconds(time.tv_sec) +
                                               std::chrono::nanoseconds(time.tv_nsec));
}

std::int64_t SystemClock::wall_us() const {
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  return std::chrono::duration_cast<std::chrono::microseconds>(now).count();
}

}  // namespace lockstep
