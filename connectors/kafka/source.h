// KafkaSource: Debezium's events from Kafka, as a ChangeSource.
//
//   topics of the tables --librdkafka--> poll() --DebeziumDecoder--> Changes + watermarks --> route
//
// It assigns itself every partition of every table's topic and reads them from our own progress.
// Topics that do not exist yet are looked for again and again: Debezium makes a table's topic with
// its first event.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "connectors/kafka/client.h"
#include "connectors/kafka/topics.h"
#include "connectors/kafka/verify.h"
#include "pipeline/base/result.h"
#include "pipeline/decode/debezium/debezium.h"
#include "pipeline/model/change.h"
#include "pipeline/ports/source.h"
#include "pipeline/ports/target.h"

namespace lockstep {

// What turns records into changes: DebeziumDecoder through decode_with(), or a fake.
struct KafkaDecode {
  // Decodes one record.  REQUIRES: the answer's change carries the record's stream and next.
  std::function<Result<Decoded>(const Record&)> record;
  // The widened xid that the stream's 32-bit ones are next to.
  std::function<void(StreamId, Xid)> set_last_xid;
  // Likewise of all streams: about how many the source has handed out by now.
  std::function<void(Xid)> set_newest_xid;
};

// `decoder` must outlive the source.
KafkaDecode decode_with(DebeziumDecoder& decoder);

struct StreamStart {
  Position position;
  Xid last_xid = 0;
};

// Where each stream of which the target has progress is to be read from: where the lane stands that
// is the furthest behind.  One that has none yet has applied nothing of the stream (I13).
std::map<std::string, StreamStart> stream_starts(std::uint32_t lanes,
                                                 std::span<const ProgressRow> progress);

struct KafkaSourceOptions {
  KafkaOptions kafka;
  std::string topic_prefix;
  std::vector<KafkaTable> tables;
  // Where known streams ("topic/partition") begin: the least position of all lanes.  A topic
  // without any entry is one that appeared later and is read from offset 0.
  std::map<std::string, StreamStart> start;
  // Widens the first xid of streams without a last one: a probe's xmax of this start.
  Xid seed_xid = 0;
  KafkaDecode decode;
  std::size_t batch_messages_max = 2000;
  std::chrono::milliseconds topic_refresh{2000};
  std::chrono::milliseconds topic_missing_max{30000};  // A topic gone for longer was deleted: halt.
  std::chrono::milliseconds commit_every{5000};        // Group offsets.
};

// Source thread only.
//
// Caller: when streams() has grown after a poll, record progress of all its new streams in one
// transaction before applying any change of them.  (A topic of which only some partitions have
// progress looks, at the next start, like one that got more partitions, and its table would stop.)
//
// Invariant: a stream's next_ never passes a record that was not decoded, or skipped as a
// tombstone.
class KafkaSource : public ChangeSource {
 public:
  // Halt with exit code Config for wrong properties or colliding topics.  Waits for nothing: the
  // broker is first asked by poll().
  static Result<std::unique_ptr<KafkaSource>> open(KafkaSourceOptions options);
  // Tells the broker the last acknowledged positions; waits for it at most 2 s.
  ~KafkaSource() override;

  const std::vector<std::string>& streams() const override { return names_; }
  void note_newest(Xid newest) override { options_.decode.set_newest_xid(newest); }
  Polled poll(std::chrono::milliseconds deadline) override;
  Status pause_table(TableId table) override;
  // Reads a paused table again, each of its streams from where it stopped.
  Status resume_table(TableId table);
  std::vector<std::string> streams_of(TableId table) const override;
  Status acknowledge(StreamId stream, Position position) override;

 private:
  struct Stream {
    TopicPartition at;
    TableId table = 0;
    TopicRole role = TopicRole::Table;
    Position next;  // Everything before it is in a batch.
    bool assigned = false;
    bool told = false;  // `next` is in the batch's watermarks.
    Position sequence;  // Largest seen (I16).
    std::int64_t commit_us = 0;
    std::optional<Position> acknowledged;  // Not yet committed to the group.
    std::string trouble;  // Why nothing of it is fetched, until something is; "": it is.
  };
  using Deadline = std::chrono::steady_clock::time_point;

  KafkaSource(KafkaSourceOptions options, TopicPlan plan, std::unique_ptr<KafkaClient> client,
              std::unique_ptr<KafkaClient> watcher);

  SourceState state() const;
  Status read(ChangeBatch& batch, Deadline until);
  Status look_if_due(ChangeBatch& batch);
  Status consume(ChangeBatch& batch, Deadline until);
  Status judge_out_of_range();

  // Looks at the topics: starts, or takes in what has appeared.
  Status look_at_topics(ChangeBatch& batch);
  Status begin(const std::map<std::string, std::int32_t>& counts);
  Status take_in_topic(const std::string& topic, std::int32_t partitions, ChangeBatch& batch);
  void hold_topic(const std::string& topic);
  Status note_missing(const std::string& topic);
  Status note_present(const std::string& topic);
  StreamId add_stream(TopicPartition at, const TopicUse& use, StreamStart start);
  Status assign_new();
  Status assign_troubled_again();

  // Handles what consume() brought.
  Status take(const rd_kafka_message_s& message, ChangeBatch& batch);
  Status take_record(Stream& stream, const rd_kafka_message_s& message, ChangeBatch& batch);
  Status take_trouble(Stream& stream, const rd_kafka_message_s& message, ChangeBatch& batch);
  Status decode(Stream& stream, const Record& record, ChangeBatch& batch);
  Status check_order(Stream& stream, const Change& change);
  Stream* stream_of(const rd_kafka_message_s& message);
  void stop_table(TableId table, Error error, ChangeBatch& batch);
  // Whether nothing of `stream` is taken now: its table is paused, or its topic gone.
  bool held(const Stream& stream) const;
  Status unassign_held();
  void tell_watermarks(ChangeBatch& batch);
  void commit_group(Deadline now);

  // Constant after construction.
  const KafkaSourceOptions options_;
  const TopicPlan plan_;
  const std::set<std::string> topics_;

  std::unique_ptr<KafkaClient> client_;
  // Asks about topics.  On a connection that reads, the question waits behind an idle fetch.
  std::unique_ptr<KafkaClient> watcher_;
  std::vector<Stream> streams_;  // By StreamId.
  std::vector<std::string> names_;
  std::map<TopicPartition, StreamId> ids_;
  std::map<std::string, std::int32_t> partitions_;  // Known ones, by topic.
  std::map<std::string, Deadline> missing_since_;   // Topics that were there before.
  std::string unlisted_why_;  // Why one of them stays away although it was not deleted.
  std::set<TableId> paused_;
  // Offsets that the broker did not have, and what it said; librdkafka tells of each once.
  std::map<StreamId, std::string> out_of_range_;
  std::vector<KafkaMessage> messages_;
  bool begun_ = false;
  Deadline look_next_{};
  Deadline commit_next_{};
  Deadline assign_next_{};
  std::optional<Deadline> away_since_;
  std::string away_why_;
  // The stream of the last message of this poll: messages come in runs.
  const void* cached_topic_ = nullptr;
  std::int32_t cached_partition_ = -1;
  StreamId cached_stream_ = 0;
};

}  // namespace lockstep
