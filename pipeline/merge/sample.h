// Sample: keys that were changed a moment ago, for the sweep to compare soon after.
//
//   lane ── a batch is committed: allowance(), add() ──> Sample ──> take() ── sweep
//
// What is wrong with every change is seen within seconds, and not when the range is due.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "pipeline/base/sync.h"
#include "pipeline/model/table.h"

namespace lockstep {

// Safe for concurrent use: every lane adds, the sweep takes.
class Sample {
 public:
  using Time = std::chrono::steady_clock::time_point;
  struct Key {
    TableId table = 0;
    std::string cells;  // In the source's form.
  };

  // 0: none are wanted.
  explicit Sample(std::uint64_t keys_per_second) : rate_(keys_per_second) {}

  // How many of the keys that were just committed are wanted; those count as taken.
  std::size_t allowance(Time now);
  // Left out when the sweep has not come for those before.
  void add(Key key);
  std::vector<Key> take();

 private:
  const std::uint64_t rate_;
  Mutex mutex_;
  Time filled_ GUARDED_BY(mutex_){};  // When `due_` was reckoned.
  double due_ GUARDED_BY(mutex_) = 0;
  std::vector<Key> keys_ GUARDED_BY(mutex_);
};

}  // namespace lockstep
