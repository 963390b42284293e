// The way of a change: publication, slot, topics, connector (P1, P4, V3).
#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <limits>
#include <map>
#include <set>
#include <string>

#include "config/connector_config.h"
#include "config/connector_keys.h"
#include "connectors/connect/rest.h"
#include "connectors/kafka/client.h"
#include "connectors/kafka/proof.h"
#include "connectors/kafka/topics.h"
#include "connectors/postgres/source/probe.h"
#include "connectors/postgres/source/slot.h"
#include "daemon/fingerprint.h"
#include "daemon/kafka_options.h"
#include "daemon/prepare.h"
#include "daemon/validate/validate.h"
#include "pipeline/model/key.h"
#include "pipeline/watch/shape_watch.h"

namespace lockstep {
namespace {

// A name that is made from the migration's is no better than that one.
bool is_known(const Validation& validation, const At<std::string>& name) {
  return !validation.findings.spoiled(name.where) &&
         !validation.findings.spoiled(validation.manifest.migration.where) &&
         !validation.manifest.migration.value.empty();
}

void check_missing_publication(Validation& validation, const At<std::string>& name) {
  const auto owners = read_owners(validation.source.connection, validation.source_names());
  if (!owners) return validation.findings.failed(name.where, owners.error());
  const RoleFacts& role = validation.source.facts.role;
  const bool owns_all = std::ranges::all_of(*owners, &TableOwner::owned_by_us);
  const bool may_create = role.superuser || (role.create_in_database && owns_all);
  const std::string sql = publication_sql(validation.manifest, validation.source_specs());
  const bool begun = validation.claim && validation.claim->start;
  const bool direct = validation.manifest.source.stream.value == StreamKind::Direct;
  // Of a first start run moves its own slot to behind the publication.
  if (validation.slot && validation.slot->exists && (begun || !direct)) {
    validation.findings.error(
        name.where,
        fmt::format("publication {} does not exist, but slot {} does: the stream would lack what "
                    "was written before the publication",
                    name.value, validation.manifest.source.slot.value),
        begun ? "begin the migration anew"
              : fmt::format("{}; then drop the slot: the connector makes it again", sql));
  } else if (may_create) {
    if (direct) return;  // As it should be.
    validation.findings.warn(
        name.where, fmt::format("publication {} does not exist yet: run makes it", name.value),
        sql);
  } else {
    validation.findings.error(
        name.where,
        fmt::format("publication {} does not exist, and role {} may not make it", name.value,
                    role.name),
        fmt::format("{}; as the tables' owner with CREATE on the database, or a superuser of the "
                    "source",
                    sql));
  }
}

// Nothing that we accept may break a statement of the application.
void check_fault(const PublicationFacts& facts, Validation& validation,
                 const At<std::string>& name) {
  const auto fault = publication_fault(facts);
  if (!fault) return;
  const std::string drop = "DROP PUBLICATION " + quote_identifier(name.value);
  const std::string make = publication_sql(validation.manifest, validation.source_specs());
  validation.findings.error(
      name.where, fmt::format("publication {} {}", name.value, *fault),
      facts.all_tables || facts.whole_schemas
          ? fmt::format("{}; {}; as the tables' owner", drop, make)
          : fmt::format("give them a primary key, or ALTER PUBLICATION {} DROP TABLE them; as the "
                        "publication's owner",
                        quote_identifier(name.value)));
}

void check_coverage(const PublicationFacts& facts, Validation& validation,
                    const At<std::string>& name) {
  Findings& findings = validation.findings;
  const std::string publication = quote_identifier(name.value);
  std::vector<TableName> missing = facts.missing;
  std::erase_if(missing, [&](const TableName& table) {
    return validation.unlogged.contains(table);  // Reported as such: it cannot be added.
  });
  // Reported as such, too: once published, they would refuse the application's updates.
  for (const PlannedTable& table : validation.plan.tables)
    if (table.source.key.empty() || !can_be_published(table.source))
      std::erase(missing, table.source.name);
  if (!missing.empty())
    findings.error(name.where,
                   fmt::format("publication {} does not cover {}", name.value, shown_list(missing)),
                   fmt::format("{}; as the publication's owner",
                               fmt::join(extend_publication_sql(validation.manifest,
                                                                validation.source_specs(), missing),
                                         "; ")));
  const auto limited = [&](const std::vector<TableName>& tables, const char* what) {
    if (tables.empty()) return;
    findings.error(
        name.where,
        fmt::format("publication {} has {} for {}", name.value, what, shown_list(tables)),
        fmt::format("ALTER PUBLICATION {} DROP TABLE {}; then ADD TABLE them without it; "
                    "as the publication's owner",
                    publication, quoted_list(tables)));
  };
  limited(facts.filtered, "a row filter");
  limited(facts.narrowed, "a column list");
  if (!facts.inserts || !facts.updates || !facts.deletes || !facts.truncates)
    findings.error(name.where,
                   fmt::format("publication {} leaves out{}{}{}{}", name.value,
                               facts.inserts ? "" : " insert", facts.updates ? "" : " update",
                               facts.deletes ? "" : " delete", facts.truncates ? "" : " truncate"),
                   fmt::format("ALTER PUBLICATION {} SET (publish = 'insert, update, delete, "
                               "truncate'); as the publication's owner",
                               publication));
  const bool partitioned = std::ranges::any_of(
      validation.plan.tables,
      [](const PlannedTable& table) { return table.source.kind == RelationKind::PartitionedRoot; });
  if (partitioned && !facts.via_root)
    findings.error(
        name.where,
        fmt::format("publication {} publishes partitions under their own names", name.value),
        fmt::format("ALTER PUBLICATION {} SET (publish_via_partition_root = true); as "
                    "the publication's owner",
                    publication));
}

// A publication that was altered since the copy began may have told less for a while, whatever it
// says now; so may one that was made again.
void check_altered_publication(Validation& validation, const At<std::string>& name) {
  std::vector<const TableMap*> begun;
  for (const PlannedTable& table : validation.plan.tables)
    if (table.map && validation.has_begun(table.source.name)) begun.push_back(&*table.map);
  if (begun.empty()) return;
  const Manifest& manifest = validation.manifest;
  const ServerFacts& source = validation.source.facts;
  PostgresProbe probe({connection_options(manifest, Side::Source, "validate"),
                       {source.system_identifier, source.timeline},
                       manifest.migration.value,
                       name.value});
  const auto files = probe.files(begun);
  if (!files) return validation.findings.failed(name.where, files.error());
  std::map<TableName, TableFiles> known;
  for (const StoredMapping& stored : validation.claim->mappings)
    if (stored.fingerprint != kForgotten)
      known[stored.source] = parse_files(stored.files).value_or(KnownFiles{}).files;
  std::vector<TableName> healed;
  std::vector<TableName> stopped;
  for (std::size_t i = 0; i < begun.size(); ++i) {
    const TableSpec& table = begun[i]->source;
    for (const TableFile& now : (*files)[i])
      for (const TableFile& then : known[table.name])
        if (now.relation == table.oid && then.relation == table.oid && now.bond != then.bond)
          (begun[i]->heals() ? healed : stopped).push_back(table.name);
  }
  const auto what = [&](const std::vector<TableName>& tables) {
    return fmt::format(
        "publication {} was altered or made again since the copy began: what was written meanwhile "
        "may be in no stream, of {}",
        name.value, shown_list(tables));
  };
  if (!healed.empty())
    validation.findings.warn(name.where, what(healed),
                             "run compares them, and reads again what differs");
  if (!stopped.empty())
    validation.findings.error(
        name.where, what(stopped),
        "let run stop them; then empty them on the target and start again: they are copied anew");
}

}  // namespace

void check_publication(Validation& validation) {
  const At<std::string>& name = validation.manifest.source.publication;
  if (!is_known(validation, name)) return;
  const auto facts =
      read_publication(validation.source.connection, name.value, validation.source_names());
  if (!facts) return validation.findings.failed(name.where, facts.error());
  if (facts->exists) {
    check_fault(*facts, validation, name);
    check_coverage(*facts, validation, name);
    check_altered_publication(validation, name);
  } else {
    check_missing_publication(validation, name);
  }
}

// Of a migration that has begun, while nobody reads on.
void check_position(Validation& validation) {
  if (validation.running || validation.claim->progress.empty()) return;
  Lsn progress = std::numeric_limits<Lsn>::max();
  for (const StoredProgress& stored : validation.claim->progress)
    progress = std::min(progress, stored.row.position.major);
  const Where where = validation.manifest.source.slot.where;
  const auto end = validation.source.connection.ask("SELECT pg_current_wal_insert_lsn()");
  if (!end) return validation.findings.failed(where, end.error());
  const auto insert_lsn = parse_lsn(field(*end, 0, 0));
  if (!insert_lsn) return validation.findings.failed(where, insert_lsn.error());
  if (auto fault = stream_fault(validation.manifest.source.slot.value, *validation.slot,
                                *insert_lsn, progress))
    validation.findings.error(where, *fault, "begin the migration anew");
}

// The slot that `run` reads; it makes one that does not exist.
void check_direct(Validation& validation) {
  constexpr int kBinaryStream = 140000;
  const At<std::string>& name = validation.manifest.source.slot;
  Findings& findings = validation.findings;
  const ServerFacts& source = validation.source.facts;
  if (source.version < kBinaryStream)
    findings.error(validation.manifest.source.stream.where,
                   "stream: direct needs PostgreSQL 14 or later on the source",
                   "upgrade it, or write stream: debezium");
  if (!validation.slot || !is_known(validation, name)) return;
  const SlotFacts& slot = *validation.slot;
  const bool begun = validation.claim && validation.claim->start;
  if (!slot.exists && begun)
    return findings.error(name.where,
                          fmt::format("slot {} is gone: changes since then are lost to "
                                      "the stream",
                                      name.value),
                          "begin the migration anew");
  if (!slot.exists) return;
  if (auto fault = slot_fault(slot, source.database))
    return findings.error(name.where, fmt::format("slot {} {}", name.value, *fault),
                          begun ? "begin the migration anew"
                                : "drop it, and run makes it; or give source.slot another name");
  if (begun) check_position(validation);
  if (slot.active && !validation.running)
    findings.warn(name.where,
                  fmt::format("slot {} is in use by pid {}: run waits until it lets go", name.value,
                              slot.active_pid),
                  "end its reader");
  if (slot.wal_status == "unreserved")
    findings.warn(name.where, fmt::format("slot {} is about to lose its log", name.value),
                  "start lockstep, or raise max_slot_wal_keep_size");
}

void check_slot(Validation& validation) {
  const At<std::string>& name = validation.manifest.source.slot;
  if (!validation.slot || !is_known(validation, name)) return;
  Findings& findings = validation.findings;
  const SlotFacts& slot = *validation.slot;
  const auto error = [&](const std::string& what, const std::string& hint) {
    findings.error(name.where, fmt::format("slot {} {}", name.value, what), hint);
  };
  if (!slot.exists && validation.claim && validation.claim->start)
    return error("is gone: changes since then are lost to the stream", "begin the migration anew");
  if (!slot.exists)
    return findings.warn(
        name.where,
        fmt::format("slot {} does not exist yet: the connector makes it, and run "
                    "waits for that",
                    name.value),
        fmt::format("start the connector: lockstep connector-config {}", validation.manifest.path));
  if (slot.plugin != "pgoutput")
    return error(slot.plugin.empty() ? "is physical" : "has plugin " + slot.plugin,
                 "drop it, and let the connector make one with pgoutput");
  if (slot.database != validation.source.facts.database)
    return error("belongs to database " + slot.database, "give source.slot another name");
  if (slot.temporary) return error("is temporary", "let the connector make a lasting one");
  if (slot.wal_status == "lost") return error("has lost its log", "begin the migration anew");
  if (!slot.confirmed_flush_lsn)
    return findings.warn(name.where,
                         fmt::format("slot {} has no position yet: run waits for it", name.value));
  if (!slot.active)
    findings.warn(name.where,
                  fmt::format("nobody reads slot {}: the source keeps its log until somebody does",
                              name.value),
                  "start the connector");
  if (slot.wal_status == "unreserved")
    findings.warn(name.where, fmt::format("slot {} is about to lose its log", name.value),
                  "make the connector catch up, or raise max_slot_wal_keep_size");
}

namespace {

// The topics of the tables, as the broker has them.
class TopicCheck {
 public:
  TopicCheck(Validation& validation, KafkaClient& client)
      : validation_(validation),
        client_(client),
        prefix_(validation.debezium().topic_prefix.value) {}

