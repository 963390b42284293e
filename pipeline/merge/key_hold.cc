#include "pipeline/merge/key_hold.h"

#include "pipeline/base/rules.h"

namespace lockstep {

void KeyHold::place(TableId table, std::span<const Hash128> keys) {
  const MutexLock lock(mutex_);
  table_ = table;
  keys_.clear();
  for (const Hash128& key : keys) keys_.try_emplace(key);
  snapshot_.reset();
  over_ = false;
}

void KeyHold::see(const Snapshot& snapshot) {
  const MutexLock lock(mutex_);
  snapshot_ = snapshot;
}

std::vector<Hash128> KeyHold::arrived() const {
  const MutexLock lock(mutex_);
  std::vector<Hash128> arrived;
  for (const auto& [key, held] : keys_)
    if (held.arrived) arrived.push_back(key);
  return arrived;
}

void KeyHold::release(const Hash128& key) {
  const MutexLock lock(mutex_);
  keys_.erase(key);
}

void KeyHold::release_all() {
  const MutexLock lock(mutex_);
  keys_.clear();
}

bool KeyHold::placed() const {
  const MutexLock lock(mutex_);
  return !keys_.empty() && !over_;
}

// Of a change of unknown visibility nobody can say what its arrival proves; Recent takes it for one
// that S does not see.
bool KeyHold::holds_locked(const Change& change) const {
  if (over_ || change.xid == 0 || change.table != table_ || !rule_on(Rule::HoldBusyKey))
    return false;
  return keys_.contains(change.key) && !(snapshot_ && snapshot_->sees(change.xid));
}

bool KeyHold::holds(const Change& change) const {
  const MutexLock lock(mutex_);
  return holds_locked(change);
}

bool KeyHold::wait(const Change& change, bool committed, Time now) {
  const MutexLock lock(mutex_);
  if (!holds_locked(change)) return false;
  Held& held = keys_.at(change.key);
  if (!held.since) held.since = now;
  over_ = now - *held.since >= limit_;
  if (over_ || held.arrived || !committed || !snapshot_) return !over_;
  held.arrived = true;
  if (arrivals_.bytes() == 0) arrivals_.push_now(0, 1);
  return true;
}

}  // namespace lockstep
