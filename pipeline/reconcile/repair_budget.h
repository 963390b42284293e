// RepairBudget: how many repairs may begin: no more than so many within any minute.
#pragma once

#include <chrono>
#include <cstdint>
#include <deque>

namespace lockstep {

// One thread.
class RepairBudget {
 public:
  using Time = std::chrono::steady_clock::time_point;

  // 0: no limit.
  explicit RepairBudget(std::uint64_t per_minute) : per_minute_(per_minute) {}

  // Returns whether one more may begin now; then it counts.  REQUIRES: time does not go back.
  bool take(Time now) {
    if (per_minute_ == 0) return true;
    while (!begun_.empty() && begun_.front().until <= now) {
      taken_ -= begun_.front().count;
      begun_.pop_front();
    }
    if (taken_ >= per_minute_) return false;
    // Second by second, so that there are few; each counts until the end of its second is past.
    const Time until = std::chrono::ceil<std::chrono::seconds>(now) + std::chrono::minutes(1);
    if (begun_.empty() || begun_.back().until != until) begun_.push_back({until, 0});
    ++begun_.back().count;
    ++taken_;
    return true;
  }

 private:
  struct Begun {
    Time until;  // Then it does not count any more.
    std::uint64_t count = 0;
  };

  const std::uint64_t per_minute_;
  std::uint64_t taken_ = 0;  // Of `begun_`.
  std::deque<Begun> begun_;  // In order of time.
};

}  // namespace lockstep
