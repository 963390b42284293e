// What of the manifest and the tables' maps the connectors to Kafka need.
#pragma once

#include <optional>
#include <vector>

#include "config/manifest.h"
#include "connectors/connect/rest.h"
#include "connectors/kafka/client.h"
#include "connectors/kafka/topics.h"
#include "pipeline/model/table.h"

namespace lockstep {

// REQUIRES: `stream: debezium`.
KafkaOptions kafka_options(const Manifest& manifest);
// Nothing where the manifest names no REST address.
std::optional<ConnectOptions> connect_options(const Manifest& manifest);
std::vector<KafkaTable> kafka_tables(const std::vector<const TableMap*>& tables);

}  // namespace lockstep
