// StopFlag: a flag that threads can wait on.
#pragma once

#include <atomic>
#include <chrono>

#include "pipeline/base/bounded_queue.h"

namespace lockstep {

// Safe for concurrent use.  Raised once, it stays so.
class StopFlag {
 public:
  void raise() {
    raised_.store(true, std::memory_order_release);
    waits_.close();
  }
  bool raised() const { return raised_.load(std::memory_order_acquire); }
  // Ends a wait early: one that is under way, else the next.
  void wake() {
    if (waits_.bytes() == 0) waits_.push_now(0, 1);
  }
  // Waits, at most `time`, for the flag or to be woken.
  void wait(std::chrono::milliseconds time) { waits_.take(1, time); }

 private:
  std::atomic<bool> raised_{false};  // release/acquire: what happened before raise() is seen.
  BoundedQueue<char> waits_{1};      // An item ends one wait; closing it ends every wait.
};

}  // namespace lockstep
