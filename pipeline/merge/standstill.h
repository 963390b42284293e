// Standstill: every lane waits in front of its first change that S does not see, so that the target
// has for a moment exactly what S sees.
//
//   begin ──> S is taken: see(S) ──> every lane stands: the target is read ──> release ──> end
//   lane: a change waits ── S sees it: it passes ── it does not: the lane stands
//
// Transactions become visible in another order than they commit: behind the change at which a lane
// stands there may be one that S sees.  After the release lanes say what they go on with, and such
// a change tells that the target had too little.
#pragma once

#include <atomic>
#include <chrono>
#include <optional>
#include <span>
#include <vector>

#include "pipeline/base/sync.h"
#include "pipeline/model/change.h"
#include "pipeline/model/snapshot.h"

namespace lockstep {

// Safe for concurrent use: by one Moment (run/moment.h), and by every lane.
//
// Invariant: a lane stands only once all that S sees of what has come to it is committed.
class Standstill {
 public:
  using Time = std::chrono::steady_clock::time_point;

  // `limit`: no lane waits longer.  Once one has, nothing waits any more.
  Standstill(std::uint32_t lanes, std::chrono::milliseconds limit)
      : limit_(limit), waiting_(lanes) {}

  // From now on every change waits.
  void begin();
  // The source was read under `snapshot`: what it sees passes.
  void see(const Snapshot& snapshot);
  // Whether the lane waits, with everything before it committed.
  bool stands(std::uint32_t lane) const;
  // Lanes go on.  Returns whether none has before.
  bool release();
  // Whether a change that S sees has passed since then.
  bool came_late() const;
  void end();

  bool active() const { return active_.load(std::memory_order_acquire); }
  // Whether the change may not be applied yet.
  bool holds(const Change& change) const;
  // `change` is what its lane has to do next; `committed`: everything before it is.  Returns
  // whether it still has to wait.
  bool wait(std::uint32_t lane, const Change& change, bool committed, Time now);
  // Changes of these transactions go on to the target.
  void passed(std::span<const Xid> xids);

 private:
  enum class Stage : std::uint8_t { Over, Taking, Standing, Released };
  struct Waiting {
    std::optional<Time> since;
    bool stands = false;
  };
  bool holds_locked(const Change& change) const REQUIRES(mutex_);
  void move_to(Stage stage) REQUIRES(mutex_);

  const std::chrono::milliseconds limit_;
  std::atomic<bool> active_{false};  // release/acquire: what it tells of is read under the mutex.
  mutable Mutex mutex_;
  Stage stage_ GUARDED_BY(mutex_) = Stage::Over;
  Snapshot snapshot_ GUARDED_BY(mutex_);             // From Standing on.
  std::vector<Waiting> waiting_ GUARDED_BY(mutex_);  // By lane.
  bool came_late_ GUARDED_BY(mutex_) = false;
};

}  // namespace lockstep
