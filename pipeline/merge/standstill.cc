#include "pipeline/merge/standstill.h"

#include <algorithm>

#include "pipeline/base/rules.h"

namespace lockstep {

void Standstill::move_to(Stage stage) {
  stage_ = stage;
  active_.store(stage != Stage::Over, std::memory_order_release);
}

void Standstill::begin() {
  const MutexLock lock(mutex_);
  std::ranges::fill(waiting_, Waiting());
  came_late_ = false;
  move_to(Stage::Taking);
}

void Standstill::see(const Snapshot& snapshot) {
  const MutexLock lock(mutex_);
  if (stage_ != Stage::Taking) return;  // A lane has waited for too long.
  snapshot_ = snapshot;
  move_to(Stage::Standing);
}

bool Standstill::stands(std::uint32_t lane) const {
  const MutexLock lock(mutex_);
  return stage_ == Stage::Standing && waiting_[lane].stands;
}

bool Standstill::release() {
  const MutexLock lock(mutex_);
  if (stage_ != Stage::Standing) return false;
  move_to(Stage::Released);
  return true;
}

bool Standstill::came_late() const {
  const MutexLock lock(mutex_);
  return came_late_;
}

void Standstill::end() {
  const MutexLock lock(mutex_);
  move_to(Stage::Over);
}

// A change of unknown visibility passes: it opens a debt, which tells of it.
bool Standstill::holds_locked(const Change& change) const {
  if (change.xid == 0) return false;
  return stage_ == Stage::Taking || (stage_ == Stage::Standing && !snapshot_.sees(change.xid));
}

bool Standstill::holds(const Change& change) const {
  const MutexLock lock(mutex_);
  return holds_locked(change);
}

bool Standstill::wait(std::uint32_t lane, const Change& change, bool committed, Time now) {
  const MutexLock lock(mutex_);
  if (!holds_locked(change)) return false;
  Waiting& waiting = waiting_[lane];
  if (!waiting.since) waiting.since = now;
  if (now - *waiting.since >= limit_) {
    move_to(Stage::Over);
    return false;
  }
  waiting.stands = committed && stage_ == Stage::Standing;
  return true;
}

void Standstill::passed(std::span<const Xid> xids) {
  if (!active()) return;
  const MutexLock lock(mutex_);
  if (stage_ != Stage::Released || !rule_on(Rule::NoticeLateChange)) return;
  for (const Xid xid : xids) came_late_ = came_late_ || (xid != 0 && snapshot_.sees(xid));
}

}  // namespace lockstep
