// Pacer: how fast the backfill may read, shared by all scanners: rows and bytes per second, and the
// share of the time that the governor leaves it.
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

  struct Pace {
    std::uint64_t rows_per_second = 0;  // 0: no limit.
    std::uint64_t bytes_per_second = 0;
    double share = 1;
    friend bool operator==(const Pace&, const Pace&) = default;
  };
  struct Piece {
    std::uint64_t rows = 0;
    std::uint64_t bytes = 0;
  };

  explicit Pacer(const Pace& pace) : pace_(pace) {}

  // Another limit counts from now on: what was read under the former one is paid for.  So it is
  // with the share, which changes all the time and forgives nothing of what the limits want.
  void set(const Pace& pace) {
    const MutexLock lock(mutex_);
    const bool same_limits = pace.rows_per_second == pace_.rows_per_second &&
                             pace.bytes_per_second == pace_.bytes_per_second;
    if (!same_limits) paid_ = {};
    if (pace.share != pace_.share) rested_ = {};
    pace_ = pace;
  }

  // `piece` was read until `now`.
  void spend(const Piece& piece, Time now) {
    using Seconds = std::chrono::duration<double>;
    constexpr Seconds kRestMax{2};  // So that it is soon noticed when the share is another one.
    const MutexLock lock(mutex_);
    const auto cost = [](std::uint64_t amount, std::uint64_t limit) {
      return limit == 0 ? Seconds(0)
                        : Seconds(static_cast<double>(amount) / static_cast<double>(limit));
    };
    // Until somebody came back for more, and from when he was let in.
    const Seconds worked = spent_ == Time{}
                               ? Seconds(0)
                               : std::min<Seconds>((std::max(came_, spent_) - spent_) +
                                                       (now - std::max({came_, at(), spent_})),
                                                   kRestMax);
    const Seconds rest = std::min(worked * (1 / pace_.share - 1), kRestMax);
    const Seconds limited = std::max(cost(piece.rows, pace_.rows_per_second),
                                     cost(piece.bytes, pace_.bytes_per_second));
    spent_ = now;
    if (limited.count() > 0)
      paid_ = std::max(paid_, now) + std::chrono::duration_cast<Time::duration>(limited);
    if (rest.count() > 0) rested_ = now + std::chrono::duration_cast<Time::duration>(rest);
  }

  // Whether somebody who comes for more at `now` is to come again later.
  bool waits(Time now) {
    const MutexLock lock(mutex_);
    if (came_ <= spent_) came_ = now;
    return now < at();
  }

  // The time before which no more should be read.
  Time next() const {
    const MutexLock lock(mutex_);
    return at();
  }

 private:
  Time at() const REQUIRES(mutex_) { return std::max(paid_, rested_); }

  mutable Mutex mutex_;
  Pace pace_ GUARDED_BY(mutex_);
  Time paid_ GUARDED_BY(mutex_){};    // Until then by the limits,
  Time rested_ GUARDED_BY(mutex_){};  // and by the share.
  Time spent_ GUARDED_BY(mutex_){};   // The last time that something was read.
  Time came_ GUARDED_BY(mutex_){};    // The first time since then that somebody came for more.
};

}  // namespace lockstep
