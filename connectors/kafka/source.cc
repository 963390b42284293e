#include "connectors/kafka/source.h"

#include <fmt/format.h>
#include <librdkafka/rdkafka.h>

#include <algorithm>

#include "connectors/kafka/ends.h"
#include "pipeline/base/number.h"
#include "pipeline/base/utf8.h"

namespace lockstep {
namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;

constexpr milliseconds kLookMax{1000};           // Asking for topics waits at most this long.
constexpr milliseconds kFetchMax{2000};          // Until a new fetch is answered.
constexpr milliseconds kVerifyMax{10000};        // Reading the last records again.
constexpr milliseconds kGoodbye{2000};           // Committing group offsets at the end.
constexpr std::int64_t kClockSlackUs = 1000000;  // Commit times are taken before commit order.

// Splits a stream's name; nothing when it is none.
std::optional<TopicPartition> parse_stream(std::string_view name) {
  const std::size_t slash = name.rfind('/');
  if (slash == std::string_view::npos) return std::nullopt;
  TopicPartition at{std::string(name.substr(0, slash)), -1};
  if (!parse_number(name.substr(slash + 1), at.partition) || at.partition < 0) return std::nullopt;
  return at;
}

std::optional<std::string_view> bytes_or_null(const void* bytes, std::size_t size) {
  if (bytes == nullptr) return std::nullopt;
  return std::string_view(static_cast<const char*>(bytes), size);
}

std::optional<std::string_view> find_header(const void* message, const char* name) {
  rd_kafka_headers_t* headers = nullptr;
  const auto* kafka_message = static_cast<const rd_kafka_message_t*>(message);
  if (rd_kafka_message_headers(kafka_message, &headers) != RD_KAFKA_RESP_ERR_NO_ERROR) {
    return std::nullopt;
  }
  const void* value = nullptr;
  std::size_t size = 0;
  if (rd_kafka_header_get_last(headers, name, &value, &size) != RD_KAFKA_RESP_ERR_NO_ERROR) {
    return std::nullopt;
  }
  return bytes_or_null(value, size);
}

Record record_of(const TopicPartition& at, const rd_kafka_message_t& message) {
  Record record;
  record.topic = at.topic;
  record.partition = at.partition;
  record.offset = message.offset;
  record.key = bytes_or_null(message.key, message.key_len);
  record.value = bytes_or_null(message.payload, message.len);
  record.header = find_header;
  record.message = &message;
  return record;
}

Error leaf_topic() {
  return {
      Reaction::StopTable,
      "a partition of a partitioned table has a topic of its own, which loses the order of rows "
      "that move: set publish_via_partition_root on the publication",
      ExitCode::BadData, "leaf_topic"};
}

Error too_large(std::size_t bytes, std::size_t bytes_max) {
  return {Reaction::StopTable,
          fmt::format("a record of {} bytes is larger than the {} bytes that lockstep takes", bytes,
                      bytes_max),
          ExitCode::BadData, "record_size"};
}

Error many_partitions(const std::string& topic, std::int32_t partitions, const TopicUse& use) {
  return {Reaction::StopTable,
          fmt::format("Kafka topic {} has {} partitions, but equal keys of {} can be written in "
                      "different ways and so lie in different partitions, which loses their order: "
                      "give the topic one partition",
                      topic, partitions, use.text),
          ExitCode::BadData, "partitions"};
}

Error more_partitions(const std::string& topic, std::int32_t before, std::int32_t now) {
  return {
      Reaction::StopTable,
      fmt::format("Kafka topic {} went from {} to {} partitions: changes of one key may now lie "
                  "in two of them, which loses their order: copy the table again",
                  topic, before, now),
      ExitCode::BadData, "partitions"};
}

}  // namespace

KafkaDecode decode_with(DebeziumDecoder& decoder) {
  return {[&decoder](const Record& record) { return decoder.decode(record); },
          [&decoder](StreamId stream, Xid xid) { decoder.set_last_xid(stream, xid); },
          [&decoder](Xid xid) { decoder.set_newest_xid(xid); }};
}

