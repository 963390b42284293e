#include "connectors/postgres/wire/facts.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>

#include "connectors/postgres/wire/catalog.h"

namespace lockstep {
namespace {

constexpr int kParameterGrants = 150000;     // GRANT SET ON PARAMETER came with PostgreSQL 15,
constexpr int kSchemaPublications = 150000;  // and so did FOR TABLES IN SCHEMA.

// pg_walfile_name() holds the timeline that is written now; pg_control_checkpoint() may still name
// the one before a promotion.
constexpr const char* kIdentity = R"(
SELECT (SELECT system_identifier FROM pg_control_system()), pg_is_in_recovery(),
       CASE WHEN pg_is_in_recovery() THEN NULL
            ELSE left(pg_walfile_name(pg_current_wal_lsn()), 8) END)";

constexpr const char* kServer = R"(
SELECT current_setting('server_version_num'), current_database(),
       pg_encoding_to_char(d.encoding), pg_database_size(d.oid), current_setting('wal_level'),
       pg_size_bytes(current_setting('wal_segment_size')),
       current_setting('max_replication_slots'), (SELECT count(*) FROM pg_replication_slots),
       current_setting('max_wal_senders'), (SELECT count(*) FROM pg_stat_replication),
       current_setting('max_connections'),
       (SELECT count(*) FROM pg_stat_get_activity(NULL) WHERE datid <> 0),
       current_setting('max_prepared_transactions'),
       (SELECT setting FROM pg_settings WHERE name = 'max_slot_wal_keep_size'),
       current_setting('synchronous_standby_names'), current_setting('synchronous_commit'),
       r.rolname, r.rolsuper, r.rolreplication, r.rolbypassrls, r.rolcreaterole, r.rolcreatedb,
       has_database_privilege(d.oid, 'CREATE'), r.rolconnlimit,
       (SELECT count(*) FROM pg_stat_get_activity(NULL) WHERE usesysid = r.oid),
       d.datconnlimit, (SELECT count(*) FROM pg_stat_get_activity(NULL) WHERE datid = d.oid)
FROM pg_database d CROSS JOIN pg_roles r
WHERE d.datname = current_database() AND r.rolname = current_user)";

// pg_publication_tables knows ALL TABLES, schemas and what cannot be published.  Where a root is
// not published as such (publish_via_partition_root off), it lists the leaves instead.
constexpr const char* kPublication = R"(
SELECT puballtables, pubviaroot, pubinsert, pubupdate, pubdelete, pubtruncate
FROM pg_publication WHERE pubname = $1)";

// to_jsonb: before 15 there are neither row filters nor column lists.
constexpr const char* kPublished = R"(
SELECT w.schema, w.name,
       EXISTS (SELECT FROM pg_publication_tables p WHERE p.pubname = $1
               AND p.schemaname = w.schema AND p.tablename = w.name)
       OR c.relkind = 'p' AND (b.puballtables OR r.oid IS NOT NULL),
       coalesce(j->>'prqual', '') <> '', coalesce(j->>'prattrs', '') <> ''
FROM unnest($2::text[], $3::text[]) WITH ORDINALITY w(schema, name, place)
JOIN pg_publication b ON b.pubname = $1
LEFT JOIN pg_namespace n ON n.nspname = w.schema
LEFT JOIN pg_class c ON c.relnamespace = n.oid AND c.relname = w.name
LEFT JOIN pg_publication_rel r ON r.prpubid = b.oid AND r.prrelid = c.oid
LEFT JOIN LATERAL to_jsonb(r) j ON true
ORDER BY w.place)";

// From 15 on.
constexpr const char* kSchemas = R"(
SELECT EXISTS (SELECT FROM pg_publication_namespace n JOIN pg_publication b ON b.oid = n.pnpubid
               WHERE b.pubname = $1))";

// What PostgreSQL asks of every table that a published relation holds: see kIdentities of
// catalog_sql.h.
constexpr const char* kUnidentified = R"(
WITH RECURSIVE tree(oid) AS (
  SELECT c.oid FROM pg_publication_tables p JOIN pg_namespace n ON n.nspname = p.schemaname
  JOIN pg_class c ON c.relnamespace = n.oid AND c.relname = p.tablename WHERE p.pubname = $1
  UNION
  SELECT i.inhrelid FROM tree t JOIN pg_class c ON c.oid = t.oid AND c.relkind = 'p'
  JOIN pg_inherits i ON i.inhparent = t.oid
)
SELECT n.nspname, c.relname
FROM tree t JOIN pg_class c ON c.oid = t.oid AND c.relkind = 'r' AND c.relreplident <> 'f'
JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE NOT EXISTS (
  SELECT FROM pg_index i WHERE i.indrelid = c.oid AND i.indisunique AND i.indisvalid
  AND i.indimmediate AND i.indpred IS NULL
  AND CASE c.relreplident WHEN 'd' THEN i.indisprimary WHEN 'i' THEN i.indisreplident END)
