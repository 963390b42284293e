// Undoing: the statements of `repair undo` that are under way.  Another process sends them to the
// target, so that no part of a run knows of them.
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <string>

#include "pipeline/base/sync.h"

namespace lockstep {

// Longest that such a statement may take.
inline constexpr std::chrono::seconds kUndoWritesMax{10};

// Safe for concurrent use.  As in UnderWay: it is told of before anybody asks for pauses, and asked
// after a pause was ordered.
class Undoing {
 public:
  using Time = std::chrono::steady_clock::time_point;

  // Until ends(), or for longer than the statement can take: the process may have died.
  void begins(std::uint64_t finding, Time now);
  void ends(std::uint64_t finding);
  // What a pause of apply waits for, for people; "": nothing is under way.
  std::string waits(Time now) const;

 private:
  mutable Mutex mutex_;
  std::map<std::uint64_t, Time> until_ GUARDED_BY(mutex_);  // By finding.
};

}  // namespace lockstep
