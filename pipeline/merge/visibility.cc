#include "pipeline/merge/visibility.h"

#include <algorithm>

#include "pipeline/base/rules.h"

namespace lockstep {
namespace {

// Far more than is applied between two probes: it is reached when the source cannot be probed.
constexpr std::size_t kUnseenMax = 200'000;

}  // namespace

Visibility::Visibility(Xid floor, std::span<const Xid> unseen)
    : floor_(floor), unseen_(unseen.begin(), unseen.end()) {}

Visibility::Ticket Visibility::begin() {
  const MutexLock lock(mutex_);
  const Ticket ticket = next_++;
  if (rule_on(Rule::RegisterBeforeBegin)) in_flight_[ticket] = std::nullopt;
  return ticket;
}

bool Visibility::accept(Ticket ticket, const Snapshot& snapshot, bool begins_stream) {
  const MutexLock lock(mutex_);
  in_flight_[ticket] = snapshot;
  ++generation_;
  waiting_for_ = 0;
  if (rule_on(Rule::AcceptSnapshot)) {
    if (!begins_stream && snapshot.xmin <= floor_) waiting_for_ = floor_;
    if (snapshot.xmin <= unseen_floor_) waiting_for_ = unseen_floor_;
    for (const Xid xid : unseen_) {
      if (snapshot.sees(xid)) continue;
      waiting_for_ = xid;
      break;
    }
  }
  reduce();
  return waiting_for_ == 0;
}

void Visibility::end(Ticket ticket) {
  const MutexLock lock(mutex_);
  in_flight_.erase(ticket);
  ++generation_;
  reduce();
}

void Visibility::probed(const Snapshot& snapshot) {
  const MutexLock lock(mutex_);
  probe_ = snapshot;
  ++generation_;
  reduce();
}

void Visibility::reduce() {
  if (!probe_) return;
  for (const auto& [ticket, value] : in_flight_)
    if (!value) return;  // It may turn out older than the probe.
  std::erase_if(unseen_, [&probe = *probe_](Xid xid) { return probe.sees(xid); });
  if (probe_->xmin > unseen_floor_) unseen_floor_ = 0;
}

void Visibility::applied(std::span<const Xid> xids) {
  const MutexLock lock(mutex_);
  for (const Xid xid : xids)
    if (xid != 0) unseen_.insert(xid);
  if (unseen_.size() <= kUnseenMax) return;
  unseen_floor_ = std::max(unseen_floor_, *unseen_.rbegin());
  unseen_.clear();
}

bool Visibility::Horizon::passes(Xid xid) const {
  return !snapshots.empty() &&
         std::ranges::all_of(snapshots, [xid](const Snapshot& s) { return s.sees(xid); });
}

bool Visibility::Horizon::passes_all_below(Xid xid) const {
  return !snapshots.empty() &&
         std::ranges::all_of(snapshots, [xid](const Snapshot& s) { return xid < s.xmin; });
}

Visibility::Horizon Visibility::horizon() const {
  const MutexLock lock(mutex_);
  Horizon horizon;
  if (!probe_) return horizon;
  if (rule_on(Rule::ForgetOnlyVisible)) {
    for (const auto& [ticket, value] : in_flight_) {
      if (!value) return {};
      horizon.snapshots.push_back(*value);
    }
  }
  horizon.snapshots.push_back(*probe_);
  return horizon;
}

std::uint64_t Visibility::generation() const {
  const MutexLock lock(mutex_);
  return generation_;
}

std::optional<std::vector<Xid>> Visibility::unseen(std::size_t max) const {
  const MutexLock lock(mutex_);
  if (unseen_.size() > max || unseen_floor_ != 0) return std::nullopt;
  return std::vector<Xid>(unseen_.begin(), unseen_.end());
}

Xid Visibility::newest() const {
  const MutexLock lock(mutex_);
  return probe_ ? probe_->xmax : 0;
}

Xid Visibility::waiting_for() const {
  const MutexLock lock(mutex_);
  return waiting_for_;
}

}  // namespace lockstep