ORDER BY 1, 2)";

constexpr const char* kSlot = R"(
SELECT coalesce(s.plugin, ''), coalesce(s.database, ''), s.active, coalesce(s.active_pid, 0),
       s.temporary, coalesce(j->>'two_phase', 'false') = 'true', s.restart_lsn,
       s.confirmed_flush_lsn, coalesce(s.wal_status, '')
FROM pg_replication_slots s CROSS JOIN LATERAL to_jsonb(s) j WHERE s.slot_name = $1)";

constexpr const char* kPrivileges = R"(
SELECT n.nspname, c.relname, has_schema_privilege(n.oid, 'USAGE'),
       has_table_privilege(c.oid, 'SELECT') OR NOT EXISTS (
         SELECT FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attnum > 0
         AND NOT a.attisdropped AND NOT has_column_privilege(c.oid, a.attnum, 'SELECT')),
       has_table_privilege(c.oid, 'INSERT'), has_table_privilege(c.oid, 'UPDATE'),
       has_table_privilege(c.oid, 'DELETE'), has_table_privilege(c.oid, 'TRUNCATE')
FROM unnest($1::text[], $2::text[]) WITH ORDINALITY w(schema, name, place)
JOIN pg_namespace n ON n.nspname = w.schema
JOIN pg_class c ON c.relnamespace = n.oid AND c.relname = w.name
WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f')
ORDER BY w.place)";

struct IdentityRow {
  SourceIdentity identity;
  bool in_recovery = false;
};

Result<IdentityRow> read_identity_row(PostgresConnection& connection) {
  // Without parameters: a walsender takes no other statements.
  const auto asked = connection.run(kIdentity);
  if (!asked) return fail(for_server(asked.error()));
  const PgResult& row = *asked;
  IdentityRow found;
  found.identity.system_identifier = text_field(row, 0, 0);
  found.in_recovery = bool_field(row, 0, 1);
  const std::string_view hex = field(row, 0, 2);
  std::from_chars(hex.data(), hex.data() + hex.size(), found.identity.timeline, 16);
  return found;
}

Result<std::optional<Lsn>> optional_lsn(const PgResult& result, int row, int column) {
  if (is_null(result, row, column)) return std::optional<Lsn>();
  LOCKSTEP_ASSIGN(const Lsn lsn, parse_lsn(field(result, row, column)));
  return std::optional<Lsn>(lsn);
}

// Another connect may lead to the primary: by the list of hosts, or by what a name stands for then.
std::unexpected<Error> refuse_standby(PostgresConnection& connection) {
  connection.close();
  return fail(Reaction::Retry,
              fmt::format("the {} is a standby (in recovery): waiting until its `connect` leads to "
                          "the primary",
                          connection.options().side),
              ExitCode::Unreachable);
}

// Superusers may set it everywhere; before 15 nobody else could be allowed to.
Result<bool> may_set_replication_role(PostgresConnection& connection, const ServerFacts& facts) {
  if (facts.role.superuser || facts.version < kParameterGrants) return facts.role.superuser;
  LOCKSTEP_ASSIGN(
      const PgResult row,
      connection.ask("SELECT has_parameter_privilege('session_replication_role', 'SET')"));
  return bool_field(row, 0, 0);
}

}  // namespace

Status same_identity(const SourceIdentity& pinned, const SourceIdentity& found) {
  if (pinned == found) return {};
  if (pinned.system_identifier != found.system_identifier)
    return fail(Reaction::Halt,
                fmt::format("the source is another cluster: its system identifier is {}, this "
                            "migration began with {}; connect to the original server, or start "
                            "a new migration",
                            found.system_identifier, pinned.system_identifier));
  return fail(Reaction::Halt,
              fmt::format("the source is on timeline {}, this migration began on {}: it was "
                          "promoted or restored, and changes may be missing from its log; start "
                          "a new migration",
                          found.timeline, pinned.timeline));
}