std::map<std::string, StreamStart> stream_starts(std::uint32_t lanes,
                                                 std::span<const ProgressRow> progress) {
  std::map<std::string, StreamStart> starts;
  std::map<std::string, std::uint32_t> known;  // Lanes that have progress of it.
  for (const ProgressRow& row : progress) {
    const auto [found, fresh] =
        starts.try_emplace(row.stream, StreamStart{row.position, row.last_xid});
    ++known[row.stream];
    // The xid of the lane that stands there: the nearest one before it.
    if (!fresh && row.position < found->second.position)
      found->second = {row.position, row.last_xid};
  }
  for (auto& [stream, start] : starts)
    if (known[stream] < lanes) start = {};
  return starts;
}

Result<std::unique_ptr<KafkaSource>> KafkaSource::open(KafkaSourceOptions options) {
  LOCKSTEP_ASSIGN(TopicPlan plan, plan_topics(options.topic_prefix, options.tables));
  LOCKSTEP_ASSIGN(auto client, KafkaClient::open(options.kafka));
  KafkaOptions watching = options.kafka;
  watching.group_id.clear();
  LOCKSTEP_ASSIGN(auto watcher, KafkaClient::open(watching));
  return std::unique_ptr<KafkaSource>(
      new KafkaSource(std::move(options), std::move(plan), std::move(client), std::move(watcher)));
}

KafkaSource::KafkaSource(KafkaSourceOptions options, TopicPlan plan,
                         std::unique_ptr<KafkaClient> client, std::unique_ptr<KafkaClient> watcher)
    : options_(std::move(options)),
      plan_(std::move(plan)),
      topics_(topics_of(plan_)),
      client_(std::move(client)),
      watcher_(std::move(watcher)) {
  options_.decode.set_newest_xid(options_.seed_xid);
}

KafkaSource::~KafkaSource() {
  std::vector<PartitionOffset> offsets;
  for (const Stream& stream : streams_) {
    if (stream.acknowledged) {
      offsets.push_back({stream.at, static_cast<std::int64_t>(stream.acknowledged->major)});
    }
  }
  if (!away_since_) client_->commit_now(offsets, kGoodbye);
}

Polled KafkaSource::poll(milliseconds deadline) {
  Polled polled;
  polled.error = read(polled.batch, steady_clock::now() + deadline);
  tell_watermarks(polled.batch);
  polled.state = state();
  return polled;
}

Status KafkaSource::read(ChangeBatch& batch, Deadline until) {
  LOCKSTEP_TRY(judge_out_of_range());
  LOCKSTEP_TRY(look_if_due(batch));
  LOCKSTEP_TRY(consume(batch, until));
  LOCKSTEP_TRY(judge_out_of_range());
  LOCKSTEP_TRY(unassign_held());
  commit_group(steady_clock::now());
  return {};
}

Status KafkaSource::look_if_due(ChangeBatch& batch) {
  if (steady_clock::now() < look_next_) return {};
  const Status looked = look_at_topics(batch);
  look_next_ = steady_clock::now() + options_.topic_refresh;
  if (looked) {
    away_since_.reset();
    return {};
  }
  if (looked.error().reaction != Reaction::Retry) return looked;
  if (!away_since_) away_since_ = steady_clock::now();
  away_why_ = looked.error().message;
  return {};
}

Status KafkaSource::consume(ChangeBatch& batch, Deadline until) {
  const auto left = std::chrono::duration_cast<milliseconds>(until - steady_clock::now());
  messages_.clear();
  cached_topic_ = nullptr;
  const bool something = !batch.stops.empty();
  client_->consume(messages_, options_.batch_messages_max,
                   something ? milliseconds(0) : std::max(left, milliseconds(0)));
  Status taken;
  for (const KafkaMessage& message : messages_) {
    taken = take(*message, batch);
    if (!taken) break;  // For good: what is not taken is not brought again.
  }
  messages_.clear();  // Gives the fetched bytes back before the caller applies anything.
  return taken;
}

