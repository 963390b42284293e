#include "connectors/kafka/verify.h"

#include <fmt/format.h>
#include <librdkafka/rdkafka.h>

#include <algorithm>

#include "connectors/kafka/topics.h"
#include "pipeline/model/row.h"

namespace lockstep {
namespace {

using std::chrono::steady_clock;

constexpr std::string_view kStartOver =
    "changes may be missing, so nothing more is applied: begin the migration anew";

// What is known of one partition while the record before its position is looked for.
struct Search {
  Position position;
  std::int64_t low = 0;
  std::int64_t from = 0;       // Where this attempt began to read.
  std::uint64_t identity = 0;  // Of the last record before the position; 0: none seen yet.
  bool passed = false;         // This attempt has read up to the position.
};
using Searches = std::map<TopicPartition, Search>;

// Takes in one message.
Status take(Searches& searches, const rd_kafka_message_t& message) {
  if (message.rkt == nullptr) return {};
  const auto it = searches.find({rd_kafka_topic_name(message.rkt), message.partition});
  if (it == searches.end()) return {};
  Search& search = it->second;
  const auto position = static_cast<std::int64_t>(search.position.major);
  if (message.err == RD_KAFKA_RESP_ERR_NO_ERROR && message.offset < position) {
    if (message.offset >= search.from) search.identity = record_identity(message);
    search.passed = message.offset + 1 == position;
  } else if (message.err == RD_KAFKA_RESP_ERR_NO_ERROR ||
             message.err == RD_KAFKA_RESP_ERR__PARTITION_EOF) {
    search.passed = search.passed || message.offset >= position;
  } else if (partition_trouble(message.err) != PartitionTrouble::Passing) {
    return fail(Reaction::Halt,
                fmt::format("Kafka {}/{}: reading the record before offset {}: {}", it->first.topic,
                            it->first.partition, position, kafka_error_text(message.err)));
  }
  return {};
}

// Reads from each partition's `from` up to its position.
Status read_up_to(KafkaClient& client, Searches& searches, steady_clock::time_point deadline) {
  std::vector<PartitionOffset> begin;
  std::vector<TopicPartition> all;
  for (const auto& [at, search] : searches) {
    begin.push_back({at, search.from});
    all.push_back(at);
  }
  LOCKSTEP_TRY(client.assign(begin));
  const auto unread = [](const auto& entry) { return !entry.second.passed; };
  while (std::ranges::any_of(searches, unread)) {
    const auto left =
        std::chrono::duration_cast<std::chrono::milliseconds>(deadline - steady_clock::now());
    if (left.count() <= 0) {
      return fail(
          Reaction::Retry,
          fmt::format("Kafka: reading the last records again took too long {}", client.problem()),
          ExitCode::Unreachable);
    }
    std::vector<KafkaMessage> messages;
    client.consume(messages, 512, left);
    for (const KafkaMessage& message : messages) LOCKSTEP_TRY(take(searches, *message));
  }
  return client.unassign(all);
}

// Drops the searches that have an answer; prepares the others to begin further back.
Status settle(Searches& searches, std::int64_t distance) {
  for (auto it = searches.begin(); it != searches.end();) {
    Search& search = it->second;
    if (search.identity == search.position.minor) {
      it = searches.erase(it);
      continue;
    }
    if (search.identity != 0 || search.from <= search.low) {
      return fail(
          Reaction::Halt,
          fmt::format("Kafka topic {}: the record before offset {} of partition {} is not "
                      "the one applied; the topic was deleted and created again, or belongs "
                      "to another cluster; {}",
                      it->first.topic, search.position.major, it->first.partition, kStartOver));
    }
    // Only transaction markers and aborted records so far.
    const auto position = static_cast<std::int64_t>(search.position.major);
    search.from = std::max(search.low, position - distance);
    search.passed = false;
    ++it;
  }
  return {};
}

}  // namespace

std::uint64_t record_identity(const rd_kafka_message_s& message) {
  rd_kafka_timestamp_type_t type = RD_KAFKA_TIMESTAMP_NOT_AVAILABLE;
  const auto time = static_cast<std::uint64_t>(rd_kafka_message_timestamp(&message, &type));
  const auto offset = static_cast<std::uint64_t>(message.offset);
  const std::string_view key(static_cast<const char*>(message.key), message.key_len);
  const std::string_view value(static_cast<const char*>(message.payload), message.len);
  const std::uint64_t seed = hash128(key, time * 0x9E3779B97F4A7C15ULL + offset).low;
  // 63 bits, for databases whose integers have a sign.
  return std::max<std::uint64_t>(hash128(value, seed).low >> 1U, 1);
}

Status check_within(const KnownPosition& known, const PartitionEnds& ends) {
  const std::uint64_t position = known.position.major;
  if (position < static_cast<std::uint64_t>(ends.low)) {
    return fail(
        Reaction::Halt,
        fmt::format("Kafka topic {}: offset {} of partition {} has expired (its log now "
                    "begins at {}): lockstep was away for longer than the topic's retention; {}",
                    known.at.topic, position, known.at.partition, ends.low, kStartOver));
  }
  if (position > static_cast<std::uint64_t>(ends.end)) {
    return fail(
        Reaction::Halt,
        fmt::format("Kafka topic {}: partition {} ends at {} although offset {} was applied: "
                    "the topic was created again or truncated; {}",
                    known.at.topic, known.at.partition, ends.end, position, kStartOver));
  }
  return {};
}

Status verify_positions(const KafkaOptions& options, std::span<const KnownPosition> known,
                        std::chrono::milliseconds timeout) {
  if (known.empty()) return {};
  const auto deadline = steady_clock::now() + timeout;
  KafkaOptions reader = options;
  reader.group_id.clear();
  LOCKSTEP_ASSIGN(const auto client, KafkaClient::open(reader));
  std::vector<TopicPartition> partitions;
  for (const KnownPosition& position : known) partitions.push_back(position.at);
  LOCKSTEP_ASSIGN(auto ends, client->ends(partitions, timeout));
  Searches searches;
  for (const KnownPosition& position : known) {
    const PartitionEnds& log = ends[position.at];
    LOCKSTEP_TRY(check_within(position, log));
    const auto offset = static_cast<std::int64_t>(position.position.major);
    // Without an identity (nothing applied yet), or with that record just expired, nothing to
    // compare.
    if (position.position.minor == 0 || offset == log.low) continue;
    searches[position.at] = {position.position, log.low, offset - 1, 0, false};
  }
  for (std::int64_t distance = 16; !searches.empty(); distance *= 16) {
    LOCKSTEP_TRY(read_up_to(*client, searches, deadline));
    LOCKSTEP_TRY(settle(searches, distance));
  }
  return {};
}

}  // namespace lockstep
