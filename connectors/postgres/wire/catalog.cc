#include "connectors/postgres/wire/catalog.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <unordered_map>
#include <utility>

#include "connectors/postgres/wire/spec.h"

namespace lockstep {
namespace {

// Every query below knows pg_catalog only: the session's search_path is ''.

// The tables asked for, and their estimates.  row_security_active() knows owners, FORCE, BYPASSRLS.
constexpr const char* kRelations = R"(
SELECT c.oid, n.nspname, c.relname, c.relkind, c.relispartition, c.relreplident,
       c.relkind = 'r' AND EXISTS (SELECT FROM pg_inherits i WHERE i.inhparent = c.oid),
       row_security_active(c.oid),
       c.oid IN (SELECT f.confrelid FROM pg_constraint f WHERE f.contype = 'f'
                 AND coalesce(pg_partition_root(f.conrelid), f.conrelid)
                  <> coalesce(pg_partition_root(f.confrelid), f.confrelid))
FROM unnest($1::text[], $2::text[]) WITH ORDINALITY w(schema, name, place)
JOIN pg_namespace n ON n.nspname = w.schema
JOIN pg_class c ON c.relnamespace = n.oid AND c.relname = w.name
WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f')
ORDER BY w.place)";

// The tables of $1 and all below them in partition trees.  pg_partition_tree() would lock them.
constexpr const char* kTree = R"(
WITH RECURSIVE tree(root, oid) AS (
  SELECT oid, oid FROM unnest($1::oid[]) oid
  UNION
  SELECT t.root, i.inhrelid FROM tree t JOIN pg_class p ON p.oid = t.oid AND p.relkind = 'p'
  JOIN pg_inherits i ON i.inhparent = t.oid
) )";

// One row per table that holds rows: the table itself, or each leaf of a root.
constexpr const char* kLeaves = R"(
, leaf AS (
  SELECT t.root, c.oid, n.nspname, c.relname, c.reltuples, pg_stat_get_live_tuples(c.oid) live,
         (c.relpages + coalesce(d.relpages, 0))::float8 * current_setting('block_size')::int bytes
  FROM tree t JOIN pg_class c ON c.oid = t.oid JOIN pg_namespace n ON n.oid = c.relnamespace
  LEFT JOIN pg_class d ON d.oid = c.reltoastrelid
  WHERE c.relkind IN ('r', 'f', 'm'))
SELECT root, nspname, relname, oid <> root,
       greatest(reltuples, live, 0)::float8, reltuples::float8,
       CASE WHEN bytes > 0 THEN bytes ELSE coalesce(pg_table_size(oid), 0) END
FROM leaf ORDER BY root, nspname, relname)";

constexpr const char* kColumns = R"(
SELECT a.attrelid, a.attname, a.attnum, a.atttypid, a.atttypmod,
       format_type(a.atttypid, a.atttypmod), a.attnotnull, a.attgenerated <> '', a.atthasdef,
       a.attstorage <> 'p', a.attidentity,
       CASE WHEN a.attcollation = 0 THEN '' WHEN l.collname = 'default' THEN '' ELSE l.collname END,
       a.attcollation <> 0, coalesce(l.collisdeterministic, true)
FROM pg_attribute a LEFT JOIN pg_collation l ON l.oid = a.attcollation
WHERE a.attrelid = ANY($1::oid[]) AND a.attnum > 0 AND NOT a.attisdropped
ORDER BY a.attrelid, a.attnum)";

// The types of those columns and everything they are made of.  typarray tells a true array from
// int2vector and from types that can merely be subscripted.
constexpr const char* kTypes = R"(
WITH RECURSIVE used(oid) AS (
  SELECT a.atttypid FROM pg_attribute a
  WHERE a.attrelid = ANY($1::oid[]) AND a.attnum > 0 AND NOT a.attisdropped
  UNION
  SELECT x.oid FROM used u JOIN pg_type t ON t.oid = u.oid
  LEFT JOIN pg_range r ON r.rngtypid = t.oid
  CROSS JOIN LATERAL (VALUES (t.typbasetype), (t.typelem), (r.rngsubtype)) x(oid)
  WHERE x.oid <> 0)
