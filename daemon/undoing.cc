#include "daemon/undoing.h"

#include <fmt/format.h>

namespace lockstep {
namespace {

constexpr std::chrono::seconds kSlack{5};  // Until its server knows of the statement.

}  // namespace

void Undoing::begins(std::uint64_t finding, Time now) {
  const MutexLock lock(mutex_);
  until_[finding] = now + kUndoWritesMax + kSlack;
}

void Undoing::ends(std::uint64_t finding) {
  const MutexLock lock(mutex_);
  until_.erase(finding);
}

std::string Undoing::waits(Time now) const {
  const MutexLock lock(mutex_);
  for (const auto& [finding, until] : until_)
    if (now < until) return fmt::format("the repair undo of finding {} to end its write", finding);
  return {};
}

}  // namespace lockstep
