#include "connectors/kafka/ends.h"

namespace lockstep {

using std::chrono::milliseconds;

namespace {

Result<std::unique_ptr<KafkaClient>> open_reader(KafkaOptions options) {
  options.group_id.clear();
  return KafkaClient::open(options);
}

}  // namespace

std::set<std::string> topics_of(const TopicPlan& plan) {
  std::set<std::string> topics;
  for (const auto& [topic, use] : plan) topics.insert(topic);
  return topics;
}

Result<std::vector<StreamEnd>> read_end_offsets(KafkaClient& client,
                                                const std::map<std::string, std::int32_t>& topics,
                                                milliseconds timeout) {
  std::vector<TopicPartition> partitions;
  for (const auto& [topic, count] : topics) {
    for (std::int32_t i = 0; i < count; ++i) partitions.push_back({topic, i});
  }
  LOCKSTEP_ASSIGN(const auto ends, client.ends(partitions, timeout));
  std::vector<StreamEnd> out;
  for (const auto& [at, log] : ends) {
    out.push_back(
        {stream_name(at.topic, at.partition), at, {static_cast<std::uint64_t>(log.end), 0}});
  }
  return out;
}

Result<std::vector<StreamEnd>> read_end_offsets(const KafkaOptions& options, const TopicPlan& plan,
                                                milliseconds timeout) {
  LOCKSTEP_ASSIGN(const auto client, open_reader(options));
  LOCKSTEP_ASSIGN(const auto counts, client->partition_counts(topics_of(plan), timeout));
  return read_end_offsets(*client, counts, timeout);
}

Result<std::set<std::string>> compacted_topics(const KafkaOptions& options, const TopicPlan& plan,
                                               milliseconds timeout) {
  LOCKSTEP_ASSIGN(const auto client, open_reader(options));
  LOCKSTEP_ASSIGN(const auto counts, client->partition_counts(topics_of(plan), timeout));
  std::set<std::string> existing;
  for (const auto& [topic, count] : counts) existing.insert(topic);
  return client->compacted(existing, timeout);
}

}  // namespace lockstep
