#include "connectors/postgres/source/probe.h"

#include <fmt/format.h>

#include <algorithm>
#include <unordered_map>
#include <utility>

#include "connectors/postgres/wire/catalog.h"

namespace lockstep {
namespace {

constexpr int kBlockersMax = 10;  // As many as people read.

// backend_xid is shown to everybody; the other session columns only to pg_read_all_stats.
constexpr const char* kBlockers = R"(
SELECT 'pid ' || pid, backend_xid, coalesce(application_name, ''),
       floor(extract(epoch FROM clock_timestamp() - xact_start))::bigint,
       coalesce(wait_event, ''), coalesce(state, '')
FROM pg_stat_activity WHERE backend_xid IS NOT NULL AND pid <> pg_backend_pid()
UNION ALL
SELECT format('prepared transaction %L of database %s', gid, database), transaction, '',
       floor(extract(epoch FROM clock_timestamp() - prepared))::bigint, '', ''
FROM pg_prepared_xacts)";

// Catalog tables only: functions on relations would wait for the locks of a running rewrite.  A
// publication whose options are changed has another xmin afterwards; adding tables leaves it.  The
// entry of a whole schema (PostgreSQL 15) is known by what it depends on.  ATTACH writes the rows
// of all columns anew, so one that is as old as the table's system columns tells of CREATE TABLE ..
// PARTITION OF.
constexpr std::string_view kFiles = R"(
WITH RECURSIVE tree(root, relation, bond, born) AS (
  SELECT oid, oid, 0::int8, true FROM unnest($1::oid[]) oid
  UNION
  SELECT t.root, i.inhrelid, i.xmin::text::int8, t.born AND EXISTS (
    SELECT FROM pg_attribute s
    JOIN pg_attribute a ON a.attrelid = s.attrelid AND a.xmin = s.xmin AND a.cmin = s.cmin
    WHERE s.attrelid = i.inhrelid AND s.attnum = -1 AND s.xmin = i.xmin AND a.attnum > 0)
  FROM tree t JOIN pg_class p ON p.oid = t.relation AND p.relkind = 'p'
  JOIN pg_inherits i ON i.inhparent = t.relation
  WHERE to_jsonb(i)->>'inhdetachpending' IS DISTINCT FROM 'true'  -- From PostgreSQL 14 on.
), versions AS MATERIALIZED ({}
), whole_schemas AS MATERIALIZED (
  SELECT n.refobjid AS namespace, s.objid
  FROM pg_publication p
  JOIN pg_depend s ON s.refclassid = 'pg_publication'::regclass AND s.refobjid = p.oid
    AND s.classid <> 'pg_publication_rel'::regclass
  JOIN pg_depend n ON n.classid = s.classid AND n.objid = s.objid
    AND n.refclassid = 'pg_namespace'::regclass
  WHERE p.pubname = $2
)
SELECT t.root, c.oid, c.relfilenode, n.nspname || '.' || c.relname,
       CASE WHEN t.root = c.oid THEN v.version END,
       CASE WHEN t.root = c.oid THEN coalesce(
         (p.xmin::text::int8 & 2147483647) << 32 | coalesce(r.oid, s.objid, 0)::int8, 0)
       ELSE t.bond END,
       t.born AND c.relkind = 'r' AND c.relpersistence = 'p', c.relkind = 'p', t.root = c.oid,
       p.oid IS NOT NULL, p.pubinsert AND p.pubupdate AND p.pubdelete AND p.pubtruncate,
       p.pubviaroot,
       p.puballtables OR s.objid IS NOT NULL
         OR r.oid IS NOT NULL AND to_jsonb(r)->>'prqual' IS NULL  -- From PostgreSQL 15 on.
         AND to_jsonb(r)->>'prattrs' IS NULL
         OR t.root = c.oid AND c.relispartition AND p.oid IS NOT NULL AND EXISTS (
           WITH RECURSIVE up(oid) AS (
             SELECT inhparent FROM pg_inherits WHERE inhrelid = c.oid
             UNION ALL SELECT i.inhparent FROM up JOIN pg_inherits i ON i.inhrelid = up.oid)
           SELECT FROM up JOIN pg_class a ON a.oid = up.oid
           LEFT JOIN pg_publication_rel ar ON ar.prpubid = p.oid AND ar.prrelid = a.oid
           LEFT JOIN whole_schemas ws ON ws.namespace = a.relnamespace
           WHERE ar.oid IS NOT NULL OR ws.objid IS NOT NULL),
       r.oid IS NOT NULL, quote_ident(n.nspname) || '.' || quote_ident(c.relname)
FROM tree t JOIN pg_class c ON c.oid = t.relation AND (c.relkind <> 'p' OR c.oid = t.root)
JOIN pg_namespace n ON n.oid = c.relnamespace LEFT JOIN versions v ON v.oid = t.root
LEFT JOIN pg_publication p ON p.pubname = $2
LEFT JOIN pg_publication_rel r ON r.prpubid = p.oid AND r.prrelid = t.root
LEFT JOIN whole_schemas s ON s.namespace = c.relnamespace
ORDER BY t.root, c.oid)";

