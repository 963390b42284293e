#include "connectors/kafka/topics.h"

#include <fmt/format.h>

#include <cstddef>

namespace lockstep {
namespace {

constexpr std::size_t kTopicLengthMax = 249;

bool valid_in_topic(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' ||
         c == '_' || c == '-';
}

// Appends `name` with Debezium's replacements.  Java counts UTF-16 units: a character of four UTF-8
// bytes is two of them, any other is one.
void append_sanitized(std::string& out, std::string_view name) {
  for (const char c : name) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte >= 0x80 && byte < 0xC0) continue;  // Continuation of a character already replaced.
    if (valid_in_topic(c)) {
      out.push_back(c);
    } else {
      out.append(byte >= 0xF0 ? 2 : 1, '_');
    }
  }
}

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
  std::string topic;
  append_sanitized(topic, prefix);
  topic.push_back('.');
  append_sanitized(topic, table.schema);
  topic.push_back('.');
  append_sanitized(topic, table.table);
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
