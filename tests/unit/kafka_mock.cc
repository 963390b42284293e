#include "tests/unit/kafka_mock.h"

#include <librdkafka/rdkafka.h>
#include <librdkafka/rdkafka_mock.h>

#include <array>

#include "pipeline/base/result.h"

namespace lockstep {
namespace {

void set(rd_kafka_conf_t* conf, const char* name, const std::string& value) {
  std::array<char, 256> text{};
  CHECK(rd_kafka_conf_set(conf, name, value.c_str(), text.data(), text.size()) == RD_KAFKA_CONF_OK);
}

rd_kafka_t* open_producer(const std::string& bootstrap) {
  rd_kafka_conf_t* conf = rd_kafka_conf_new();
  std::array<char, 256> text{};
  rd_kafka_conf_set_log_cb(conf, nullptr);
  if (!bootstrap.empty()) {
    set(conf, "bootstrap.servers", bootstrap);
    set(conf, "linger.ms", "0");
    set(conf, "reconnect.backoff.max.ms", "100");
  }
  rd_kafka_t* handle = rd_kafka_new(RD_KAFKA_PRODUCER, conf, text.data(), text.size());
  CHECK(handle != nullptr);
  return handle;
}

}  // namespace

void KafkaMock::HandleDeleter::operator()(rd_kafka_s* handle) const noexcept {
  rd_kafka_destroy(handle);
}
void KafkaMock::ClusterDeleter::operator()(rd_kafka_mock_cluster_s* cluster) const noexcept {
  rd_kafka_mock_cluster_destroy(cluster);
}

KafkaMock::KafkaMock()
    : host_(open_producer("")), cluster_(rd_kafka_mock_cluster_new(host_.get(), 1)) {
  CHECK(cluster_ != nullptr);
  producer_.reset(open_producer(bootstrap()));
}

KafkaMock::~KafkaMock() = default;

std::string KafkaMock::bootstrap() const {
  return rd_kafka_mock_cluster_bootstraps(cluster_.get());
}

void KafkaMock::create_topic(const std::string& topic, std::int32_t partitions) {
  CHECK(rd_kafka_mock_topic_create(cluster_.get(), topic.c_str(), partitions, 1) ==
        RD_KAFKA_RESP_ERR_NO_ERROR);
}

void KafkaMock::produce(const std::string& topic, std::int32_t partition, const std::string& key,
                        const std::optional<std::string>& value,
                        const std::vector<MockHeader>& headers) {
  rd_kafka_headers_t* list = rd_kafka_headers_new(headers.size());
  for (const MockHeader& header : headers) {
    rd_kafka_header_add(list, header.name.c_str(), -1, header.value.data(),
                        static_cast<ssize_t>(header.value.size()));
  }
  // librdkafka takes a pointer to mutable bytes although it copies them.
  void* const bytes = value ? const_cast<char*>(value->data()) : nullptr;
  const std::size_t size = value ? value->size() : 0;
  const auto code = rd_kafka_producev(
      producer_.get(), RD_KAFKA_V_TOPIC(topic.c_str()), RD_KAFKA_V_PARTITION(partition),
      RD_KAFKA_V_KEY(key.data(), key.size()), RD_KAFKA_V_VALUE(bytes, size),
      RD_KAFKA_V_MSGFLAGS(RD_KAFKA_MSG_F_COPY), RD_KAFKA_V_HEADERS(list), RD_KAFKA_V_END);
  CHECK(code == RD_KAFKA_RESP_ERR_NO_ERROR);
  CHECK(rd_kafka_flush(producer_.get(), 10000) == RD_KAFKA_RESP_ERR_NO_ERROR);
}

std::int64_t KafkaMock::committed(const std::string& group, const std::string& topic,
                                  std::int32_t partition) const {
  rd_kafka_conf_t* conf = rd_kafka_conf_new();
  rd_kafka_conf_set_log_cb(conf, nullptr);
  set(conf, "bootstrap.servers", bootstrap());
  set(conf, "group.id", group);
  std::array<char, 256> text{};
  const std::unique_ptr<rd_kafka_s, HandleDeleter> reader(
      rd_kafka_new(RD_KAFKA_CONSUMER, conf, text.data(), text.size()));
  CHECK(reader != nullptr);
  rd_kafka_topic_partition_list_t* list = rd_kafka_topic_partition_list_new(1);
  rd_kafka_topic_partition_list_add(list, topic.c_str(), partition);
  CHECK(rd_kafka_committed(reader.get(), list, 10000) == RD_KAFKA_RESP_ERR_NO_ERROR);
  const std::int64_t offset = list->elems[0].offset;
  rd_kafka_topic_partition_list_destroy(list);
  return offset;
}

void KafkaMock::broker_down() { rd_kafka_mock_broker_set_down(cluster_.get(), 1); }
void KafkaMock::broker_up() { rd_kafka_mock_broker_set_up(cluster_.get(), 1); }

void KafkaMock::absent_topic(const std::string& topic, std::int32_t partitions) {
  create_topic(topic, partitions);
  fail_topic(topic, RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART);
}

void KafkaMock::fail_topic(const std::string& topic, int code) {
  rd_kafka_mock_topic_set_error(cluster_.get(), topic.c_str(),
                                static_cast<rd_kafka_resp_err_t>(code));
}

void KafkaMock::fail_next_fetch(int code) {
  constexpr std::int16_t kFetch = 1;
  rd_kafka_mock_push_request_errors(cluster_.get(), kFetch, 1,
                                    static_cast<rd_kafka_resp_err_t>(code));
}

}  // namespace lockstep
