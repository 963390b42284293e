#include "connectors/kafka/client.h"

#include <fmt/format.h>
#include <librdkafka/rdkafka.h>

#include <algorithm>
#include <array>

#include "pipeline/base/utf8.h"

namespace lockstep {
namespace {

struct ConfDeleter {
  void operator()(rd_kafka_conf_t* conf) const noexcept { rd_kafka_conf_destroy(conf); }
};
using Conf = std::unique_ptr<rd_kafka_conf_t, ConfDeleter>;

struct ListDeleter {
  void operator()(rd_kafka_topic_partition_list_t* list) const noexcept {
    rd_kafka_topic_partition_list_destroy(list);
  }
};
using List = std::unique_ptr<rd_kafka_topic_partition_list_t, ListDeleter>;

struct MetadataDeleter {
  void operator()(const struct rd_kafka_metadata* metadata) const noexcept {
    rd_kafka_metadata_destroy(metadata);
  }
};

struct TopicDeleter {
  void operator()(rd_kafka_topic_t* topic) const noexcept { rd_kafka_topic_destroy(topic); }
};

struct AdminDeleter {
  void operator()(rd_kafka_AdminOptions_t* options) const noexcept {
    rd_kafka_AdminOptions_destroy(options);
  }
};

struct ResourceDeleter {
  void operator()(rd_kafka_ConfigResource_t* resource) const noexcept {
    rd_kafka_ConfigResource_destroy(resource);
  }
};

struct EventDeleter {
  void operator()(rd_kafka_event_t* event) const noexcept { rd_kafka_event_destroy(event); }
};

// Whether a described topic's cleanup.policy names compaction.
bool is_compacted(const rd_kafka_ConfigResource_t* topic) {
  std::size_t count = 0;
  const rd_kafka_ConfigEntry_t** entries = rd_kafka_ConfigResource_configs(topic, &count);
  return std::ranges::any_of(std::span(entries, count), [](const rd_kafka_ConfigEntry_t* entry) {
    const char* const value = rd_kafka_ConfigEntry_value(entry);
    return rd_kafka_ConfigEntry_name(entry) == std::string_view("cleanup.policy") &&
           value != nullptr && std::string_view(value).contains("compact");
  });
}

struct ErrorDeleter {
  void operator()(rd_kafka_error_t* error) const noexcept { rd_kafka_error_destroy(error); }
};

// What exactness rests on: not the operator's to choose.
constexpr std::array<std::pair<std::string_view, std::string_view>, 8> kOwned{{
    {"isolation.level", "read_committed"},
    {"enable.auto.commit", "false"},
    {"enable.auto.offset.store", "false"},
    {"auto.offset.reset", "error"},  // earliest or latest would lose or repeat without a word.
    {"enable.partition.eof", "true"},
    {"check.crcs", "true"},
    {"allow.auto.create.topics", "false"},
    {"max.poll.interval.ms", "86400000"},  // Not polling is our back-pressure.
}};

constexpr std::size_t kReceiveRoom = 96ULL << 20U;  // Lets a record that is too large be named.

int milliseconds_left(std::chrono::milliseconds timeout) {
  return static_cast<int>(std::clamp<std::int64_t>(timeout.count(), 0, 3'600'000));
}

Error kafka_error(rd_kafka_resp_err_t code, std::string_view doing) {
  const bool denied = code == RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED ||
                      code == RD_KAFKA_RESP_ERR_CLUSTER_AUTHORIZATION_FAILED ||
                      code == RD_KAFKA_RESP_ERR_GROUP_AUTHORIZATION_FAILED;
  // Even a missing right is retried: the operator grants it while we run.
  return {Reaction::Retry, fmt::format("Kafka: {}: {}", doing, kafka_error_text(code)),
          denied ? ExitCode::Permission : ExitCode::Unreachable, rd_kafka_err2name(code)};
}

Error bad_property(std::string_view name, std::string_view why) {
  return {Reaction::Halt, fmt::format("Kafka property {}: {}", name, why), ExitCode::Config, {}};
}

Status set_property(rd_kafka_conf_t* conf, std::string_view name, std::string_view value) {
  std::array<char, 512> text{};
  const auto result = rd_kafka_conf_set(conf, std::string(name).c_str(), std::string(value).c_str(),
                                        text.data(), text.size());
  if (result == RD_KAFKA_CONF_OK) return {};
  // librdkafka's text repeats the value.
  if (sensitive_property(name)) return fail(bad_property(name, "bad value (not shown)"));
  return fail(bad_property(name, text.data()));
}

// Our defaults first, then what the manifest says, then what nobody may change.
Result<Conf> make_conf(const KafkaOptions& options) {
  Conf conf(rd_kafka_conf_new());
  const std::size_t receive = options.record_bytes_max + kReceiveRoom;
  const std::array<std::pair<std::string_view, std::string>, 11> defaults{{
      {"client.id", options.client_id},
      {"group.id", options.group_id.empty() ? options.client_id : options.group_id},
      {"fetch.message.max.bytes", "1048576"},
      {"fetch.max.bytes", "4194304"},  // Of one answer, per broker; one larger record still comes.
      {"receive.message.max.bytes", std::to_string(std::min<std::size_t>(receive, 1'000'000'000))},
      {"queued.min.messages", "20000"},
      {"reconnect.backoff.max.ms", "1000"},  // The default of 10 s only delays recovery.
      {"fetch.error.backoff.ms", "100"},
      {"fetch.wait.max.ms", "250"},  // How late the end of a partition is told; not records.
      {"socket.keepalive.enable", "true"},
      {"queued.max.messages.kbytes",
       std::to_string(std::max<std::size_t>(options.prefetch_bytes_max / 1024, 1024))},
  }};
  for (const auto& [name, value] : defaults) LOCKSTEP_TRY(set_property(conf.get(), name, value));
  for (const auto& [name, value] : options.properties) {
    const auto same_name = [&key = name](const auto& owned) { return owned.first == key; };
    if (std::ranges::any_of(kOwned, same_name)) {
      return fail(bad_property(name, "is set by lockstep and cannot be chosen; remove it"));
    }
    LOCKSTEP_TRY(set_property(conf.get(), name, value));
  }
  for (const auto& [name, value] : kOwned) LOCKSTEP_TRY(set_property(conf.get(), name, value));
  return conf;
}

List list_of(std::span<const PartitionOffset> partitions) {
  List list(rd_kafka_topic_partition_list_new(static_cast<int>(partitions.size())));
  for (const PartitionOffset& partition : partitions) {
    rd_kafka_topic_partition_list_add(list.get(), partition.at.topic.c_str(),
                                      partition.at.partition)
        ->offset = partition.offset;
  }
  return list;
}

}  // namespace

std::string place(const TopicPartition& at) {
  return fmt::format("Kafka topic {}, partition {}", at.topic, at.partition);
}

bool sensitive_property(std::string_view name) {
  constexpr std::array<std::string_view, 8> kMarks{
      "password", "secret", ".pem", "oauthbearer.config", "jaas", "token", "ssl_key", "kinit.cmd"};
  return std::ranges::any_of(kMarks, [name](std::string_view mark) { return name.contains(mark); });
}

std::string redacted(const KafkaOptions& options) {
  std::string text;
  for (const auto& [name, value] : options.properties) {
    if (!text.empty()) text += ' ';
    text += fmt::format("{}={}", name, sensitive_property(name) ? "***" : value);
  }
  return text;
}

std::string kafka_error_name(int code) {
  return rd_kafka_err2name(static_cast<rd_kafka_resp_err_t>(code));
}
std::string kafka_error_text(int code) {
  std::string text = rd_kafka_err2str(static_cast<rd_kafka_resp_err_t>(code));
  if (code != RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED) return text;
  return text + "; allow lockstep's user to Describe and Read the topic";
}

PartitionTrouble partition_trouble(int code) {
  switch (code) {
    case RD_KAFKA_RESP_ERR__AUTO_OFFSET_RESET:
    case RD_KAFKA_RESP_ERR_OFFSET_OUT_OF_RANGE:
    case RD_KAFKA_RESP_ERR__NO_OFFSET:
      return PartitionTrouble::OutOfRange;
    case RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART:
    case RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC:
    case RD_KAFKA_RESP_ERR__UNKNOWN_PARTITION:
      return PartitionTrouble::Gone;
    case RD_KAFKA_RESP_ERR__BAD_MSG:
    case RD_KAFKA_RESP_ERR__BAD_COMPRESSION:
    case RD_KAFKA_RESP_ERR__NOT_IMPLEMENTED:
    case RD_KAFKA_RESP_ERR__UNDERFLOW:
    case RD_KAFKA_RESP_ERR_INVALID_MSG:
    case RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE:
    case RD_KAFKA_RESP_ERR_UNSUPPORTED_COMPRESSION_TYPE:
      return PartitionTrouble::Record;
    default:
      return PartitionTrouble::Passing;
  }
}

void KafkaMessageDeleter::operator()(rd_kafka_message_s* message) const noexcept {
  rd_kafka_message_destroy(message);
}

void KafkaClient::HandleDeleter::operator()(rd_kafka_s* handle) const noexcept {
  rd_kafka_destroy(handle);
}

void KafkaClient::QueueDeleter::operator()(rd_kafka_queue_s* queue) const noexcept {
  rd_kafka_queue_destroy(queue);
}

void KafkaClient::on_error(rd_kafka_s* handle, int code, const char* reason, void* opaque) {
  static_cast<void>(handle);
  auto* const client = static_cast<KafkaClient*>(opaque);
  if (partition_trouble(code) == PartitionTrouble::Gone) client->topic_was_deleted();
  client->problem_at_ = std::chrono::steady_clock::now();
  // What made the last broker unreachable says more than that it was the last.
  if (code == RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN && !client->problem_.empty()) return;
  client->problem_ = fmt::format("{} ({})", valid_utf8(reason), kafka_error_name(code));
}

Result<std::unique_ptr<KafkaClient>> KafkaClient::open(const KafkaOptions& options) {
  LOCKSTEP_ASSIGN(Conf conf, make_conf(options));
  std::unique_ptr<KafkaClient> client(new KafkaClient());
  client->commits_ = !options.group_id.empty();
  client->batch_bytes_max_ = options.batch_bytes_max;
  rd_kafka_conf_set_opaque(conf.get(), client.get());
  rd_kafka_conf_set_error_cb(conf.get(), &KafkaClient::on_error);
  // Errors arrive through error_cb; librdkafka's log lines would go to stderr behind our back.
  rd_kafka_conf_set_log_cb(conf.get(), nullptr);
  rd_kafka_conf_set_offset_commit_cb(conf.get(), [](rd_kafka_t*, rd_kafka_resp_err_t code,
                                                    rd_kafka_topic_partition_list_t*,
                                                    void* opaque) {
    const bool committed =
        code == RD_KAFKA_RESP_ERR_NO_ERROR || code == RD_KAFKA_RESP_ERR__NO_OFFSET;
    static_cast<KafkaClient*>(opaque)->commit_problem_ =
        committed ? "" : fmt::format("group offsets are not committed: {}", rd_kafka_err2str(code));
  });
  std::array<char, 512> text{};
  client->handle_.reset(rd_kafka_new(RD_KAFKA_CONSUMER, conf.get(), text.data(), text.size()));
  if (!client->handle_) {
    return fail(Reaction::Halt, fmt::format("Kafka settings: {}", text.data()), ExitCode::Config);
  }
  static_cast<void>(conf.release());  // rd_kafka_new owns it once it succeeds.
  client->queue_.reset(rd_kafka_queue_get_consumer(client->handle_.get()));
  return client;
}

KafkaClient::~KafkaClient() {
  queue_.reset();
  if (abandon_) static_cast<void>(handle_.release());
}

std::string KafkaClient::problem() const {
  if (problem_.empty()) return commit_problem_;
  // librdkafka keeps quiet about an unchanged problem for as long.
  constexpr std::chrono::seconds kFresh{30};
  return std::chrono::steady_clock::now() - problem_at_ < kFresh ? problem_ : commit_problem_;
}

void KafkaClient::serve() { rd_kafka_poll(handle_.get(), 0); }

void KafkaClient::succeeded() {
  serve();
  problem_.clear();
}

Result<std::map<std::string, std::int32_t>> KafkaClient::partition_counts(
    const std::set<std::string>& topics, std::chrono::milliseconds timeout) {
  const struct rd_kafka_metadata* raw = nullptr;
  // All topics: asking by name would need a handle per topic, and keep asking for missing ones.
  const auto code = rd_kafka_metadata(handle_.get(), 1, nullptr, &raw, milliseconds_left(timeout));
  if (code != RD_KAFKA_RESP_ERR_NO_ERROR) {
    serve();
    return fail(kafka_error(code, "listing topics"));
  }
  const std::unique_ptr<const struct rd_kafka_metadata, MetadataDeleter> metadata(raw);
  succeeded();
  std::map<std::string, std::int32_t> counts;
  for (const auto& topic :
       std::span(metadata->topics, static_cast<std::size_t>(metadata->topic_cnt))) {
    if (topic.err != RD_KAFKA_RESP_ERR_NO_ERROR || !topics.contains(topic.topic)) continue;
    counts.emplace(topic.topic, topic.partition_cnt);
  }
  return counts;
}

Result<std::int32_t> KafkaClient::partitions_of(const std::string& topic,
                                                std::chrono::milliseconds timeout) {
  const std::unique_ptr<rd_kafka_topic_t, TopicDeleter> named(
      rd_kafka_topic_new(handle_.get(), topic.c_str(), nullptr));
  if (!named) return fail(kafka_error(rd_kafka_last_error(), "naming topic " + topic));
  const std::string doing = "looking for topic " + topic;
  const struct rd_kafka_metadata* raw = nullptr;
  const auto code =
      rd_kafka_metadata(handle_.get(), 0, named.get(), &raw, milliseconds_left(timeout));
  if (code != RD_KAFKA_RESP_ERR_NO_ERROR) {
    serve();
    return fail(kafka_error(code, doing));
  }
  const std::unique_ptr<const struct rd_kafka_metadata, MetadataDeleter> metadata(raw);
  succeeded();
  for (const auto& found :
       std::span(metadata->topics, static_cast<std::size_t>(metadata->topic_cnt))) {
    if (found.topic != topic) continue;
    if (found.err == RD_KAFKA_RESP_ERR_NO_ERROR) return found.partition_cnt;
    if (found.err != RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART)
      return fail(kafka_error(found.err, doing));
  }
  return 0;
}

Result<std::map<TopicPartition, PartitionEnds>> KafkaClient::ends(
    std::span<const TopicPartition> partitions, std::chrono::milliseconds timeout) {
  std::map<TopicPartition, PartitionEnds> ends;
  if (partitions.empty()) return ends;
  const auto deadline = std::chrono::steady_clock::now() + timeout;
  // A "time" of BEGINNING or END asks for the log's bounds: one request per broker, not per
  // partition.
  for (const std::int64_t bound : {RD_KAFKA_OFFSET_BEGINNING, RD_KAFKA_OFFSET_END}) {
    std::vector<PartitionOffset> wanted;
    for (const TopicPartition& partition : partitions) wanted.push_back({partition, bound});
    const List list = list_of(wanted);
    const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(
        deadline - std::chrono::steady_clock::now());
    const auto code =
        rd_kafka_offsets_for_times(handle_.get(), list.get(), milliseconds_left(left));
    if (code != RD_KAFKA_RESP_ERR_NO_ERROR) {
      serve();
      return fail(kafka_error(code, "reading the ends of partitions"));
    }
    for (const auto& entry : std::span(list->elems, static_cast<std::size_t>(list->cnt))) {
      if (entry.err != RD_KAFKA_RESP_ERR_NO_ERROR) {
        return fail(kafka_error(
            entry.err, fmt::format("reading the end of {}/{}", entry.topic, entry.partition)));
      }
      PartitionEnds& found = ends[{entry.topic, entry.partition}];
      (bound == RD_KAFKA_OFFSET_BEGINNING ? found.low : found.end) = entry.offset;
    }
  }
  succeeded();
  return ends;
}

Result<std::set<std::string>> KafkaClient::compacted(const std::set<std::string>& topics,
                                                     std::chrono::milliseconds timeout) {
  std::set<std::string> found;
  if (topics.empty()) return found;
  std::vector<std::unique_ptr<rd_kafka_ConfigResource_t, ResourceDeleter>> resources;
  std::vector<rd_kafka_ConfigResource_t*> raw;
  for (const std::string& topic : topics) {
    resources.emplace_back(rd_kafka_ConfigResource_new(RD_KAFKA_RESOURCE_TOPIC, topic.c_str()));
    raw.push_back(resources.back().get());
  }
  const std::unique_ptr<rd_kafka_AdminOptions_t, AdminDeleter> admin(
      rd_kafka_AdminOptions_new(handle_.get(), RD_KAFKA_ADMIN_OP_DESCRIBECONFIGS));
  std::array<char, 256> text{};
  const int wait = std::max(milliseconds_left(timeout), 1);
  if (const auto code =
          rd_kafka_AdminOptions_set_request_timeout(admin.get(), wait, text.data(), text.size());
      code != RD_KAFKA_RESP_ERR_NO_ERROR) {
    return fail(kafka_error(code, text.data()));
  }
  const std::unique_ptr<rd_kafka_queue_s, QueueDeleter> answer(rd_kafka_queue_new(handle_.get()));
  rd_kafka_DescribeConfigs(handle_.get(), raw.data(), raw.size(), admin.get(), answer.get());
  const std::unique_ptr<rd_kafka_event_t, EventDeleter> event(
      rd_kafka_queue_poll(answer.get(), wait));
  const auto* result = rd_kafka_event_DescribeConfigs_result(event.get());
  if (result == nullptr) {
    return fail(kafka_error(RD_KAFKA_RESP_ERR__TIMED_OUT, "reading the settings of topics"));
  }
  if (const auto code = rd_kafka_event_error(event.get()); code != RD_KAFKA_RESP_ERR_NO_ERROR) {
    return fail(kafka_error(code, "reading the settings of topics"));
  }
  std::size_t count = 0;
  const rd_kafka_ConfigResource_t** described =
      rd_kafka_DescribeConfigs_result_resources(result, &count);
  for (const rd_kafka_ConfigResource_t* topic : std::span(described, count)) {
    const auto code = rd_kafka_ConfigResource_error(topic);
    const std::string name = rd_kafka_ConfigResource_name(topic);
    if (code != RD_KAFKA_RESP_ERR_NO_ERROR) {
      return fail(kafka_error(code, fmt::format("reading the settings of topic {}", name)));
    }
    if (is_compacted(topic)) found.insert(name);
  }
  return found;
}

Status KafkaClient::assign(std::span<const PartitionOffset> partitions) {
  if (partitions.empty()) return {};
  const std::unique_ptr<rd_kafka_error_t, ErrorDeleter> error(
      rd_kafka_incremental_assign(handle_.get(), list_of(partitions).get()));
  if (!error) return {};
  return fail(kafka_error(rd_kafka_error_code(error.get()), "assigning partitions"));
}

Status KafkaClient::unassign(std::span<const TopicPartition> partitions) {
  if (partitions.empty()) return {};
  std::vector<PartitionOffset> list;
  for (const TopicPartition& partition : partitions) list.push_back({partition, 0});
  const std::unique_ptr<rd_kafka_error_t, ErrorDeleter> error(
      rd_kafka_incremental_unassign(handle_.get(), list_of(list).get()));
  if (!error) return {};
  return fail(kafka_error(rd_kafka_error_code(error.get()), "giving partitions up"));
}

void KafkaClient::consume(std::vector<KafkaMessage>& out, std::size_t messages_max,
                          std::chrono::milliseconds timeout) {
  serve();
  std::array<rd_kafka_message_t*, 512> messages{};
  // librdkafka waits until the array is full or the time is over: wait for one, take what is there.
  ssize_t taken =
      rd_kafka_consume_batch_queue(queue_.get(), milliseconds_left(timeout), messages.data(), 1);
  std::size_t bytes = 0;
  while (taken > 0) {
    for (rd_kafka_message_t* message :
         std::span(messages.data(), static_cast<std::size_t>(taken))) {
      bytes += message->len;
      if (message->err == RD_KAFKA_RESP_ERR_NO_ERROR) problem_.clear();
      if (partition_trouble(message->err) == PartitionTrouble::Gone) topic_was_deleted();
      out.emplace_back(message);
    }
    if (out.size() >= messages_max || bytes >= batch_bytes_max_) break;
    const std::size_t room = std::min(messages.size(), messages_max - out.size());
    taken = rd_kafka_consume_batch_queue(queue_.get(), 0, messages.data(), room);
  }
  serve();
}

void KafkaClient::commit(std::span<const PartitionOffset> partitions) {
  if (!commits_ || partitions.empty()) return;
  const auto code = rd_kafka_commit(handle_.get(), list_of(partitions).get(), 1);
  if (code != RD_KAFKA_RESP_ERR_NO_ERROR) {
    commit_problem_ = fmt::format("group offsets are not committed: {}", rd_kafka_err2str(code));
  }
}

void KafkaClient::commit_now(std::span<const PartitionOffset> partitions,
                             std::chrono::milliseconds timeout) {
  if (!commits_ || partitions.empty()) return;
  const std::unique_ptr<rd_kafka_queue_s, QueueDeleter> answer(rd_kafka_queue_new(handle_.get()));
  const auto code = rd_kafka_commit_queue(handle_.get(), list_of(partitions).get(), answer.get(),
                                          nullptr, nullptr);
  if (code != RD_KAFKA_RESP_ERR_NO_ERROR) return;  // Nobody is left to tell, nothing depends on it.
  rd_kafka_event_destroy(rd_kafka_queue_poll(answer.get(), milliseconds_left(timeout)));
}

}  // namespace lockstep
