// Random: the simulator's only source of chance, so that a seed decides a whole run.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "pipeline/base/result.h"

namespace lockstep {

// splitmix64: the same numbers on every machine, which std's distributions do not promise.
class Random {
 public:
  explicit Random(std::uint64_t seed) : state_(seed * 0x9E3779B97F4A7C15u + 1) {}

  std::uint64_t next() {
    state_ += 0x9E3779B97F4A7C15u;
    std::uint64_t z = state_;
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
    return z ^ (z >> 31);
  }
  // A number in [0, bound).  REQUIRES: bound > 0.
  std::size_t below(std::size_t bound) {
    CHECK(bound > 0);
    return static_cast<std::size_t>(next() % bound);
  }
  // A number in [first, last].
  int between(int first, int last) {
    return first + static_cast<int>(below(static_cast<std::size_t>(last - first) + 1));
  }
  bool chance(int per_thousand) { return below(1000) < static_cast<std::size_t>(per_thousand); }
  template <typename T>
  const T& pick(const std::vector<T>& items) {
    return items[below(items.size())];
  }

 private:
  std::uint64_t state_;
};

}  // namespace lockstep
