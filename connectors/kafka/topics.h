// Topics of the tables: which Kafka topic carries which table's events, by Debezium's naming.
//
// kafka_source reads these topics, kafka_proof asks for their ends; nothing here talks to a broker.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "pipeline/base/result.h"
#include "pipeline/model/table.h"

namespace lockstep {

// What the Kafka side must know of a table.
struct KafkaTable {
  TableId id = 0;
  TableName name;
  std::vector<TableName> leaves;  // Of a partitioned root.
  bool many_partitions = false;   // P4: its keys' wire form equals their canonical form.
};

// `many_partitions`: the answer of wire_equals_canonical for this table.
KafkaTable kafka_table(const TableMap& table, bool many_partitions);

enum class TopicRole : std::uint8_t {
  Table,  // Carries the table's events.
  Leaf,   // Carries events of one partition of it: refused as soon as it has any (P4).
};

struct TopicUse {
  TableId table = 0;
  TopicRole role = TopicRole::Table;
  bool many_partitions = false;
  std::string text;  // "public.orders", of the table; of a leaf the leaf's.
};

// By topic name.
using TopicPlan = std::map<std::string, TopicUse>;

// Debezium's SchemaTopicNamingStrategy: "<prefix>.<schema>.<table>", where every UTF-16 unit that
// is not a letter or digit of ASCII, '.', '_' or '-' is '_', cut at 249.
std::string topic_name(std::string_view prefix, const TableName& table);

// Returns the topics of all tables.  Halt, with exit code Config, when two tables have one topic:
// their events could not be told apart by topic.
Result<TopicPlan> plan_topics(std::string_view prefix, const std::vector<KafkaTable>& tables);

// "topic/0": the name of a stream, as the target's progress stores it.
std::string stream_name(std::string_view topic, std::int32_t partition);

}  // namespace lockstep
