#include "pipeline/merge/sample.h"

#include <algorithm>
#include <utility>

namespace lockstep {
namespace {

// Of what a second wants; the rest of a burst says no more than its beginning.
constexpr double kBurstSeconds = 0.25;
constexpr std::size_t kSecondsKept = 10;

}  // namespace

std::size_t Sample::allowance(Time now) {
  if (rate_ == 0) return 0;
  const auto rate = static_cast<double>(rate_);
  const MutexLock lock(mutex_);
  const std::chrono::duration<double> since = now - filled_;
  filled_ = now;
  due_ = std::min(due_ + since.count() * rate, std::max(1.0, rate * kBurstSeconds));
  const auto whole = static_cast<std::size_t>(due_);
  due_ -= static_cast<double>(whole);
  return whole;
}

void Sample::add(Key key) {
  const MutexLock lock(mutex_);
  if (keys_.size() < rate_ * kSecondsKept) keys_.push_back(std::move(key));
}

std::vector<Sample::Key> Sample::take() {
  const MutexLock lock(mutex_);
  return std::exchange(keys_, {});
}

}  // namespace lockstep
