// SystemClock: the machine's clocks, as the pipeline's port.
#pragma once

#include <chrono>
#include <cstdint>

#include "pipeline/ports/clock.h"

namespace lockstep {

// Safe for concurrent use.  now() goes on while the machine is suspended, which steady_clock does
// not: times of the two must not be compared.
class SystemClock final : public Clock {
 public:
  std::chrono::steady_clock::time_point now() const override;
  std::int64_t wall_us() const override;
};

}  // namespace lockstep