Status KafkaSource::look_at_topics(ChangeBatch& batch) {
  LOCKSTEP_ASSIGN(const auto counts, watcher_->partition_counts(topics_, kLookMax));
  if (!begun_) {
    LOCKSTEP_TRY(begin(counts));
    begun_ = true;
  }
  for (const auto& [topic, use] : plan_) {
    const auto found = counts.find(topic);
    const auto known = partitions_.find(topic);
    const bool gone =
        known != partitions_.end() && (found == counts.end() || found->second < known->second);
    if (gone) {
      LOCKSTEP_TRY(note_missing(topic));
    } else if (found != counts.end()) {
      LOCKSTEP_TRY(note_present(topic));
      LOCKSTEP_TRY(take_in_topic(topic, found->second, batch));
    }
  }
  LOCKSTEP_TRY(assign_troubled_again());
  return assign_new();
}

// The first look: known streams get their ids and are checked against their logs (I16).
Status KafkaSource::begin(const std::map<std::string, std::int32_t>& counts) {
  std::vector<KnownPosition> known;
  std::vector<std::pair<TopicPartition, StreamStart>> found;
  for (const auto& [name, start] : options_.start) {
    const std::optional<TopicPartition> at = parse_stream(name);
    if (!at || !plan_.contains(at->topic)) continue;  // Of a table left out since.
    found.emplace_back(*at, start);
    const auto count = counts.find(at->topic);
    if (count == counts.end() || at->partition >= count->second) continue;  // Waited for later.
    known.push_back({*at, start.position});
  }
  LOCKSTEP_TRY(verify_positions(options_.kafka, known, kVerifyMax));
  for (const auto& [at, start] : found) add_stream(at, plan_.at(at.topic), start);
  return {};
}

StreamId KafkaSource::add_stream(TopicPartition at, const TopicUse& use, StreamStart start) {
  const auto id = static_cast<StreamId>(streams_.size());
  Stream stream;
  stream.at = at;
  stream.table = use.table;
  stream.role = use.role;
  stream.next = start.position;
  options_.decode.set_last_xid(id, start.last_xid == 0 ? options_.seed_xid : start.last_xid);
  streams_.push_back(std::move(stream));
  names_.push_back(stream_name(at.topic, at.partition));
  std::int32_t& partitions = partitions_[at.topic];
  partitions = std::max(partitions, at.partition + 1);
  ids_.emplace(std::move(at), id);
  return id;
}

// Takes in a topic that exists: new ones whole, from offset 0.
Status KafkaSource::take_in_topic(const std::string& topic, std::int32_t partitions,
                                  ChangeBatch& batch) {
  const TopicUse& use = plan_.at(topic);
  const auto known = partitions_.find(topic);
  if (partitions > 1 && !use.many_partitions) {
    stop_table(use.table, many_partitions(topic, partitions, use), batch);
    return {};
  }
  if (known == partitions_.end()) {
    for (std::int32_t i = 0; i < partitions; ++i) add_stream({topic, i}, use, {});
    return {};
  }
  bool grown = known->second < partitions;
  for (std::int32_t i = 0; i < known->second; ++i) grown = grown || !ids_.contains({topic, i});
  // Only a table's own topic has an order to lose; a leaf's is refused at its first record anyway.
  if (grown && use.role == TopicRole::Table) {
    stop_table(use.table, more_partitions(topic, known->second, partitions), batch);
  }
  return {};
}

// Nothing of the topic is taken until it is there again and known to be the same.
void KafkaSource::hold_topic(const std::string& topic) {
  missing_since_.try_emplace(topic, steady_clock::now());
  client_->topic_was_deleted();
}

// A topic that was there is not listed: brokers that start up may forget one for a moment, and
// leave out what our user may not see any more.  Only one that is asked for by its name and does
// not exist was deleted.
Status KafkaSource::note_missing(const std::string& topic) {
  hold_topic(topic);
  LOCKSTEP_TRY(unassign_held());
  if (steady_clock::now() - missing_since_[topic] < options_.topic_missing_max) return {};
  const auto partitions = watcher_->partitions_of(topic, kLookMax);
  unlisted_why_ = partitions ? "" : partitions.error().message;
  if (!partitions || *partitions >= partitions_[topic]) return {};
  return fail(Reaction::Halt,
              fmt::format("Kafka topic {} or some of its partitions were deleted: changes may be "
                          "missing, so nothing more is applied: begin the migration anew",
                          topic));
}