// Why the publication does not tell all changes of the root in this row of kFiles; "": it does.
std::string gap_of(const PgResult& rows, int row, const std::string& publication) {
  enum Column { Partitioned = 7, Root, Exists, Operations, ViaRoot, Covers, Listed, Quoted };
  if (!bool_field(rows, row, Root)) return {};
  const std::string name = quote_identifier(publication);
  const auto gap = [&](std::string_view what, const std::string& next) {
    return fmt::format("publication {} {} {}: its changes are in no stream; run on the source: {}",
                       publication, what, field(rows, row, 3), next);
  };
  if (!bool_field(rows, row, Exists)) return gap("is gone, and with it", "CREATE PUBLICATION ..");
  if (!bool_field(rows, row, Operations))
    return gap("leaves out operations of",
               fmt::format("ALTER PUBLICATION {} SET (publish = 'insert, update, delete, "
                           "truncate')",
                           name));
  const std::string table = text_field(rows, row, Quoted);
  const std::string add = fmt::format("ALTER PUBLICATION {} ADD TABLE {}", name, table);
  if (!bool_field(rows, row, Covers) && bool_field(rows, row, Listed))
    return gap(
        "filters rows or columns of",
        fmt::format("BEGIN; ALTER PUBLICATION {} DROP TABLE {}; {}; COMMIT", name, table, add));
  if (!bool_field(rows, row, Covers)) return gap("lacks", add);
  if (bool_field(rows, row, Partitioned) && !bool_field(rows, row, ViaRoot))
    return gap("does not publish through their root the partitions of",
               fmt::format("ALTER PUBLICATION {} SET (publish_via_partition_root = true)", name));
  return {};
}

struct Blocker {
  Xid xid = 0;
  std::string what;
};

Blocker describe(const PgResult& rows, int row, Xid near) {
  Blocker blocker;
  blocker.xid = widen_xid(number_field<std::uint32_t>(rows, row, 1), near);
  blocker.what = text_field(rows, row, 0);
  if (const std::string name = text_field(rows, row, 2); !name.empty())
    blocker.what += fmt::format(" ({})", name);
  if (!is_null(rows, row, 3)) blocker.what += fmt::format(", open for {} s", field(rows, row, 3));
  if (const std::string state = text_field(rows, row, 5); !state.empty())
    blocker.what += ", " + state;
  if (field(rows, row, 4) == "SyncRep")
    blocker.what += ", committed and waiting for a synchronous standby";
  blocker.what += fmt::format(", xid {}", blocker.xid);
  return blocker;
}

}  // namespace

// A marker must not wait for an unreachable standby: it would hold up the proof it serves.
PostgresProbe::PostgresProbe(Options options)
    : identity_(std::move(options.identity)),
      migration_(std::move(options.migration)),
      publication_(std::move(options.publication)),
      connection_(with_setup(std::move(options.connection),
                             "SET synchronous_commit = local; SET jit = off;"
                             "SET lock_timeout = '1s'")) {}

Result<Snapshot> PostgresProbe::probe() {
  LOCKSTEP_TRY(connection_.open());
  // Before the snapshot: a snapshot of another server must not be looked at.
  LOCKSTEP_TRY(same_source(connection_, identity_));
  LOCKSTEP_ASSIGN(const PgResult row,
                  connection_.ask("SELECT pg_current_snapshot(),"
                                  " pg_current_wal_insert_lsn() <= pg_current_wal_flush_lsn(),"
                                  " (extract(epoch FROM clock_timestamp()) * 1000000)::bigint"));
  // A commit of our own flushes what the snapshot saw, asynchronous commits of others included.
  if (!bool_field(row, 0, 1)) LOCKSTEP_TRY(emit_marker());
  clock_us_ = number_field<std::int64_t>(row, 0, 2);
  return parse_snapshot(field(row, 0, 0));
}

Result<Xid> PostgresProbe::assign_xid() {
  LOCKSTEP_TRY(open_source(connection_, identity_));
  LOCKSTEP_ASSIGN(const PgResult row, connection_.ask("SELECT pg_current_xact_id()"));
  return number_field<Xid>(row, 0, 0);
}

