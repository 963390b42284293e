// BoundedQueue: the hand-over between two threads, bounded by bytes; a full queue blocks its
// producer, and that is the back-pressure.  The only place of the program with a condition
// variable.
#pragma once

#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <deque>
#include <mutex>
#include <optional>
#include <utility>

#include "pipeline/base/sync.h"

namespace lockstep {

// Safe for concurrent use.
//
// Invariant: bytes() <= bytes_max, or one item alone is larger than that.
template <typename T>
class BoundedQueue {
 public:
  explicit BoundedQueue(std::size_t bytes_max) : bytes_max_(bytes_max) {}

  // Adds an item of `bytes`.  Waits for room.  Returns false, and drops the item, once closed.
  bool push(T item, std::size_t bytes) NO_THREAD_SAFETY_ANALYSIS {
    std::unique_lock lock(mutex_.native());
    room_.wait(lock, [&]() REQUIRES(mutex_) {
      return closed_ || bytes_ == 0 || bytes_ + bytes <= bytes_max_;
    });
    if (closed_) return false;
    add(std::move(item), bytes);
    return true;
  }

  // Adds an item whatever the queue holds: for the few small items that must never block
  // (a finished COPY that a waiting lane must hear of).  Returns false once closed.
  bool push_now(T item, std::size_t bytes) {
    const MutexLock lock(mutex_);
    if (closed_) return false;
    add(std::move(item), bytes);
    return true;
  }

  // Takes everything queued, at most `bytes` of it but at least one item.  Waits until `deadline`
  // for the first item; returns an empty deque when none came or the queue is closed and empty.
  std::deque<T> take(std::size_t bytes,
                     std::chrono::milliseconds deadline) NO_THREAD_SAFETY_ANALYSIS {
    std::unique_lock lock(mutex_.native());
    // A wait of no time still sleeps for the kernel's timer slack, so it is left out.
    if (deadline.count() > 0)
      items_present_.wait_for(lock, deadline,
                              [&]() REQUIRES(mutex_) { return closed_ || !items_.empty(); });
    std::deque<T> taken;
    std::size_t sum = 0;
    while (!items_.empty() && (taken.empty() || sum + items_.front().bytes <= bytes)) {
      sum += items_.front().bytes;
      taken.push_back(std::move(items_.front().item));
      items_.pop_front();
    }
    bytes_ -= sum;
    room_.notify_all();
    return taken;
  }

  // No more items: producers are turned away, the consumer drains what is left.
  void close() {
    const MutexLock lock(mutex_);
    closed_ = true;
    room_.notify_all();
    items_present_.notify_all();
  }

  bool drained() const {
    const MutexLock lock(mutex_);
    return closed_ && items_.empty();
  }
  std::size_t bytes_max() const { return bytes_max_; }
  std::size_t bytes() const {
    const MutexLock lock(mutex_);
    return bytes_;
  }

 private:
  struct Entry {
    T item;
    std::size_t bytes;
  };

  void add(T item, std::size_t bytes) REQUIRES(mutex_) {
    items_.push_back({std::move(item), bytes});
    bytes_ += bytes;
    items_present_.notify_one();
  }

  const std::size_t bytes_max_;
  mutable Mutex mutex_;
  std::condition_variable room_;
  std::condition_variable items_present_;
  std::deque<Entry> items_ GUARDED_BY(mutex_);
  std::size_t bytes_ GUARDED_BY(mutex_) = 0;
  bool closed_ GUARDED_BY(mutex_) = false;
};

}  // namespace lockstep
