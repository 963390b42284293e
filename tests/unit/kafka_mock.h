// KafkaMock: librdkafka's own broker in this process, for the tests of the Kafka connectors.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

struct rd_kafka_s;
struct rd_kafka_mock_cluster_s;

namespace lockstep {

struct MockHeader {
  std::string name;
  std::string value;
};

// One thread.  Listens on a loopback port of its own; ends with the object.
class KafkaMock {
 public:
  KafkaMock();
  ~KafkaMock();
  KafkaMock(const KafkaMock&) = delete;
  KafkaMock& operator=(const KafkaMock&) = delete;

  std::string bootstrap() const;
  void create_topic(const std::string& topic, std::int32_t partitions);
  // Appends a record and waits until the broker has it.  A value of nothing is a tombstone.
  void produce(const std::string& topic, std::int32_t partition, const std::string& key,
               const std::optional<std::string>& value,
               const std::vector<MockHeader>& headers = {});
  // The group's committed offset, -1001 when it has none.
  std::int64_t committed(const std::string& group, const std::string& topic,
                         std::int32_t partition) const;
  void broker_down();
  void broker_up();
  // A topic that does not exist until fail_topic(topic, 0): this broker makes others at a question.
  void absent_topic(const std::string& topic, std::int32_t partitions);
  // Whoever asks for the topic is answered with this error; a list of all topics leaves it out.
  void fail_topic(const std::string& topic, int code);
  // The next fetch is answered with this error.
  void fail_next_fetch(int code);

 private:
  struct HandleDeleter {
    void operator()(rd_kafka_s* handle) const noexcept;
  };
  struct ClusterDeleter {
    void operator()(rd_kafka_mock_cluster_s* cluster) const noexcept;
  };
  std::unique_ptr<rd_kafka_s, HandleDeleter> host_;  // The mock lives in it.
  std::unique_ptr<rd_kafka_mock_cluster_s, ClusterDeleter> cluster_;
  std::unique_ptr<rd_kafka_s, HandleDeleter> producer_;
};

}  // namespace lockstep
