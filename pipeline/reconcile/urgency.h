// Urgency: which of the ranges that are due is compared next.
//
//   how long it has been due  x  how much of its table changes  x  how many of its rows were
//   unequal
//
// The last two count at most so much that no range waits for ever: one that does not change, and in
// which nothing was found, is overtaken by those that have been due for a sixteenth of its time.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>

namespace lockstep {

inline constexpr double kUrgentMost = 4;  // Times, by either.

// `findings`: when the range was last compared.
inline double urgency_of(std::int64_t due_for_us, std::uint64_t findings) {
  const double found = std::log2(1 + static_cast<double>(findings));
  return static_cast<double>(due_for_us) * std::min(1 + found, kUrgentMost);
}

// `changes`: of a table of `rows`, in the same time as those of other tables.
inline double change_factor(std::uint64_t changes, std::uint64_t rows) {
  const double each =
      static_cast<double>(changes) / static_cast<double>(std::max<std::uint64_t>(rows, 1));
  return std::min(1 + each, kUrgentMost);
}

}  // namespace lockstep