Status same_source(PostgresConnection& connection, const SourceIdentity& pinned) {
  LOCKSTEP_ASSIGN(const IdentityRow found, read_identity_row(connection));
  if (found.in_recovery && found.identity.system_identifier == pinned.system_identifier)
    return refuse_standby(connection);
  return same_identity(pinned, found.identity);
}

Status open_source(PostgresConnection& connection, const SourceIdentity& pinned) {
  if (connection.is_open()) return {};
  LOCKSTEP_TRY(connection.open());
  Status same = same_source(connection, pinned);
  if (!same) connection.close();
  return same;
}

Status same_history(PostgresConnection& connection, const SourceIdentity& pinned) {
  LOCKSTEP_ASSIGN(const IdentityRow found, read_identity_row(connection));
  if (found.in_recovery) return refuse_standby(connection);
  if (found.identity == pinned) return {};
  return fail(Error{Reaction::Halt,
                    fmt::format("the target is on timeline {} of system {}, and was on {} of {} "
                                "when this run began: it was promoted or restored, and may lack "
                                "what was committed; the next start goes on from what it has",
                                found.identity.timeline, found.identity.system_identifier,
                                pinned.timeline, pinned.system_identifier),
                    ExitCode::Temporary, "target_history"});
}

Result<SourceIdentity> read_identity(PostgresConnection& connection) {
  LOCKSTEP_ASSIGN(IdentityRow found, read_identity_row(connection));
  if (found.in_recovery) return refuse_standby(connection);
  return std::move(found.identity);
}

Result<ServerFacts> read_server(PostgresConnection& connection) {
  LOCKSTEP_TRY(connection.open());
  LOCKSTEP_ASSIGN(const IdentityRow identity, read_identity_row(connection));
  LOCKSTEP_ASSIGN(const PgResult row, connection.ask(kServer));
  if (PQntuples(row.get()) != 1)
    return fail(Reaction::Halt, "the server does not list the current role or database");
  ServerFacts facts;
  facts.system_identifier = identity.identity.system_identifier;
  facts.timeline = identity.identity.timeline;
  facts.in_recovery = identity.in_recovery;
  facts.version = number_field<int>(row, 0, 0);
  facts.database = text_field(row, 0, 1);
  facts.encoding = text_field(row, 0, 2);
  facts.database_bytes = number_field<std::int64_t>(row, 0, 3);
  facts.wal_level = text_field(row, 0, 4);
  facts.wal_segment_bytes = number_field<std::int64_t>(row, 0, 5);
  facts.replication_slots_max = number_field<int>(row, 0, 6);
  facts.replication_slots_used = number_field<int>(row, 0, 7);
  facts.wal_senders_max = number_field<int>(row, 0, 8);
  facts.wal_senders_used = number_field<int>(row, 0, 9);
  facts.connections_max = number_field<int>(row, 0, 10);
  facts.connections_used = number_field<int>(row, 0, 11);
  facts.prepared_transactions_max = number_field<int>(row, 0, 12);
  facts.slot_wal_keep_mb = number_field<std::int64_t>(row, 0, 13);
  facts.synchronous_standby_names = text_field(row, 0, 14);
  facts.synchronous_commit = text_field(row, 0, 15);
  facts.role = {.name = text_field(row, 0, 16),
                .superuser = bool_field(row, 0, 17),
                .replication = bool_field(row, 0, 18),
                .bypass_rls = bool_field(row, 0, 19),
                .create_role = bool_field(row, 0, 20),
                .create_database = bool_field(row, 0, 21),
                .create_in_database = bool_field(row, 0, 22),
                .connections_max = number_field<int>(row, 0, 23),
                .connections_used = number_field<int>(row, 0, 24)};
  facts.database_connections_max = number_field<int>(row, 0, 25);
  facts.database_connections_used = number_field<int>(row, 0, 26);
  LOCKSTEP_ASSIGN(facts.role.set_replication_role, may_set_replication_role(connection, facts));
  return facts;
}

