#include "pipeline/merge/progress.h"

#include <algorithm>
#include <limits>

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

Progress::Lanes& Progress::lanes_of(const std::string& name) {
  return streams_.try_emplace(name, Lanes(lanes_)).first->second;
}

// A lane that never held the table has no position of the table's own: it is where the stream is.
Position Progress::least_locked(const std::string& name) const {
  const auto found = streams_.find(name);
  if (found == streams_.end()) return {};
  const auto slash = name.find('/');
  const auto whole =
      slash == std::string::npos ? streams_.end() : streams_.find(name.substr(0, slash));
  Position least{std::numeric_limits<std::uint64_t>::max(), 0};
  for (std::uint32_t lane = 0; lane < lanes_; ++lane) {
    std::optional<Position> position = found->second[lane];
    if (!position && whole != streams_.end()) position = whole->second[lane];
    least = std::min(least, position.value_or(Position{}));
  }
  return least;
}

void Progress::committed(std::uint32_t lane, const std::string& name, Position position) {
  const MutexLock lock(mutex_);
  std::optional<Position>& current = lanes_of(name)[lane];
  current = std::max(current.value_or(Position{}), position);
}

void Progress::rejoined(std::uint32_t lane, const std::string& name) {
  const MutexLock lock(mutex_);
  const auto own = streams_.find(name);
  if (own == streams_.end()) return;
  own->second[lane].reset();
  if (std::ranges::none_of(own->second, [](const auto& position) { return position.has_value(); }))
    streams_.erase(own);
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
    least = std::min(least, least_locked(own->first));
  return least;
}

std::vector<std::string> Progress::own_streams(const std::string& name) const {
  const MutexLock lock(mutex_);
  std::vector<std::string> names;
  for (auto own = streams_.upper_bound(name + "/");
       own != streams_.end() && own->first.starts_with(name + "/"); ++own)
    names.push_back(own->first);
  return names;
}

bool Progress::reached(const Ends& ends, std::string* behind) const {
  const MutexLock lock(mutex_);
  for (const auto& [name, end] : ends) {
    if (least_locked(name) >= end) continue;
    if (behind != nullptr) *behind = name;
    return false;
  }
  return true;
}

bool Progress::reached(std::uint32_t lane, const Ends& ends) const {
  const MutexLock lock(mutex_);
  for (const auto& [name, end] : ends) {
    const auto stream = streams_.find(name);
    if (stream == streams_.end() || stream->second[lane].value_or(Position()) < end) return false;
  }
  return true;
}

std::vector<ProgressRow> Progress::rows() const {
  const MutexLock lock(mutex_);
  std::vector<ProgressRow> rows;
  for (const auto& [name, lanes] : streams_)
    for (std::uint32_t lane = 0; lane < lanes_; ++lane)
      if (lanes[lane]) rows.push_back({name, lane, *lanes[lane], 0, 0});
  return rows;
}

std::vector<std::pair<std::string, Position>> Progress::positions() const {
  const MutexLock lock(mutex_);
  std::vector<std::pair<std::string, Position>> positions;
  positions.reserve(streams_.size());
  for (const auto& [name, lanes] : streams_) positions.emplace_back(name, least_locked(name));
  return positions;
}

}  // namespace lockstep