// A topic that had disappeared is back: it must be the same one.
Status KafkaSource::note_present(const std::string& topic) {
  const auto since = missing_since_.find(topic);
  if (since == missing_since_.end()) return {};
  std::vector<KnownPosition> known;
  for (const Stream& stream : streams_) {
    if (stream.at.topic == topic) known.push_back({stream.at, stream.next});
  }
  LOCKSTEP_TRY(verify_positions(options_.kafka, known, kVerifyMax));
  missing_since_.erase(since);
  if (missing_since_.empty()) unlisted_why_.clear();
  return {};
}

// librdkafka tells of an error that stays once, and of the end of a partition once: only a new
// fetch shows whether a partition at rest can be read again.
Status KafkaSource::assign_troubled_again() {
  if (steady_clock::now() < assign_next_) return {};
  assign_next_ = steady_clock::now() + kFetchMax;
  std::vector<TopicPartition> again;
  for (Stream& stream : streams_) {
    if (!stream.assigned || stream.trouble.empty()) continue;
    again.push_back(stream.at);
    stream.assigned = false;
  }
  return client_->unassign(again);
}

Status KafkaSource::assign_new() {
  std::vector<PartitionOffset> fresh;
  for (const Stream& stream : streams_) {
    if (stream.assigned || held(stream)) continue;
    fresh.push_back({stream.at, static_cast<std::int64_t>(stream.next.major)});
  }
  LOCKSTEP_TRY(client_->assign(fresh));
  for (const PartitionOffset& partition : fresh) streams_[ids_.at(partition.at)].assigned = true;
  return {};
}

KafkaSource::Stream* KafkaSource::stream_of(const rd_kafka_message_s& message) {
  if (message.rkt == nullptr) return nullptr;
  if (message.rkt != cached_topic_ || message.partition != cached_partition_) {
    const auto id = ids_.find({rd_kafka_topic_name(message.rkt), message.partition});
    if (id == ids_.end()) return nullptr;
    cached_topic_ = message.rkt;
    cached_partition_ = message.partition;
    cached_stream_ = id->second;
  }
  return &streams_[cached_stream_];
}

Status KafkaSource::take(const rd_kafka_message_s& message, ChangeBatch& batch) {
  Stream* const stream = stream_of(message);
  if (stream == nullptr || held(*stream)) return {};
  if (message.err == RD_KAFKA_RESP_ERR_NO_ERROR) {
    stream->trouble.clear();
    return take_record(*stream, message, batch);
  }
  if (message.err != RD_KAFKA_RESP_ERR__PARTITION_EOF) return take_trouble(*stream, message, batch);
  stream->trouble.clear();
  // At rest: aborted records and transaction markers between the last record and here are passed.
  const auto end = static_cast<std::uint64_t>(message.offset);
  if (end > stream->next.major) {
    stream->next.major = end;
    stream->told = false;
  }
  return {};
}

Status KafkaSource::take_record(Stream& stream, const rd_kafka_message_s& message,
                                ChangeBatch& batch) {
  const auto offset = static_cast<std::uint64_t>(message.offset);
  if (offset < stream.next.major) return {};  // Fetched before a pause and read again after it.
  const std::size_t bytes = message.len + message.key_len;
  Status taken;
  if (stream.role == TopicRole::Leaf) {
    taken = fail(leaf_topic());
  } else if (bytes > options_.kafka.record_bytes_max) {
    taken = fail(too_large(bytes, options_.kafka.record_bytes_max));
  } else {
    Record record = record_of(stream.at, message);
    record.stream = cached_stream_;
    record.next = {offset + 1, record_identity(message)};
    taken = decode(stream, record, batch);
  }
  if (taken) return {};
  const Reaction reaction = taken.error().reaction;
  Error error =
      std::move(taken).error().during(fmt::format("{}, offset {}", place(stream.at), offset));
  if (reaction != Reaction::StopTable && reaction != Reaction::Reject)
    return fail(std::move(error));
  error.reaction = Reaction::StopTable;
  stop_table(stream.table, std::move(error), batch);
  return {};
}

