#include "daemon/kafka_options.h"

#include "pipeline/model/key.h"

namespace lockstep {

KafkaOptions kafka_options(const Manifest& manifest) {
  KafkaOptions options;
  for (const Setting& setting : manifest.source.debezium->kafka)
    options.properties.emplace_back(setting.name, setting.value.reveal());
  options.group_id = "lockstep-" + manifest.migration.value;
  return options;
}

std::optional<ConnectOptions> connect_options(const Manifest& manifest) {
  const DebeziumSection& debezium = *manifest.source.debezium;
  if (!debezium.connect_url) return std::nullopt;
  ConnectOptions options;
  options.url = debezium.connect_url->value;
  options.connector = debezium.connector.value;
  options.restart_failed = debezium.restart_failed;
  return options;
}

std::vector<KafkaTable> kafka_tables(const std::vector<const TableMap*>& tables) {
  std::vector<KafkaTable> topics;
  for (const TableMap* table : tables)
    topics.push_back(kafka_table(*table, wire_equals_canonical(*table)));
  return topics;
}

}  // namespace lockstep