SELECT t.oid, format_type(t.oid, NULL), t.typname, t.typtype,
       t.typsend::oid <> 0 AND t.typreceive::oid <> 0, t.typbasetype, t.typtypmod,
       CASE WHEN t.typtype = 'd' THEN format_type(t.typbasetype, t.typtypmod) ELSE '' END,
       coalesce(e.oid, 0), coalesce(r.rngsubtype, 0), coalesce(x.extname, '')
FROM used u JOIN pg_type t ON t.oid = u.oid
LEFT JOIN pg_type e ON e.oid = t.typelem AND e.typarray = t.oid
LEFT JOIN pg_range r ON r.rngtypid = t.oid
LEFT JOIN pg_depend d ON d.classid = 'pg_type'::regclass AND d.objid = t.oid AND d.objsubid = 0
  AND d.refclassid = 'pg_extension'::regclass AND d.deptype = 'e'
LEFT JOIN pg_extension x ON x.oid = d.refobjid)";

// Unique and exclusion indexes of the table, and those of its partitions that no index above
// stands for.  indisready, not indisvalid, is what makes an index enforce.
constexpr const char* kIndexes = R"(
SELECT t.root, c.relname, array_to_string(i.indkey[0:i.indnkeyatts - 1], ' '), i.indisprimary,
       i.indisunique, i.indimmediate, i.indisvalid, i.indisreplident,
       i.indpred IS NULL AND i.indexprs IS NULL AND NOT EXISTS (
         SELECT FROM generate_series(0, i.indnkeyatts - 1) k
         JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = i.indkey[k]
         WHERE a.attcollation <> i.indcollation[k]),
       t.root = t.oid
FROM tree t JOIN pg_index i ON i.indrelid = t.oid JOIN pg_class c ON c.oid = i.indexrelid
WHERE (i.indisunique OR i.indisexclusion) AND (i.indisready OR c.relkind = 'I')
  AND (t.root = t.oid OR NOT EXISTS (SELECT FROM pg_inherits p WHERE p.inhrelid = i.indexrelid))
ORDER BY t.root, c.relname)";

// What else acts on a write: deferrable unique and exclusion constraints, triggers and rules that
// fire under session_replication_role = replica.
constexpr const char* kActors = R"(
SELECT t.root, 'constraint', c.conname FROM tree t JOIN pg_constraint c ON c.conrelid = t.oid
WHERE c.condeferrable AND c.contype IN ('u', 'x') AND (t.root = t.oid OR c.conparentid = 0)
UNION SELECT t.root, 'trigger', g.tgname FROM tree t JOIN pg_trigger g ON g.tgrelid = t.oid
WHERE NOT g.tgisinternal AND g.tgenabled IN ('A', 'R')
UNION SELECT t.root, 'trigger', r.rulename FROM tree t JOIN pg_rewrite r ON r.ev_class = t.oid
WHERE r.rulename <> '_RETURN' AND r.ev_enabled IN ('A', 'R')
ORDER BY 1, 2, 3)";

// to_jsonb: the columns are not the same in all versions.
constexpr const char* kLocale = R"(
SELECT d.datcollate, d.datctype,
       CASE WHEN j->>'datlocprovider' IN ('i', 'b')
            THEN coalesce(j->>'datlocale', j->>'daticulocale') ELSE '' END
FROM pg_database d CROSS JOIN LATERAL to_jsonb(d) j WHERE d.datname = current_database())";

constexpr const char* kUserTables = R"(
SELECT n.nspname, c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p') AND NOT c.relispartition AND c.relpersistence <> 't'
  AND n.nspname <> 'information_schema' AND n.nspname NOT LIKE 'pg\_%'
  AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_class'::regclass
    AND d.objid = c.oid AND d.refclassid = 'pg_extension'::regclass AND d.deptype = 'e')