Result<Lsn> PostgresProbe::emit_marker() {
  LOCKSTEP_TRY(open_source(connection_, identity_));
  LOCKSTEP_TRY(connection_.ask("SELECT pg_logical_emit_message(true, 'lockstep', $1)",
                               {{.value = migration_}}));
  return insert_lsn();
}

Result<Lsn> PostgresProbe::insert_lsn() {
  LOCKSTEP_TRY(open_source(connection_, identity_));
  LOCKSTEP_ASSIGN(const PgResult row, connection_.ask("SELECT pg_current_wal_insert_lsn()"));
  return parse_lsn(field(row, 0, 0));
}

Result<std::vector<std::vector<TableFile>>> PostgresProbe::files(
    std::span<const TableMap* const> tables) {
  LOCKSTEP_TRY(open_source(connection_, identity_));
  std::vector<std::uint32_t> oids;
  std::unordered_map<std::uint32_t, std::size_t> places;
  for (const TableMap* table : tables) {
    places.emplace(table->source.oid, oids.size());
    oids.push_back(table->source.oid);
  }
  const std::string roots = oid_array(oids);
  LOCKSTEP_ASSIGN(const PgResult rows,
                  connection_.ask(fmt::format(kFiles, definition_versions_sql()),
                                  {{.value = roots}, {.value = publication_}}));
  std::vector<std::vector<TableFile>> files(tables.size());
  for (int i = 0; i < PQntuples(rows.get()); ++i)
    files[places.at(number_field<std::uint32_t>(rows, i, 0))].push_back(
        {number_field<std::uint32_t>(rows, i, 1), number_field<std::uint32_t>(rows, i, 2),
         number_field<std::uint64_t>(rows, i, 5), text_field(rows, i, 3),
         number_field<std::uint64_t>(rows, i, 4), bool_field(rows, i, 6),
         gap_of(rows, i, publication_)});
  return files;
}

Result<std::vector<TableSpec>> PostgresProbe::definitions(std::span<const TableMap* const> tables) {
  std::vector<TableName> names;
  for (const TableMap* table : tables) names.push_back(table->source.name);
  LOCKSTEP_TRY(open_source(connection_, identity_));
  return read_definitions(connection_, names);
}

Result<std::vector<std::vector<TableFile>>> PostgresProbe::files_under(
    const ExportedSnapshot& snapshot, std::span<const TableMap* const> tables) {
  LOCKSTEP_TRY(open_source(connection_, identity_));
  LOCKSTEP_TRY(connection_.ask("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"));
  LOCKSTEP_TRY(connection_.ask("SET TRANSACTION SNAPSHOT " + snapshot.literal()));
  auto seen = files(tables);
  LOCKSTEP_TRY(connection_.ask("COMMIT"));
  return seen;
}

Result<std::vector<TableName>> PostgresProbe::tables() {
  LOCKSTEP_TRY(open_source(connection_, identity_));
  return list_tables(connection_);
}

// Of what is not in the log nobody would tell when it gets its first.
Result<bool> PostgresProbe::has_rows(std::uint32_t relation) {
  LOCKSTEP_TRY(open_source(connection_, identity_));
  const std::string oid = std::to_string(relation);
  LOCKSTEP_ASSIGN(
      const PgResult row,
      connection_.ask("SELECT coalesce(pg_relation_size($1::oid), 0) > 0 OR EXISTS (SELECT FROM"
                      " pg_class WHERE oid = $1::oid AND (relpersistence = 'u' OR relkind = 'f'))",
                      {{.value = oid}}));
  return bool_field(row, 0, 0);
}

Result<std::vector<BlockingTransaction>> PostgresProbe::blockers(Xid xid) {
  LOCKSTEP_TRY(open_source(connection_, identity_));
  LOCKSTEP_ASSIGN(const PgResult rows, connection_.ask(kBlockers));
  std::vector<Blocker> found;
  for (int i = 0; i < PQntuples(rows.get()); ++i) {
    Blocker blocker = describe(rows, i, xid);
    if (blocker.xid < xid) found.push_back(std::move(blocker));
  }
  std::sort(found.begin(), found.end(),
            [](const Blocker& a, const Blocker& b) { return a.xid < b.xid; });
  if (found.size() > kBlockersMax) found.resize(kBlockersMax);
  std::vector<BlockingTransaction> blockers;
  blockers.reserve(found.size());
  for (Blocker& blocker : found) blockers.push_back({std::move(blocker.what)});
  return blockers;
}

}  // namespace lockstep