  Status check() {
    LOCKSTEP_ASSIGN(counts_, client_.partition_counts(topics(), kBrokerTimeout));
    std::set<std::string> existing;
    for (const auto& [topic, count] : counts_) existing.insert(topic);
    LOCKSTEP_ASSIGN(const auto compacted, client_.compacted(existing, kBrokerTimeout));
    for (const PlannedTable& table : validation_.plan.tables) {
      const std::string topic = topic_name(prefix_, table.source.name);
      const Where where = table.selected.rule->source.where;
      if (compacted.contains(topic))
        validation_.findings.error(
            where, fmt::format("topic {} of {} is compacted", topic, table.source.name.text()),
            "set cleanup.policy=delete: compaction takes events away that later ones rely on");
      LOCKSTEP_TRY(check_right(topic, where));
      if (table.map) check_partitions(*table.map, topic, where);
      LOCKSTEP_TRY(check_leaves(table));
    }
    return {};
  }

 private:
  std::set<std::string> topics() const {
    std::set<std::string> topics;
    for (const PlannedTable& table : validation_.plan.tables) {
      topics.insert(topic_name(prefix_, table.source.name));
      for (const TableName& leaf : table.source.leaves) topics.insert(topic_name(prefix_, leaf));
    }
    return topics;
  }