ORDER BY n.nspname, c.relname)";

// Rows of unknown number in unknown bytes: what a narrow table has per row, tuple header included.
constexpr double kBytesPerRowGuess = 100;

char letter(const PgResult& result, int row, int column) {
  const std::string_view value = field(result, row, column);
  return value.empty() ? '\0' : value.front();
}

// Fills specs table by table; used for one read_tables() call.
class SpecReader {
 public:
  explicit SpecReader(PostgresConnection& connection) : connection_(connection) {}

  Result<std::vector<TableSpec>> read(const std::vector<TableName>& names) {
    LOCKSTEP_TRY(read_relations(names));
    if (specs_.empty()) return std::move(specs_);
    LOCKSTEP_TRY(read_leaves());
    LOCKSTEP_TRY(read_types());
    LOCKSTEP_TRY(read_columns());
    LOCKSTEP_TRY(read_indexes());
    LOCKSTEP_TRY(read_actors());
    return std::move(specs_);
  }

 private:
  Status read_relations(const std::vector<TableName>& names);
  Status read_leaves();
  Status read_types();
  Status read_columns();
  Status read_indexes();
  Status read_actors();

  Result<PgResult> query(const std::string& sql) {
    return connection_.run(sql, {{.value = oids_}});
  }
  // REQUIRES: the column holds one of the OIDs asked for.
  TableSpec& spec_of(const PgResult& result, int row) {
    const auto found = by_oid_.find(number_field<std::uint32_t>(result, row, 0));
    CHECK(found != by_oid_.end());
    return specs_[found->second];
  }

  PostgresConnection& connection_;
  std::vector<TableSpec> specs_;
  std::unordered_map<std::uint32_t, std::size_t> by_oid_;
  std::string oids_;
  TypeCatalog types_;
};

RelationKind relation_kind(char kind) {
  if (kind == 'r') return RelationKind::Table;
  return kind == 'p' ? RelationKind::PartitionedRoot : RelationKind::Other;
}

ReplicaIdentity replica_identity(char identity) {
  switch (identity) {
    case 'f':
      return ReplicaIdentity::Full;
    case 'i':
      return ReplicaIdentity::Index;
    case 'n':
      return ReplicaIdentity::Nothing;
    default:
      return ReplicaIdentity::Default;
  }
}

Identity identity(char kind) {
  if (kind == 'a') return Identity::Always;
  return kind == 'd' ? Identity::ByDefault : Identity::None;
}

Status SpecReader::read_relations(const std::vector<TableName>& names) {
  std::vector<std::string> schemas;
  std::vector<std::string> tables;
  for (const TableName& name : names) {
    schemas.push_back(name.schema);
    tables.push_back(name.table);
  }
  const std::string schema_array = text_array(schemas);
  const std::string table_array = text_array(tables);
  LOCKSTEP_ASSIGN(const PgResult rows,
                  connection_.run(kRelations, {{.value = schema_array}, {.value = table_array}}));
  std::vector<std::uint32_t> oids;
  for (int i = 0; i < PQntuples(rows.get()); ++i) {
    TableSpec spec;
    spec.oid = number_field<std::uint32_t>(rows, i, 0);
    spec.name = {text_field(rows, i, 1), text_field(rows, i, 2)};
    spec.kind = relation_kind(letter(rows, i, 3));
    spec.is_leaf = bool_field(rows, i, 4);
    spec.replica_identity = replica_identity(letter(rows, i, 5));
    spec.only = bool_field(rows, i, 6);
    spec.row_security = bool_field(rows, i, 7);
    spec.referenced = bool_field(rows, i, 8);
    if (!by_oid_.emplace(spec.oid, specs_.size()).second) continue;  // Asked for twice.
    oids.push_back(spec.oid);
    specs_.push_back(std::move(spec));
  }
  oids_ = oid_array(oids);
  return {};
}

