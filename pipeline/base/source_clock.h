// SourceClock: what the source's clock says now, told by ours.  Commits have its times.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstdint>

namespace lockstep {

// Safe for concurrent use; told() on one thread.
class SourceClock {
 public:
  // The source's clock said `told_us` at a moment between `from_us` and `until_us` of our wall
  // clock.  All in microseconds since 1970.
  void told(std::int64_t told_us, std::int64_t from_us, std::int64_t until_us) {
    if (until_us < from_us) return;  // Ours was set meanwhile.
    ahead_us_.store(std::clamp(ahead_us(), told_us - until_us, told_us - from_us),
                    std::memory_order_relaxed);
  }
  // By how much it is ahead of our wall clock; less than 0: behind.  Never more than what was told
  // last proves: a slow answer proves little.
  std::int64_t ahead_us() const { return ahead_us_.load(std::memory_order_relaxed); }
  // What it says when ours says `wall_us`.
  std::int64_t at(std::int64_t wall_us) const { return wall_us + ahead_us(); }

 private:
  std::atomic<std::int64_t> ahead_us_{0};
};

}  // namespace lockstep
