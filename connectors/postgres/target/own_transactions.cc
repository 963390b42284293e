#include "connectors/postgres/target/own_transactions.h"

#include <algorithm>
#include <utility>

namespace lockstep {

void OwnTransactions::begin(Session& session) {
  const MutexLock lock(mutex_);
  open_.erase(session.open);
  session.open = ++begun_;
  open_.insert(session.open);
}

void OwnTransactions::end(Session& session, Xid xid) {
  const MutexLock lock(mutex_);
  open_.erase(std::exchange(session.open, 0));
  if (xid == 0) return;
  // What was lost had a lower id, and so had every transaction of an earlier process.
  const bool first_since = std::exchange(session.lost, false);
  if (first_since) --lost_;
  if (first_since || !floor_) floor_ = std::max(floor_.value_or(0), xid);
  ids_.insert(xid);
  if (ids_.size() <= kept_max_) return;
  floor_ = std::max(*floor_, *ids_.begin());
  ids_.erase(ids_.begin());
}

void OwnTransactions::lose(Session& session) {
  const MutexLock lock(mutex_);
  if (open_.erase(std::exchange(session.open, 0)) == 0) return;
  if (!std::exchange(session.lost, true)) ++lost_;
}

OwnTransactions::Number OwnTransactions::begun() const {
  const MutexLock lock(mutex_);
  return begun_;
}

std::optional<std::vector<Xid>> OwnTransactions::up_to(Xid xid, std::size_t most,
                                                       Number begun) const {
  const MutexLock lock(mutex_);
  const bool under_way = !open_.empty() && *open_.begin() <= begun;
  if (under_way || lost_ > 0 || !floor_ || xid <= *floor_) return std::nullopt;
  std::vector<Xid> newest;
  auto id = ids_.upper_bound(xid);
  while (id != ids_.begin() && newest.size() < most) newest.push_back(*--id);
  return newest;
}

}  // namespace lockstep
