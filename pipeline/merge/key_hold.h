// KeyHold: keys whose next changes wait in front of their lanes while a sweep compares them (V7).
//
//   sweep:  place ──> S is taken: see(S) ───────> arrived: read the target ──> release
//   lane:   a change of a key waits ── S sees it: it passes ── it does not: arrived
//
// A key that changes all the time has a change under way at every look.  Its first change that S
// does not see proves by its arrival that every change which S sees has come before (locks on the
// row order them, and one lane has them all); while it waits, both sides can be compared.
#pragma once

#include <chrono>
#include <optional>
#include <span>
#include <unordered_map>
#include <vector>

#include "pipeline/base/bounded_queue.h"
#include "pipeline/base/sync.h"
#include "pipeline/model/change.h"
#include "pipeline/model/snapshot.h"

namespace lockstep {

// Safe for concurrent use: by the sweep, which holds keys of one table under one S at a time, and
// by every lane.
//
// Invariant: a key has arrived only once all that S sees of it is committed on the target.  A hold
// helps a comparison to come to its end, and never speaks for its result: whatever passed it is
// remembered by Recent, or noticed by Rereads.
class KeyHold {
 public:
  using Time = std::chrono::steady_clock::time_point;

  // `limit`: no lane waits longer at a key.  Once one has, nothing waits any more.
  explicit KeyHold(std::chrono::milliseconds limit) : limit_(limit) {}

  // From now on every change of these keys waits, and of no others.
  void place(TableId table, std::span<const Hash128> keys);
  // The source is read under `snapshot`: what it sees passes.
  void see(const Snapshot& snapshot);
  // The keys of which a change waits that S does not see, with everything before it committed.
  std::vector<Hash128> arrived() const;
  // Waits, at most `time`, until one more arrives.
  void await(std::chrono::milliseconds time) { arrivals_.take(1, time); }
  void release(const Hash128& key);
  void release_all();

  bool placed() const;
  // Whether the change may not be applied yet.
  bool holds(const Change& change) const;
  // `change` is what its lane has to do next; `committed`: everything before it is.  Returns
  // whether it still has to wait.
  bool wait(const Change& change, bool committed, Time now);

 private:
  struct Held {
    std::optional<Time> since;  // A lane waits.
    bool arrived = false;
  };
  bool holds_locked(const Change& change) const REQUIRES(mutex_);

  const std::chrono::milliseconds limit_;
  mutable Mutex mutex_;
  TableId table_ GUARDED_BY(mutex_) = 0;
  std::unordered_map<Hash128, Held, Hash128Hasher> keys_ GUARDED_BY(mutex_);
  std::optional<Snapshot> snapshot_ GUARDED_BY(mutex_);  // Nothing: not taken yet.
  bool over_ GUARDED_BY(mutex_) = false;                 // A lane has waited for too long.
  BoundedQueue<char> arrivals_{1};                       // An item ends one await().
};

}  // namespace lockstep
