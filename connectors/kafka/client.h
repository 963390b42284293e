// KafkaClient: one librdkafka consumer that assigns its own partitions, its handles and errors
// wrapped once.
//
// kafka_source reads changes with it, kafka_verify and kafka_proof ask for the ends of partitions.
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "pipeline/base/result.h"

struct rd_kafka_s;
struct rd_kafka_queue_s;
struct rd_kafka_message_s;

namespace lockstep {

struct KafkaOptions {
  // librdkafka properties, secrets included: printed only through redacted().
  std::vector<std::pair<std::string, std::string>> properties;
  std::string client_id = "lockstep";
  std::string group_id;  // Where offsets are committed for people's lag tools; "": nowhere.
  std::size_t prefetch_bytes_max = 16ULL << 20U;  // Records fetched ahead, all partitions together.
  std::size_t record_bytes_max = 64ULL << 20U;    // A larger record stops its table.
  std::size_t batch_bytes_max = 8ULL << 20U;      // consume() ends soon after so many.
};

// "bootstrap.servers=k1:9092 sasl.password=***", in the order given.
std::string redacted(const KafkaOptions& options);
// Whether a property's value is a secret.
bool sensitive_property(std::string_view name);

struct TopicPartition {
  std::string topic;
  std::int32_t partition = 0;
  friend auto operator<=>(const TopicPartition&, const TopicPartition&) = default;
};

// "Kafka topic T, partition N", for messages.
std::string place(const TopicPartition& at);

struct PartitionOffset {
  TopicPartition at;
  std::int64_t offset = 0;
};

// The log of one partition: [low, end), end being the last stable offset (read_committed).
struct PartitionEnds {
  std::int64_t low = 0;
  std::int64_t end = 0;
};

struct KafkaMessageDeleter {
  void operator()(rd_kafka_message_s* message) const noexcept;
};
using KafkaMessage = std::unique_ptr<rd_kafka_message_s, KafkaMessageDeleter>;

// Not thread-safe: one thread for all calls.  librdkafka's own threads fetch in the background.
//
// Errors: Retry while the broker is away or does not answer in time; Halt for what only the
// operator can change.
class KafkaClient {
 public:
  // Halt with exit code Config on an unknown property, a bad value, or a property that lockstep
  // must set itself.  Does not wait for a broker.
  static Result<std::unique_ptr<KafkaClient>> open(const KafkaOptions& options);
  ~KafkaClient();
  KafkaClient(const KafkaClient&) = delete;
  KafkaClient& operator=(const KafkaClient&) = delete;

  // Returns the number of partitions of those of `topics` that the broker lists.  Creates none.  A
  // broker that starts up may leave out some, and does leave out those that this user may not see.
  Result<std::map<std::string, std::int32_t>> partition_counts(const std::set<std::string>& topics,
                                                               std::chrono::milliseconds timeout);

  // Returns the number of partitions of `topic`, asked for by its name; 0: there is no such topic.
  // Retry, with the right that is missing, when this user may not see it, whether it exists or not.
  Result<std::int32_t> partitions_of(const std::string& topic, std::chrono::milliseconds timeout);

  // Returns where each partition begins and ends.  REQUIRES: they exist.
  Result<std::map<TopicPartition, PartitionEnds>> ends(std::span<const TopicPartition> partitions,
                                                       std::chrono::milliseconds timeout);

  // Returns those of `topics` whose log is compacted.  Waits until `timeout`.
  Result<std::set<std::string>> compacted(const std::set<std::string>& topics,
                                          std::chrono::milliseconds timeout);

  // Adds partitions to, or takes them from, what consume() reads.
  Status assign(std::span<const PartitionOffset> partitions);
  Status unassign(std::span<const TopicPartition> partitions);

  // Appends at most `messages_max` messages (records, ends of partitions, errors of partitions) to
  // `out`.  Waits until `timeout` for the first.
  void consume(std::vector<KafkaMessage>& out, std::size_t messages_max,
               std::chrono::milliseconds timeout);

  // Commits group offsets in the background; a failure is told by problem().
  void commit(std::span<const PartitionOffset> partitions);
  // The same, waiting until `timeout` for the broker.
  void commit_now(std::span<const PartitionOffset> partitions, std::chrono::milliseconds timeout);

  // What librdkafka last complained of, "" when that is over or half a minute old.
  std::string problem() const;

  // A topic of assigned partitions was deleted.  librdkafka 2.0.2 then waits for ever when the
  // handle is destroyed (seen with Kafka 4.3.1), so the handle is left to the end of the process.
  void topic_was_deleted() { abandon_ = true; }

 private:
  struct HandleDeleter {
    void operator()(rd_kafka_s* handle) const noexcept;
  };
  struct QueueDeleter {
    void operator()(rd_kafka_queue_s* queue) const noexcept;
  };

  KafkaClient() = default;
  void serve();      // Runs callbacks that are due.
  void succeeded();  // A broker answered.

  // error_cb and offset_commit_cb, with this object as opaque; run inside our own calls.
  static void on_error(rd_kafka_s* handle, int code, const char* reason, void* opaque);

  std::unique_ptr<rd_kafka_s, HandleDeleter> handle_;
  std::unique_ptr<rd_kafka_queue_s, QueueDeleter> queue_;  // Must go before handle_.
  std::string problem_;
  std::chrono::steady_clock::time_point problem_at_{};
  bool abandon_ = false;
  std::string commit_problem_;
  bool commits_ = false;
  std::size_t batch_bytes_max_ = 0;
};

// What an error of one partition asks for.
enum class PartitionTrouble : std::uint8_t {
  Passing,     // librdkafka retries by itself: leader moves, lost connections, missing rights.
  Gone,        // The topic or partition does not exist any more.
  OutOfRange,  // The offset is not in the log (I16).
  Record,      // The record itself cannot be read: checksum, size, compression.
};
PartitionTrouble partition_trouble(int code);

// librdkafka's name and text of an error code: "_TRANSPORT", "Local: Broker transport failure".
std::string kafka_error_name(int code);
std::string kafka_error_text(int code);

}  // namespace lockstep