  // A list of topics leaves out without a word what our user may not see.
  Status check_right(const std::string& topic, Where where) {
    if (counts_.contains(topic)) return {};
    const auto partitions = client_.partitions_of(topic, kBrokerTimeout);
    if (partitions) return {};
    if (partitions.error().exit != ExitCode::Permission) return fail(partitions.error());
    validation_.findings.error(where, partitions.error().message);
    return {};
  }

  // P4: two events of one key must not lie in two partitions.
  void check_partitions(const TableMap& map, const std::string& topic, Where where) {
    const auto found = counts_.find(topic);
    if (found == counts_.end() || found->second <= 1 || wire_equals_canonical(map)) return;
    validation_.findings.error(
        where,
        fmt::format("topic {} has {} partitions, and equal keys of {} need not have equal bytes: "
                    "their events would lose their order",
                    topic, found->second, map.text()),
        "make the topic again with one partition, before the slot is made");
  }

  Status check_leaves(const PlannedTable& table) {
    for (const TableName& leaf : table.source.leaves) {
      const auto found = counts_.find(topic_name(prefix_, leaf));
      if (found == counts_.end()) continue;
      std::vector<TopicPartition> partitions;
      partitions.reserve(static_cast<std::size_t>(found->second));
      for (std::int32_t i = 0; i < found->second; ++i) partitions.push_back({found->first, i});
      LOCKSTEP_ASSIGN(const auto ends, client_.ends(partitions, kBrokerTimeout));
      const bool used = std::ranges::any_of(
          ends, [](const auto& entry) { return entry.second.end > entry.second.low; });
      if (!used) continue;
      validation_.findings.error(
          table.selected.rule->source.where,
          fmt::format("partition {} of {} has events in a topic of its own, {}", leaf.text(),
                      table.source.name.text(), found->first),
          "publish through the root (publish_via_partition_root = true) and delete that topic");
    }
    return {};
  }

