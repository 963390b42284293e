#include "daemon/run_parts.h"

#include <fmt/format.h>

#include <algorithm>
#include <limits>
#include <utility>

#include "config/connector_config.h"
#include "connectors/kafka/proof.h"
#include "connectors/kafka/source.h"
#include "connectors/postgres/source/reader.h"
#include "connectors/postgres/source/stream.h"
#include "daemon/kafka_options.h"

namespace lockstep {
namespace {

// Of a connection of the run: both servers have let us in before.
PostgresOptions run_options(const Manifest& manifest, Side side, const std::string& role) {
  PostgresOptions options = connection_options(manifest, side, role);
  options.refused = Refused::Waits;
  return options;
}

KafkaSourceOptions source_options(const Manifest& manifest, const Prepared& prepared) {
  KafkaSourceOptions options;
  options.kafka = kafka_options(manifest);
  options.topic_prefix = manifest.source.debezium->topic_prefix.value;
  options.tables = kafka_tables(prepared.tables);
  options.start = stream_starts(prepared.options.lanes, prepared.options.progress);
  options.seed_xid = prepared.next_xid;
  return options;
}

KafkaProofOptions proof_options(const Manifest& manifest, const Prepared& prepared,
                                PostgresConnection& connection) {
  KafkaProofOptions options;
  options.kafka = kafka_options(manifest);
  options.topic_prefix = manifest.source.debezium->topic_prefix.value;
  options.tables = kafka_tables(prepared.tables);
  for (const ProgressRow& row : prepared.options.progress) options.streams.insert(row.stream);
  options.slot = manifest.source.slot.value;
  options.connect = connect_options(manifest);
  options.confirmed_flush = [&connection, slot = options.slot,
                             &source = prepared.source]() -> Result<std::optional<Lsn>> {
    LOCKSTEP_TRY(open_source(connection, source));
    LOCKSTEP_ASSIGN(const SlotFacts facts, read_slot(connection, slot));
    if (!facts.exists)
      return fail(Reaction::Halt, "slot " + slot + " is gone: its changes are lost to the stream");
    return facts.confirmed_flush_lsn;
  };
  options.end_of_log = [&connection, &source = prepared.source]() -> Result<Lsn> {
    LOCKSTEP_TRY(open_source(connection, source));
    LOCKSTEP_ASSIGN(const PgResult end, connection.ask("SELECT pg_current_wal_insert_lsn()"));
    return parse_lsn(field(end, 0, 0));
  };
  return options;
}

PostgresTargetOptions target_options(const Manifest& manifest, const Prepared& prepared,
                                     const std::string& role, OwnTransactions& own) {
  PostgresTargetOptions options;
  options.session.own = &own;
  options.session.connection =
      with_setup(run_options(manifest, Side::Target, role), prepared.hold_direction);
  options.session.bookkeeping = {manifest.target.schema.value, manifest.migration.value};
  options.session.epoch = prepared.claim.epoch;
  options.session.server = prepared.target_server;
  options.debt_attempts = static_cast<std::uint32_t>(manifest.debt_attempts);
  if (manifest.existing.value == ExistingPolicy::Upsert) options.holders = HolderPolicy::Quarantine;
  return options;
}

Status make_debezium(const Manifest& manifest, const Prepared& prepared, ConnectorGap& gap,
                     RunParts& parts) {
  constexpr int kInfiniteIntervals = 170000;
  DecodeSettings settings = decode_settings(manifest, prepared.source_specs);
  settings.infinite_intervals = prepared.source_version >= kInfiniteIntervals;
  parts.decoder = std::make_unique<DebeziumDecoder>(std::move(settings), prepared.tables);
  KafkaSourceOptions source = source_options(manifest, prepared);
  source.decode = decode_with(*parts.decoder);
  LOCKSTEP_ASSIGN(parts.source, KafkaSource::open(std::move(source)));
  parts.slot_connection =
      std::make_unique<PostgresConnection>(run_options(manifest, Side::Source, "proof"));
  KafkaProofOptions proof = proof_options(manifest, prepared, *parts.slot_connection);
  proof.judge = [&gap](const ConnectorSettings& running) { return gap.judge(running); };
  LOCKSTEP_ASSIGN(parts.proof, KafkaProof::open(std::move(proof)));
  return {};
}

void make_direct(const Manifest& manifest, const Prepared& prepared, RunParts& parts) {
  PostgresStreamOptions options;
  options.replication = {run_options(manifest, Side::Source, "stream"), manifest.source.slot.value,
                         manifest.source.publication.value, prepared.source};
  options.control = run_options(manifest, Side::Source, "slot");
  options.wal_limit = manifest.source.wal_limit;
  options.exported = prepared.exported;
  options.tables = prepared.tables;
  options.catalog_lsn = prepared.catalog_lsn;
  options.renewed = prepared.renewed;
  options.start = {std::numeric_limits<std::uint64_t>::max(), 0};
  for (const ProgressRow& row : prepared.options.progress)
    options.start = std::min(options.start, row.position);
  auto stream = std::make_unique<PostgresStream>(std::move(options));
  parts.proof = std::make_unique<PostgresStreamProof>(*stream);
  parts.keep_alive = std::make_unique<Beside>([&source = *stream] { source.keep_alive(); },
                                              [&source = *stream] { source.stop_keeping_alive(); });
  parts.source = std::move(stream);
}

}  // namespace

Result<RunParts> make_parts(const Manifest& manifest, const Prepared& prepared, ConnectorGap& gap) {
  RunParts parts;
  if (manifest.source.debezium)
    LOCKSTEP_TRY(make_debezium(manifest, prepared, gap, parts));
  else
    make_direct(manifest, prepared, parts);
  const auto probe = [&](const std::string& role) {
    return std::make_unique<PostgresProbe>(
        PostgresProbe::Options{run_options(manifest, Side::Source, role), prepared.source,
                               manifest.migration.value, manifest.source.publication.value});
  };
  parts.probe = probe("probe");
  parts.marker_probe = probe("supervisor");
  BookkeepingOptions ledger = bookkeeping_options(manifest, "ledger");
  ledger.connection.refused = Refused::Waits;
  ledger.epoch = prepared.claim.epoch;
  ledger.server = prepared.target_server;
  parts.ledger = std::make_unique<PostgresLedger>(std::move(ledger), prepared.tables);
  parts.debts = std::make_unique<TableCounts>(prepared.tables.size());
  for (const StoredDebts& stored : prepared.claim.debts)
    for (const TableMap* table : prepared.tables)
      if (table->source.name == stored.source)
        parts.debts->add(table->id, static_cast<std::int64_t>(stored.all()));
  parts.own = std::make_unique<OwnTransactions>();
  for (std::uint32_t lane = 0; lane < prepared.options.lanes; ++lane)
    parts.lane_targets.push_back(std::make_unique<PostgresTarget>(
        target_options(manifest, prepared, fmt::format("lane {}", lane), *parts.own),
        prepared.tables, *parts.debts));
  for (std::uint64_t scan = 0; scan < manifest.backfill.workers; ++scan) {
    const std::string role = fmt::format("scan {}", scan);
    ScanPorts ports;
    ports.reader = std::make_unique<PostgresReader>(PostgresReader::Options{
        run_options(manifest, Side::Source, role), prepared.source, prepared.exported});
    ports.target = std::make_unique<PostgresTarget>(
        target_options(manifest, prepared, role, *parts.own), prepared.tables, *parts.debts);
    parts.scans.push_back(std::move(ports));
  }
  parts.compare_source = std::make_unique<PostgresReader>(PostgresReader::Options{
      run_options(manifest, Side::Source, "compare"), prepared.source, nullptr});
  parts.compare_target = std::make_unique<PostgresTargetReader>(
      run_options(manifest, Side::Target, "compare"), prepared.target_server,
      BookkeepingName{manifest.target.schema.value, manifest.migration.value}, *parts.own);
  return parts;
}

}  // namespace lockstep
