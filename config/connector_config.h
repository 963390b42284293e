// The Debezium connector that a manifest needs: printed by `lockstep connector-config`, compared
// with the running one by `validate`, and told to the decoder.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "config/connector_settings.h"
#include "config/manifest.h"
#include "connectors/kafka/topics.h"
#include "pipeline/decode/debezium/settings.h"
#include "pipeline/model/table.h"
#include "pipeline/tables/table_map.h"

namespace lockstep {

// All functions here REQUIRE a manifest with `stream: debezium`.

// Tables whose topics have one name, as sentences; lockstep refuses them.
std::vector<std::string> colliding_topics(const std::string& prefix,
                                          std::span<const TableSpec> tables);

// The placeholder of unchanged TOAST values: the manifest's, else `__lockstep_` and 16 hex digits
// of the XXH3 of "migration|slot|publication".  It is the same every time it is printed, without
// being stored, and no user's data hold it by accident.
std::string placeholder_setting(const Manifest& manifest);

// wanted_settings with the manifest's overrides and the choices that depend on the tables.
ConnectorSettings effective_settings(const Manifest& manifest, std::span<const TableSpec> tables);

// The whole configuration as Connect's REST takes it: {"name": ..., "config": {...}}.  Secrets are
// references to Connect's config providers, which the worker must have switched on:
//   {file: PATH} and {credential: NAME}  ${directory:DIR:FILE}  (DirectoryConfigProvider)
//   {env: NAME}, or a literal secret     ${env:NAME}            (EnvVarConfigProvider)
std::string connector_config_json(const Manifest& manifest, std::span<const TableSpec> tables);

// Differences of a running connector that matter, one sentence each, naming the setting.
std::vector<std::string> check_connector_config(const Manifest& manifest,
                                                std::span<const TableSpec> tables,
                                                const ConnectorSettings& running);

// Of these, those by which changes of `tables`, which may be some of the manifest's, are left out
// or carry other keys.
std::vector<std::string> check_connector_tells(const Manifest& manifest,
                                               std::span<const TableSpec> tables,
                                               const ConnectorSettings& running);

// What the decoder and the table plans must know of the connector.
DecodeSettings decode_settings(const Manifest& manifest, std::span<const TableSpec> tables);
StreamTraits stream_traits(const Manifest& manifest);

// CREATE PUBLICATION for exactly these tables: who may run it is not always lockstep (P1).
std::string publication_sql(const Manifest& manifest, std::span<const TableSpec> tables);

// The statements, a transaction, that add those of `tables` that are `missing`.  Meanwhile nobody
// writes to them: a transaction that had begun to, and went on, could be decoded without them.
std::vector<std::string> extend_publication_sql(const Manifest& manifest,
                                                std::span<const TableSpec> tables,
                                                const std::vector<TableName>& missing);

}  // namespace lockstep
