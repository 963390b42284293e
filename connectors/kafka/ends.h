// Ends of topics: what `validate`, prepare (P1) and the proof (V3) ask a broker about the tables'
// topics, without reading a record.
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "connectors/kafka/client.h"
#include "connectors/kafka/topics.h"
#include "pipeline/base/result.h"
#include "pipeline/model/change.h"

namespace lockstep {

// The names of a plan's topics.
std::set<std::string> topics_of(const TopicPlan& plan);

struct StreamEnd {
  std::string stream;  // "topic/0"
  TopicPartition at;
  Position end;  // The last stable offset.
};

// The ends of all partitions of `topics`, each with the number of its partitions: what a proof
// waits for (V3).
Result<std::vector<StreamEnd>> read_end_offsets(KafkaClient& client,
                                                const std::map<std::string, std::int32_t>& topics,
                                                std::chrono::milliseconds timeout);
// The same of those topics of the tables that are listed: where a first start begins (P1).  One
// that is not listed is read from its first record, as one that appears later.
Result<std::vector<StreamEnd>> read_end_offsets(const KafkaOptions& options, const TopicPlan& plan,
                                                std::chrono::milliseconds timeout);

// Those of the plan's topics whose log is compacted: refused, since compaction takes away the event
// whose TOAST value a later partial update relies on.
Result<std::set<std::string>> compacted_topics(const KafkaOptions& options, const TopicPlan& plan,
                                               std::chrono::milliseconds timeout);

}  // namespace lockstep