Status SpecReader::read_leaves() {
  LOCKSTEP_ASSIGN(const PgResult rows, query(std::string(kTree) + kLeaves));
  for (int i = 0; i < PQntuples(rows.get()); ++i) {
    TableSpec& spec = spec_of(rows, i);
    if (bool_field(rows, i, 3))
      spec.leaves.push_back({text_field(rows, i, 1), text_field(rows, i, 2)});
    const auto estimate = number_field<double>(rows, i, 4);
    const auto counted = number_field<double>(rows, i, 5);  // When pages were counted; -1: never.
    auto bytes = number_field<double>(rows, i, 6);
    // The table has grown since its pages were counted.
    if (counted > 0 && estimate > counted) bytes *= estimate / counted;
    spec.estimated_bytes += bytes;
    spec.estimated_rows += estimate > 0 ? estimate : bytes / kBytesPerRowGuess;
  }
  return {};
}

Status SpecReader::read_types() {
  LOCKSTEP_ASSIGN(const PgResult rows, query(kTypes));
  for (int i = 0; i < PQntuples(rows.get()); ++i) {
    CatalogType type;
    type.oid = number_field<std::uint32_t>(rows, i, 0);
    type.sql = text_field(rows, i, 1);
    type.name = text_field(rows, i, 2);
    type.type = letter(rows, i, 3);
    type.sendable = bool_field(rows, i, 4);
    type.base = number_field<std::uint32_t>(rows, i, 5);
    type.base_typmod = number_field<std::int32_t>(rows, i, 6);
    type.base_sql = text_field(rows, i, 7);
    type.element = number_field<std::uint32_t>(rows, i, 8);
    type.bound = number_field<std::uint32_t>(rows, i, 9);
    type.extension = text_field(rows, i, 10);
    types_.add(std::move(type));
  }
  return {};
}

Status SpecReader::read_columns() {
  LOCKSTEP_ASSIGN(const PgResult locale, connection_.run(kLocale));
  if (PQntuples(locale.get()) != 1)
    return fail(Reaction::Halt, "pg_database has no row for the database connected to");
  const std::string provider = text_field(locale, 0, 2);
  const std::string collate = provider.empty() ? text_field(locale, 0, 0) : provider;
  const std::string ctype = provider.empty() ? text_field(locale, 0, 1) : provider;

  LOCKSTEP_ASSIGN(const PgResult rows, query(kColumns));
  for (int i = 0; i < PQntuples(rows.get()); ++i) {
    Column column;
    column.name = text_field(rows, i, 1);
    column.attnum = number_field<std::int16_t>(rows, i, 2);
    column.type = types_.resolve(number_field<std::uint32_t>(rows, i, 3),
                                 number_field<std::int32_t>(rows, i, 4), text_field(rows, i, 5));
    column.not_null = bool_field(rows, i, 6);
    column.generated = bool_field(rows, i, 7);
    column.has_default = bool_field(rows, i, 8);
    column.toastable = bool_field(rows, i, 9);
    column.identity = identity(letter(rows, i, 10));
    column.collation = text_field(rows, i, 11);
    if (bool_field(rows, i, 12) && column.collation.empty()) column.collation = collate;
    if (column.type.kind == TypeKind::Citext) {
      column.collation = ctype;
      column.folds_ascii = ctype == "C" || ctype == "POSIX";
    }
    column.deterministic_collation = bool_field(rows, i, 13);
    spec_of(rows, i).columns.push_back(std::move(column));
  }
  return {};
}

// "2 1": as array_to_string() prints them.
std::vector<std::int16_t> attnums(std::string_view list) {
  std::vector<std::int16_t> numbers;
  const char* at = list.begin();
  while (at != list.end()) {
    std::int16_t number = 0;
    const auto [end, error] = std::from_chars(at, list.end(), number);
    CHECK(error == std::errc());
    numbers.push_back(number);
    at = end == list.end() ? end : end + 1;
  }
  return numbers;
}

