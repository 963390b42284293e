#include "pipeline/merge/progress.h"

#include <algorithm>

namespace lockstep {

Progress::Progress(std::uint32_t lanes, const std::vector<ProgressRow>& rows) : lanes_(lanes) {
  const MutexLock lock(mutex_);
  for (const ProgressRow& row : rows) {
    CHECK(row.lane < lanes_);
    lanes_of(row.stream)[row.lane] = row.position;
    start_[{row.stream, row.lane}] = row;
  }
}

std::optional<ProgressRow> Progress::start(const std::string& name, std::uint32_t lane) const {
  const auto found = start_.find({name, lane});
  if (found == start_.end()) return std::nullopt;
  return found->second;
}

std::vector<Position>& Progress::lanes_of(const std::string& name) {
  return streams_.try_emplace(name, std::vector<Position>(lanes_)).first->second;
}

Position Progress::least_locked(const std::string& name) const {
  const auto found = streams_.find(name);
  return found == streams_.end() ? Position{} : std::ranges::min(found->second);
}

void Progress::committed(std::uint32_t lane, const std::string& name, Position position) {
  const MutexLock lock(mutex_);
  Position& current = lanes_of(name)[lane];
  current = std::max(current, position);
}

Position Progress::least(const std::string& name) const {
  const MutexLock lock(mutex_);
  return least_locked(name);
}

Position Progress::resume_point(const std::string& name) const {
  const MutexLock lock(mutex_);
  Position least = least_locked(name);
  for (auto own = streams_.upper_bound(name + "/");
       own != streams_.end() && own->first.starts_with(name + "/"); ++own)
    least = std::min(least, std::ranges::min(own->second));
  return least;
}

bool Progress::reached(const std::vector<std::pair<std::string, Position>>& ends,
                       std::string* behind) const {
  const MutexLock lock(mutex_);
  for (const auto& [name, end] : ends) {
    if (least_locked(name) >= end) continue;
    if (behind != nullptr) *behind = name;
    return false;
  }
  return true;
}

std::vector<std::pair<std::string, Position>> Progress::positions() const {
  const MutexLock lock(mutex_);
  std::vector<std::pair<std::string, Position>> positions;
  positions.reserve(streams_.size());
  for (const auto& [name, lanes] : streams_) positions.emplace_back(name, std::ranges::min(lanes));
  return positions;
}

}  // namespace lockstep