Result<PublicationFacts> read_publication(PostgresConnection& connection, const std::string& name,
                                          const std::vector<TableName>& tables) {
  LOCKSTEP_TRY(connection.open());
  LOCKSTEP_ASSIGN(const PgResult row, connection.ask(kPublication, {{.value = name}}));
  PublicationFacts facts;
  if (PQntuples(row.get()) == 0) {
    facts.missing = tables;
    return facts;
  }
  facts.exists = true;
  facts.all_tables = bool_field(row, 0, 0);
  facts.via_root = bool_field(row, 0, 1);
  facts.inserts = bool_field(row, 0, 2);
  facts.updates = bool_field(row, 0, 3);
  facts.deletes = bool_field(row, 0, 4);
  facts.truncates = bool_field(row, 0, 5);
  if (PQserverVersion(connection.raw()) >= kSchemaPublications) {
    LOCKSTEP_ASSIGN(const PgResult schemas, connection.ask(kSchemas, {{.value = name}}));
    facts.whole_schemas = bool_field(schemas, 0, 0);
  }
  LOCKSTEP_ASSIGN(const PgResult without, connection.ask(kUnidentified, {{.value = name}}));
  for (int i = 0; i < PQntuples(without.get()); ++i)
    facts.unidentified.push_back({text_field(without, i, 0), text_field(without, i, 1)});
  const NameArrays names(tables);
  LOCKSTEP_ASSIGN(const PgResult published, connection.ask(kPublished, {{.value = name},
                                                                        {.value = names.schemas},
                                                                        {.value = names.tables}}));
  for (int i = 0; i < PQntuples(published.get()); ++i) {
    const TableName table{text_field(published, i, 0), text_field(published, i, 1)};
    if (!bool_field(published, i, 2)) facts.missing.push_back(table);
    if (bool_field(published, i, 3)) facts.filtered.push_back(table);
    if (bool_field(published, i, 4)) facts.narrowed.push_back(table);
  }
  return facts;
}

std::optional<std::string> publication_fault(const PublicationFacts& facts) {
  if (facts.all_tables || facts.whole_schemas)
    return fmt::format(
        "is FOR {}: PostgreSQL would refuse updates and deletes of every table that "
        "the application makes later without a primary key",
        facts.all_tables ? "ALL TABLES" : "TABLES IN SCHEMA");
  if (facts.unidentified.empty()) return std::nullopt;
  constexpr std::size_t kNamedMax = 3;
  std::string names;
  for (std::size_t i = 0; i < std::min(kNamedMax, facts.unidentified.size()); ++i)
    names += (i == 0 ? "" : ", ") + facts.unidentified[i].text();
  if (facts.unidentified.size() > kNamedMax)
    names += fmt::format(" and {} more", facts.unidentified.size() - kNamedMax);
  return fmt::format(
      "publishes tables without replica identity, so that PostgreSQL refuses their "
      "updates and deletes: {}",
      names);
}

Result<SlotFacts> read_slot(PostgresConnection& connection, const std::string& name) {
  LOCKSTEP_TRY(connection.open());
  LOCKSTEP_ASSIGN(const PgResult row, connection.ask(kSlot, {{.value = name}}));
  SlotFacts facts;
  if (PQntuples(row.get()) == 0) return facts;
  facts.exists = true;
  facts.plugin = text_field(row, 0, 0);
  facts.database = text_field(row, 0, 1);
  facts.active = bool_field(row, 0, 2);
  facts.active_pid = number_field<int>(row, 0, 3);
  facts.temporary = bool_field(row, 0, 4);
  facts.two_phase = bool_field(row, 0, 5);
  LOCKSTEP_ASSIGN(facts.restart_lsn, optional_lsn(row, 0, 6));
  LOCKSTEP_ASSIGN(facts.confirmed_flush_lsn, optional_lsn(row, 0, 7));
  facts.wal_status = text_field(row, 0, 8);
  return facts;
}

Result<std::vector<TablePrivileges>> read_privileges(PostgresConnection& connection,
                                                     const std::vector<TableName>& tables) {
  LOCKSTEP_TRY(connection.open());
  const NameArrays names(tables);
  LOCKSTEP_ASSIGN(const PgResult rows,
                  connection.ask(kPrivileges, {{.value = names.schemas}, {.value = names.tables}}));
  std::vector<TablePrivileges> privileges;
  privileges.reserve(static_cast<std::size_t>(PQntuples(rows.get())));
  for (int i = 0; i < PQntuples(rows.get()); ++i)
    privileges.push_back({.name = {text_field(rows, i, 0), text_field(rows, i, 1)},
                          .usage = bool_field(rows, i, 2),
                          .select = bool_field(rows, i, 3),
                          .insert = bool_field(rows, i, 4),
                          .update = bool_field(rows, i, 5),
                          .remove = bool_field(rows, i, 6),
                          .truncate = bool_field(rows, i, 7)});
  return privileges;
}

}  // namespace lockstep