Status KafkaSource::decode(Stream& stream, const Record& record, ChangeBatch& batch) {
  LOCKSTEP_ASSIGN(Decoded decoded, options_.decode.record(record));
  if (decoded.kind == Decoded::Kind::Stop) return fail(std::move(decoded.stop.error));
  if (decoded.kind == Decoded::Kind::Change) {
    LOCKSTEP_TRY(check_order(stream, decoded.change));
    batch.changes.push_back(std::move(decoded.change));
    if (decoded.reread) batch.changes.push_back(*std::move(decoded.reread));
  }
  stream.next = record.next;
  stream.told = false;
  return {};
}

// The log's own order: when the sequence goes back although the commits are newer, the events come
// from another history of the source (restored, or a slot made again).  A replay after a restart of
// the connector goes back in both.
Status KafkaSource::check_order(Stream& stream, const Change& change) {
  if (change.sequence.major == 0) return {};  // Before the connector's first commit: no sequence.
  if (change.sequence < stream.sequence && stream.commit_us != 0 &&
      change.commit_us > stream.commit_us + kClockSlackUs) {
    return fail(
        Reaction::Halt,
        fmt::format("the source's log position went back from {} to {} although the commit "
                    "is newer: the source was restored or its slot made again; nothing more "
                    "is applied: begin the migration anew",
                    lsn_text(stream.sequence.major), lsn_text(change.sequence.major)));
  }
  stream.sequence = std::max(stream.sequence, change.sequence);
  stream.commit_us = std::max(stream.commit_us, change.commit_us);
  return {};
}

Status KafkaSource::take_trouble(Stream& stream, const rd_kafka_message_s& message,
                                 ChangeBatch& batch) {
  switch (partition_trouble(message.err)) {
    case PartitionTrouble::Passing:
      stream.trouble = kafka_error_text(message.err);  // librdkafka goes on by itself.
      return {};
    case PartitionTrouble::Gone:
      hold_topic(stream.at.topic);
      return {};
    case PartitionTrouble::OutOfRange:
      out_of_range_[cached_stream_] = kafka_error_text(message.err);
      return {};
    case PartitionTrouble::Record:
      stop_table(stream.table,
                 {Reaction::StopTable,
                  fmt::format("{}, offset {}: the record cannot be read: {}", place(stream.at),
                              stream.next.major, valid_utf8(rd_kafka_message_errstr(&message))),
                  ExitCode::BadData, kafka_error_name(message.err)},
                 batch);
      return {};
  }
  return {};
}

// Never together with taking messages: while the broker does not answer, they would be lost.
Status KafkaSource::judge_out_of_range() {
  for (const auto& [id, what] : out_of_range_) {
    const Stream& stream = streams_[id];
    const std::vector<TopicPartition> one{stream.at};
    LOCKSTEP_ASSIGN(auto ends, watcher_->ends(one, kLookMax));
    LOCKSTEP_TRY(check_within({stream.at, stream.next}, ends[stream.at]));
    return fail(Reaction::Halt,
                fmt::format("{}: offset {} was out of range ({}); the topic was created again or "
                            "its log cut: begin the migration anew",
                            place(stream.at), stream.next.major, what));
  }
  return {};
}

void KafkaSource::stop_table(TableId table, Error error, ChangeBatch& batch) {
  if (!paused_.insert(table).second) return;
  batch.stops.push_back({table, std::move(error)});
}

bool KafkaSource::held(const Stream& stream) const {
  if (paused_.empty() && missing_since_.empty()) return false;
  return paused_.contains(stream.table) || missing_since_.contains(stream.at.topic);
}

Status KafkaSource::unassign_held() {
  std::vector<TopicPartition> gone;
  for (Stream& stream : streams_) {
    if (!stream.assigned || !held(stream)) continue;
    gone.push_back(stream.at);
    stream.assigned = false;
  }
  return client_->unassign(gone);
}

void KafkaSource::tell_watermarks(ChangeBatch& batch) {
  for (std::size_t id = 0; id < streams_.size(); ++id) {
    Stream& stream = streams_[id];
    if (stream.told) continue;
    batch.watermarks.push_back({static_cast<StreamId>(id), stream.next});
    stream.told = true;
  }
}

}  // namespace lockstep