Status SpecReader::read_indexes() {
  LOCKSTEP_ASSIGN(const PgResult rows, query(std::string(kTree) + kIndexes));
  std::unordered_map<std::uint32_t, std::vector<CatalogIndex>> indexes;
  for (int i = 0; i < PQntuples(rows.get()); ++i) {
    CatalogIndex index;
    index.name = text_field(rows, i, 1);
    index.attnums = attnums(field(rows, i, 2));
    index.primary = bool_field(rows, i, 3);
    index.unique = bool_field(rows, i, 4);
    index.immediate = bool_field(rows, i, 5);
    index.valid = bool_field(rows, i, 6);
    index.replica_identity = bool_field(rows, i, 7);
    index.whole = bool_field(rows, i, 8);
    index.own = bool_field(rows, i, 9);
    indexes[number_field<std::uint32_t>(rows, i, 0)].push_back(std::move(index));
  }
  for (TableSpec& spec : specs_) choose_key(spec, indexes[spec.oid]);
  return {};
}

Status SpecReader::read_actors() {
  LOCKSTEP_ASSIGN(const PgResult rows, query(std::string(kTree) + kActors));
  for (int i = 0; i < PQntuples(rows.get()); ++i) {
    TableSpec& spec = spec_of(rows, i);
    auto& names =
        field(rows, i, 1) == "trigger" ? spec.firing_triggers : spec.deferrable_constraints;
    names.push_back(text_field(rows, i, 2));
  }
  return {};
}

}  // namespace

std::string text_array(const std::vector<std::string>& values) {
  std::string array = "{";
  for (const std::string& value : values) {
    if (array.size() > 1) array += ',';
    array += '"';
    for (const char c : value) {
      if (c == '"' || c == '\\') array += '\\';
      array += c;
    }
    array += '"';
  }
  return array += '}';
}

std::string oid_array(const std::vector<std::uint32_t>& oids) {
  return fmt::format("{{{}}}", fmt::join(oids, ","));
}

Result<std::vector<TableName>> list_tables(PostgresConnection& connection) {
  LOCKSTEP_TRY(connection.open());
  LOCKSTEP_ASSIGN(const PgResult rows, connection.ask(kUserTables));
  std::vector<TableName> names;
  names.reserve(static_cast<std::size_t>(PQntuples(rows.get())));
  for (int i = 0; i < PQntuples(rows.get()); ++i)
    names.push_back({text_field(rows, i, 0), text_field(rows, i, 1)});
  return names;
}

Result<std::optional<TableName>> find_root(PostgresConnection& connection, const TableSpec& leaf) {
  if (!leaf.is_leaf) return std::optional<TableName>();
  const std::string oid = std::to_string(leaf.oid);
  LOCKSTEP_ASSIGN(const PgResult rows,
                  connection.ask("SELECT n.nspname, c.relname FROM pg_class c"
                                 " JOIN pg_namespace n ON n.oid = c.relnamespace"
                                 " WHERE c.oid = pg_partition_root($1::oid)",
                                 {{.value = oid}}));
  if (PQntuples(rows.get()) == 0) return std::optional<TableName>();
  return std::optional<TableName>({text_field(rows, 0, 0), text_field(rows, 0, 1)});
}

Result<std::vector<TableSpec>> read_tables(PostgresConnection& connection,
                                           const std::vector<TableName>& names) {
  LOCKSTEP_TRY(connection.open());
  // One snapshot for all queries, so that they agree.  jit would compile them for nothing.
  LOCKSTEP_TRY(connection.run(
      "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; SET LOCAL lock_timeout = '5s';"
      "SET LOCAL jit = off"));
  auto specs = SpecReader(connection).read(names);
  if (!specs.has_value()) {
    // The error that matters is the first; a session that cannot roll back is not to be used again.
    if (connection.is_open() && !connection.run("ROLLBACK").has_value()) connection.close();
    return fail(for_server(std::move(specs).error()).during("while reading the catalogs"));
  }
  LOCKSTEP_TRY(connection.run("COMMIT"));
  return specs;
}

}  // namespace lockstep
