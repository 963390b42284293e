#include "connectors/kafka/topics.h"

#include <fmt/format.h>

#include <cstddef>

#include "pipeline/decode/debezium/topic_form.h"

namespace lockstep {
namespace {

constexpr std::size_t kTopicLengthMax = 249;

Status add_topic(TopicPlan& plan, const std::string& topic, TopicUse use) {
  const auto [it, fresh] = plan.try_emplace(topic, use);
  if (fresh) return {};
  return fail(
      Reaction::Halt,
      fmt::format("tables {} and {} share the Kafka topic {}: leave one of them out, or give "
                  "each a connector with a topic prefix of its own",
                  it->second.text, use.text, topic),
      ExitCode::Config);
}

}  // namespace

KafkaTable kafka_table(const TableMap& table, bool many_partitions) {
  return {table.id, table.source.name, table.source.leaves, many_partitions};
}

std::string topic_name(std::string_view prefix, const TableName& table) {
  std::string topic = topic_form(fmt::format("{}.{}.{}", prefix, table.schema, table.table));
  if (topic.size() > kTopicLengthMax) topic.resize(kTopicLengthMax);
  return topic;
}

Result<TopicPlan> plan_topics(std::string_view prefix, const std::vector<KafkaTable>& tables) {
  TopicPlan plan;
  for (const KafkaTable& table : tables) {
    LOCKSTEP_TRY(add_topic(plan, topic_name(prefix, table.name),
                           {table.id, TopicRole::Table, table.many_partitions, table.name.text()}));
    for (const TableName& leaf : table.leaves) {
      LOCKSTEP_TRY(add_topic(plan, topic_name(prefix, leaf),
                             {table.id, TopicRole::Leaf, true, leaf.text()}));
    }
  }
  return plan;
}

std::string stream_name(std::string_view topic, std::int32_t partition) {
  return fmt::format("{}/{}", topic, partition);
}

}  // namespace lockstep
