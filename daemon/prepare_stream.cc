#include "daemon/prepare_stream.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>

#include "config/connector_config.h"
#include "connectors/kafka/ends.h"
#include "connectors/postgres/source/probe.h"
#include "connectors/postgres/source/slot.h"
#include "connectors/postgres/source/stream.h"
#include "daemon/kafka_options.h"
#include "daemon/prepare.h"
#include "daemon/tables.h"
#include "pipeline/model/key.h"

namespace lockstep {
namespace {

bool is_direct(const Manifest& manifest) {
  return manifest.source.stream.value == StreamKind::Direct;
}

PostgresProbe make_probe(const StreamContext& context) {
  return PostgresProbe({connection_options(context.manifest, Side::Source, "prepare"),
                        context.identity, context.manifest.migration.value,
                        context.manifest.source.publication.value});
}

// Who is in the way of something that waits for every transaction below `xid`.
std::string in_the_way(PostgresProbe& probe, Xid xid) {
  const auto running = probe.blockers(xid);
  std::string text;
  if (running)
    for (const BlockingTransaction& one : *running) text += (text.empty() ? "" : "; ") + one.what;
  return text.empty() ? "transactions that are open" : text;
}

Status run_transaction(PostgresConnection& connection, const std::vector<std::string>& statements) {
  for (const std::string& statement : statements) {
    auto done = connection.ask(statement);
    if (done) continue;
    [[maybe_unused]] const auto undone = connection.run("ROLLBACK");
    return fail(std::move(done).error());
  }
  return {};
}

Status make_publication(const StreamContext& context) {
  const std::string& name = context.manifest.source.publication.value;
  if (is_direct(context.manifest)) {
    LOCKSTEP_ASSIGN(const SlotFacts slot,
                    read_slot(context.source, context.manifest.source.slot.value));
    if (slot.exists && !context.first)  // Of a first start adopt_slot() moves it.
      return fail(Reaction::Halt,
                  fmt::format("publication {} does not exist, but slot {} does: what is written "
                              "meanwhile can never be read from that slot; begin the "
                              "migration anew",
                              name, context.manifest.source.slot.value));
  }
  const std::string sql = publication_sql(context.manifest, context.specs);
  // It takes SHARE UPDATE EXCLUSIVE of each table: an ALTER of the application may queue behind it.
  if (auto made = run_transaction(context.source,
                                  {"BEGIN", "SET LOCAL lock_timeout = '1s'", sql, "COMMIT"});
      !made)
    return wait_for(fmt::format("publication {} to be made by the tables' owner: {} ({})", name,
                                sql, made.error().message));
  return {};
}

std::string owner_must_run(const Manifest& manifest, std::span<const TableSpec> specs,
                           const std::vector<TableName>& missing) {
  return fmt::format("publication {} does not cover {}; its owner must run on the source: {}",
                     manifest.source.publication.value, shown_list(missing),
                     fmt::join(extend_publication_sql(manifest, specs, missing), "; "));
}

// Makes the slot; returns where its stream begins.
Result<Lsn> begin_slot(const StreamContext& context) {
  const std::string& name = context.manifest.source.slot.value;
  PostgresProbe probe = make_probe(context);
  // Of its own: a snapshot's xmax may lie below a transaction that is running.
  LOCKSTEP_ASSIGN(const Xid now, probe.assign_xid());
  const auto goes_on = [&] {
    return context.patience(fmt::format("slot {}, which is made once these have ended: {}", name,
                                        in_the_way(probe, now)));
  };
  if (context.manifest.backfill.snapshot.value != SnapshotMode::Exported)
    return make_slot(context.source, name, goes_on);
  auto exported = std::make_shared<ExportedSnapshot>(
      connection_options(context.manifest, Side::Source, "snapshot"));
  LOCKSTEP_TRY(exported->make(name, goes_on));
  context.exported = std::move(exported);
  return context.exported->begin();
}

// A slot that is there already, made by a run that died or by a person, maybe before the
// publication was: pgoutput cannot read what was written until then (P1).  So it is moved to behind
// every transaction that may have begun before; what lies in front is in the rows that are copied.
Result<Lsn> adopt_slot(const StreamContext& context, const SlotFacts& slot) {
  const std::string& name = context.manifest.source.slot.value;
  LOCKSTEP_ASSIGN(const ServerFacts server, read_server(context.source));
  if (auto fault = slot_fault(slot, server.database))
    return refuse(
        fmt::format("slot {} {}: drop it, or give source.slot another name", name, *fault));
  if (slot.active)
    return wait_for(fmt::format("slot {}, which pid {} is using", name, slot.active_pid));
  if (!slot.confirmed_flush_lsn)
    return refuse(fmt::format("slot {} has no position: drop it, and lockstep makes it", name));
  LOCKSTEP_TRY(outlast_transactions(context, fmt::format("slot {}, which is older", name)));
  LOCKSTEP_ASSIGN(const PgResult moved,
                  context.source.ask("SELECT end_lsn FROM pg_replication_slot_advance($1,"
                                     " pg_current_wal_flush_lsn())",
                                     {{.value = name}}));
  return parse_lsn(field(moved, 0, 0));
}

Result<Lsn> open_slot(const StreamContext& context) {
  LOCKSTEP_ASSIGN(const SlotFacts slot,
                  read_slot(context.source, context.manifest.source.slot.value));
  if (!slot.exists) return begin_slot(context);
  if (context.exported != nullptr && slot.confirmed_flush_lsn == context.exported->begin())
    return context.exported->begin();  // Made by this run, before an error.
  context.exported.reset();
  return adopt_slot(context, slot);
}

// Why the connector has not made its slot.  One that was started before its publication was made
// has failed, and tries no more.
std::string what_of_connector(const Manifest& manifest) {
  std::string start = fmt::format(
      "start the connector (its configuration: lockstep connector-config {})", manifest.path);
  const auto options = connect_options(manifest);
  if (!options) return start;
  auto rest = ConnectRest::open(*options);
  if (!rest) return rest.error().message;
  const auto status = rest->status();
  if (!status) return status.error().code == "404" ? start : status.error().message;
  const auto fault = connector_fault(*status, *options);
  if (!fault) return "the connector runs and is about to make it";
  const Status restarted = rest->restart_failed();
  return restarted ? fault->text()
                   : fmt::format("{} ({})", fault->text(), restarted.error().message);
}

}  // namespace

std::unexpected<Error> refuse(std::string message) {
  return fail(Reaction::Halt, std::move(message), ExitCode::Config);
}

std::unexpected<Error> wait_for(std::string message) {
  return fail(Reaction::Retry, std::move(message));
}

std::string stream_kind(const Manifest& manifest) {
  return is_direct(manifest) ? "direct" : "debezium";
}

std::string stream_name(const Manifest& manifest) {
  return is_direct(manifest) ? manifest.source.slot.value
                             : manifest.source.debezium->topic_prefix.value;
}

Result<std::map<TableName, std::string>> cover_new_tables(PostgresConnection& source,
                                                          const Manifest& manifest,
                                                          std::span<const TableSpec> fresh) {
  std::vector<TableName> names;
  for (const TableSpec& spec : fresh) names.push_back(spec.name);
  LOCKSTEP_ASSIGN(const PublicationFacts facts,
                  read_publication(source, manifest.source.publication.value, names));
  std::map<TableName, std::string> uncovered;
  if (!facts.exists) return uncovered;  // need_publication() says what that means.
  const std::string& name = manifest.source.publication.value;
  for (const TableName& table : facts.filtered)
    uncovered[table] = fmt::format("publication {} has a row filter for it", name);
  for (const TableName& table : facts.narrowed)
    uncovered[table] = fmt::format("publication {} has a column list for it", name);
  for (const TableSpec& spec : fresh)
    if (spec.kind == RelationKind::PartitionedRoot && !facts.via_root)
      uncovered[spec.name] =
          fmt::format("publication {} does not publish partitions through their root", name);
  for (const TableName& table : facts.missing) {
    Status added = fail(Reaction::Halt, "a connector reads it");
    if (is_direct(manifest))
      added = run_transaction(source, extend_publication_sql(manifest, fresh, {table}));
    if (!added && added.error().reaction == Reaction::Retry)
      return fail(Error(added.error()).during("while adding " + table.text() + " to " + name));
    if (!added)
      uncovered[table] =
          fmt::format("{} ({}); then start lockstep again",
                      owner_must_run(manifest, fresh, {table}), added.error().message);
  }
  return uncovered;
}

Status need_publication(const StreamContext& context) {
  std::vector<TableName> names;
  for (const TableMap* map : context.maps) names.push_back(map->source.name);
  const std::string& name = context.manifest.source.publication.value;
  LOCKSTEP_ASSIGN(PublicationFacts facts, read_publication(context.source, name, names));
  if (!facts.exists) {
    LOCKSTEP_TRY(make_publication(context));
    LOCKSTEP_ASSIGN(facts, read_publication(context.source, name, names));
  }
  if (const auto fault = publication_fault(facts))
    return refuse(fmt::format("publication {} {}; lockstep validate {} names the way on", name,
                              *fault, context.manifest.path));
  if (!facts.missing.empty())
    return refuse(owner_must_run(context.manifest, context.specs, facts.missing));
  const bool partitioned = std::ranges::any_of(context.maps, [](const TableMap* map) {
    return map->source.kind == RelationKind::PartitionedRoot;
  });
  const bool whole = facts.filtered.empty() && facts.narrowed.empty() && facts.inserts &&
                     facts.updates && facts.deletes && facts.truncates &&
                     (facts.via_root || !partitioned);
  if (!whole && !context.first)
    return fail(Reaction::Halt,
                fmt::format("publication {} does not publish what it did when the migration began: "
                            "what was written since may be in no stream; put it right and begin "
                            "the migration anew",
                            name));
  if (!facts.filtered.empty() || !facts.narrowed.empty())
    return refuse(
        fmt::format("publication {} filters rows or columns of {}", name,
                    shown_list(facts.filtered.empty() ? facts.narrowed : facts.filtered)));
  if (!facts.inserts || !facts.updates || !facts.deletes || !facts.truncates)
    return refuse("publication " + name +
                  " leaves out operations; run on the source: ALTER PUBLICATION " +
                  quote_identifier(name) + " SET (publish = 'insert, update, delete, truncate')");
  if (partitioned && !facts.via_root)
    return refuse("publication " + name +
                  " must publish partitions through their root; run on the source: ALTER "
                  "PUBLICATION " +
                  quote_identifier(name) + " SET (publish_via_partition_root = true)");
  return {};
}

// P1: before the slot is there the stream covers nothing.
Status need_slot(const StreamContext& context) {
  if (is_direct(context.manifest) && context.first) return {};  // first_positions() makes it.
  const std::string& name = context.manifest.source.slot.value;
  LOCKSTEP_ASSIGN(const SlotFacts slot, read_slot(context.source, name));
  if (!slot.exists || !slot.confirmed_flush_lsn) {
    const std::string why = slot.exists ? "is not streaming yet" : "does not exist yet";
    if (context.first)
      return wait_for(
          fmt::format("slot {}: it {}; {}", name, why, what_of_connector(context.manifest)));
    return fail(Reaction::Halt,
                fmt::format("slot {} is gone: changes since then are lost to the stream; begin "
                            "the migration anew",
                            name));
  }
  if (slot.wal_status == "lost")
    return fail(
        Reaction::Halt,
        fmt::format("slot {} has lost its log (wal_status lost); begin the migration anew", name));
  return {};
}

Result<std::vector<std::pair<std::string, Position>>> first_positions(
    const StreamContext& context) {
  std::vector<std::pair<std::string, Position>> positions;
  if (is_direct(context.manifest)) {
    LOCKSTEP_ASSIGN(const Lsn begin, open_slot(context));
    positions.emplace_back(kDirectStream, Position{begin, 0});
    return positions;
  }
  LOCKSTEP_ASSIGN(const TopicPlan plan,
                  plan_topics(context.manifest.source.debezium->topic_prefix.value,
                              kafka_tables(context.maps)));
  LOCKSTEP_ASSIGN(const std::set<std::string> compacted,
                  compacted_topics(kafka_options(context.manifest), plan, kBrokerTimeout));
  if (!compacted.empty())
    return refuse(fmt::format(
        "topic {} is compacted, which takes events away that later ones rely on; set its "
        "cleanup.policy=delete",
        *compacted.begin()));
  LOCKSTEP_ASSIGN(const std::vector<StreamEnd> ends,
                  read_end_offsets(kafka_options(context.manifest), plan, kBrokerTimeout));
  for (const StreamEnd& end : ends) positions.emplace_back(end.stream, end.end);
  return positions;
}

Status outlast_transactions(const StreamContext& context, const std::string& what) {
  PostgresProbe probe = make_probe(context);
  LOCKSTEP_ASSIGN(const Xid now, probe.assign_xid());
  for (;;) {
    LOCKSTEP_ASSIGN(const Snapshot snapshot, probe.probe());
    if (snapshot.xmin > now) return {};
    if (!context.patience(what + ", until these have ended: " + in_the_way(probe, now)))
      return fail(Reaction::Cancel, "asked to stop", ExitCode::Ok);
  }
}

}  // namespace lockstep
