// What others ask of a KafkaSource between two polls: tables are paused, positions are told to the
// broker, and people hear how it is.
#include <fmt/format.h>

#include <algorithm>
#include <chrono>

#include "connectors/kafka/source.h"

namespace lockstep {

Status KafkaSource::pause_table(TableId table) {
  paused_.insert(table);
  return unassign_held();
}

Status KafkaSource::resume_table(TableId table) {
  paused_.erase(table);
  return assign_new();
}

std::vector<std::string> KafkaSource::streams_of(TableId table) const {
  std::vector<std::string> names;
  for (std::size_t id = 0; id < streams_.size(); ++id) {
    if (streams_[id].table == table) names.push_back(names_[id]);
  }
  return names;
}

Status KafkaSource::acknowledge(StreamId stream, Position position) {
  CHECK(stream < streams_.size());
  streams_[stream].acknowledged = position;
  return {};
}

void KafkaSource::commit_group(Deadline now) {
  if (now < commit_next_ || away_since_) return;
  commit_next_ = now + options_.commit_every;
  std::vector<PartitionOffset> offsets;
  for (Stream& stream : streams_) {
    if (!stream.acknowledged) continue;
    offsets.push_back({stream.at, static_cast<std::int64_t>(stream.acknowledged->major)});
    stream.acknowledged.reset();
  }
  client_->commit(offsets);
}

SourceState KafkaSource::state() const {
  using Kind = SourceState::Kind;
  if (away_since_) {
    const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(
        std::chrono::steady_clock::now() - *away_since_);
    const std::string problem = watcher_->problem();
    return {Kind::Away, fmt::format("broker unreachable for {} s: {}", seconds.count(),
                                    problem.empty() ? away_why_ : problem)};
  }
  if (!begun_) return {Kind::Away, "connecting to Kafka"};
  if (!missing_since_.empty())
    return {Kind::Away, fmt::format("topic {} has disappeared; waiting for it{}{}",
                                    missing_since_.begin()->first,
                                    unlisted_why_.empty() ? "" : ": ", unlisted_why_)};
  if (!out_of_range_.empty())
    return {Kind::Away, fmt::format("{}: the broker does not have the offset",
                                    place(streams_[out_of_range_.begin()->first].at))};
  const auto troubled = std::ranges::find_if(
      streams_, [this](const Stream& each) { return !each.trouble.empty() && !held(each); });
  if (troubled != streams_.end())
    return {Kind::Away, fmt::format("{}: {}", place(troubled->at), troubled->trouble)};
  const std::string problem = client_->problem();
  return {Kind::Streaming,
          problem.empty() ? "streaming" : fmt::format("streaming (a moment ago: {})", problem)};
}

}  // namespace lockstep
