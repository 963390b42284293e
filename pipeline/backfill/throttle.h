// Pacer: the backfill's rate limit in rows per second, shared by all scanners.
#pragma once

#include <algorithm>
#include <chrono>
#include <cstdint>

#include "pipeline/base/sync.h"

namespace lockstep {

// Safe for concurrent use.
class Pacer {
 public:
  using Time = std::chrono::steady_clock::time_point;

  // 0: no limit.
  explicit Pacer(std::uint64_t rows_per_second) : rows_per_second_(rows_per_second) {}

  // Another limit counts from now on: what was read under the former one is paid for.
  void set(std::uint64_t rows_per_second) {
    const MutexLock lock(mutex_);
    if (rows_per_second == rows_per_second_) return;
    rows_per_second_ = rows_per_second;
    next_ = {};
  }

  // `rows` were read at `now`.
  void spend(std::uint64_t rows, Time now) {
    const MutexLock lock(mutex_);
    if (rows_per_second_ == 0) return;
    const double seconds = static_cast<double>(rows) / static_cast<double>(rows_per_second_);
    next_ = std::max(next_, now) +
            std::chrono::duration_cast<Time::duration>(std::chrono::duration<double>(seconds));
  }

  // The time before which no more should be read.
  Time next() const {
    const MutexLock lock(mutex_);
    return next_;
  }

 private:
  mutable Mutex mutex_;
  std::uint64_t rows_per_second_ GUARDED_BY(mutex_);
  Time next_ GUARDED_BY(mutex_){};
};

}  // namespace lockstep