  Validation& validation_;
  KafkaClient& client_;
  const std::string& prefix_;
  std::map<std::string, std::int32_t> counts_;
};

}  // namespace

void check_topics(Validation& validation) {
  const DebeziumSection& debezium = validation.debezium();
  Findings& findings = validation.findings;
  for (const std::string& collision :
       colliding_topics(debezium.topic_prefix.value, validation.source_specs()))
    findings.error(debezium.topic_prefix.where, collision,
                   "leave one of them out, or rename it on the source");
  for (const std::string& problem : keying_problems(validation.source_specs()))
    findings.error(debezium.where, problem,
                   "rename it on the source, or give the table a primary key as its identity");
  if (!debezium.kafka_sound) return;
  KafkaOptions options = kafka_options(validation.manifest);
  options.group_id.clear();
  const Where where = debezium.kafka.empty() ? debezium.where : debezium.kafka.front().where;
  const auto client = KafkaClient::open(options);
  if (!client) return findings.failed(where, client.error());
  const Status checked = TopicCheck(validation, **client).check();
  if (checked) return;
  const std::string& problem = (*client)->problem();
  findings.failed(
      where,
      Error(checked.error()).during(problem.empty() ? "the broker" : "the broker: " + problem));
}

void check_connector(Validation& validation) {
  const DebeziumSection& debezium = validation.debezium();
  if (!debezium.connect_url) return;
  Findings& findings = validation.findings;
  const Where where = debezium.connector.where;
  const ConnectOptions options = *connect_options(validation.manifest);
  auto rest = ConnectRest::open(options);
  if (!rest) return findings.failed(debezium.connect_url->where, rest.error());
  const auto running = rest->config();
  if (!running && running.error().code == "404")
    return findings.warn(
        where, fmt::format("Kafka Connect has no connector {} yet", debezium.connector.value),
        fmt::format("create it: lockstep connector-config {}", validation.manifest.path));
  if (!running) return findings.failed(debezium.connect_url->where, running.error());
  const auto differences =
      check_connector_config(validation.manifest, validation.source_specs(), *running);
  for (const std::string& difference : differences)
    findings.error(
        where, fmt::format("connector {}: {}", debezium.connector.value, difference),
        fmt::format("lockstep connector-config {} prints what it needs", validation.manifest.path));
  for (const std::string& reason : settings_that_void_proof(*running)) {
    const std::string setting = reason.substr(0, reason.find(' '));
    const bool told = std::ranges::any_of(
        differences, [&](const std::string& known) { return known.starts_with(setting); });
    if (!told)
      findings.error(where, fmt::format("connector {} cannot prove what it has delivered: {}",
                                        debezium.connector.value, reason));
  }
  const auto status = rest->status();
  if (!status) return findings.failed(debezium.connect_url->where, status.error());
  const auto fault = connector_fault(*status, options);
  // No reason to refuse a start: `run` waits for it, says so, and restarts it where it may.
  if (fault) findings.warn(where, fault->what, fault->remedy);
}

}  // namespace lockstep
