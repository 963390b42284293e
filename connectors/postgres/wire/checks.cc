#include "connectors/postgres/wire/checks.h"

#include <fmt/format.h>

#include "connectors/postgres/target/bookkeeping_schema.h"
#include "connectors/postgres/wire/catalog.h"

namespace lockstep {
namespace {

constexpr const char* kTwinColumns = R"(
SELECT attrelid, string_agg(quote_ident(attname), ' and ' ORDER BY attnum) FROM pg_attribute
 WHERE attrelid = ANY ($1::oid[]) AND attnum > 0 AND NOT attisdropped
 GROUP BY attrelid, lower(attname::text) HAVING count(*) > 1)";

constexpr const char* kEnumsWithoutLabels = R"(
SELECT oid::regtype::text FROM pg_type WHERE typcategory = 'E' AND typtype IN ('e', 'd')
   AND NOT EXISTS (SELECT FROM pg_enum WHERE enumtypid = pg_type.oid) ORDER BY 1)";

// Debezium looks types up by their names without schema.  It carries enums, composites and ranges
// of one name all the same.
constexpr const char* kNamesakes = R"(
SELECT t.oid, min(o.oid::regtype::text) FROM pg_type t
  JOIN pg_type o ON o.typname = t.typname AND o.oid <> t.oid
 WHERE t.oid = ANY ($1::oid[])
   AND (o.oid < 16384
        OR (t.typtype, t.typbasetype, t.typtypmod) IS DISTINCT FROM
           (o.typtype, o.typbasetype, o.typtypmod)
           AND NOT (t.typtype IN ('e', 'c') AND o.typtype IN ('e', 'c')))
 GROUP BY t.oid)";

// Of rules those for UPDATE count, fire they or not.
constexpr const char* kOwners = R"(
SELECT n.nspname, c.relname, pg_get_userbyid(c.relowner), pg_get_userbyid(n.nspowner),
       pg_has_role(c.relowner, 'USAGE'), c.relpersistence = 'u',
       (SELECT string_agg(l.relname, ', ' ORDER BY l.relname)
        FROM pg_partition_tree(c.oid) p JOIN pg_class l ON l.oid = p.relid
        WHERE p.isleaf AND l.oid <> c.oid AND (l.relpersistence = 'u' OR l.relkind = 'f')),
       (SELECT string_agg(format('DROP RULE %I ON %I.%I', r.rulename, n.nspname, c.relname), '; '
                          ORDER BY r.rulename) FROM pg_rewrite r
        WHERE r.ev_class = c.oid
        AND (r.ev_type = '2' OR r.ev_type = '3' AND r.ev_enabled IN ('A', 'R'))),
       c.relrowsecurity
FROM unnest($1::text[], $2::text[]) WITH ORDINALITY w(schema, name, place)
JOIN pg_namespace n ON n.nspname = w.schema
JOIN pg_class c ON c.relnamespace = n.oid AND c.relname = w.name
WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f')
ORDER BY w.place)";

constexpr const char* kTypeSchemas = R"(
WITH RECURSIVE named(schema, name, oid) AS (
  SELECT w.schema, w.name, a.atttypid
  FROM unnest($1::text[], $2::text[]) w(schema, name)
  JOIN pg_namespace n ON n.nspname = w.schema
  JOIN pg_class c ON c.relnamespace = n.oid AND c.relname = w.name
  JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
  UNION
  SELECT d.schema, d.name, t.typbasetype FROM named d
  JOIN pg_type t ON t.oid = d.oid AND t.typtype = 'd')
SELECT DISTINCT d.schema, d.name, s.nspname, pg_get_userbyid(s.nspowner),
       has_schema_privilege(s.oid, 'USAGE')
FROM named d JOIN pg_type t ON t.oid = d.oid
JOIN pg_namespace s ON s.oid = t.typnamespace AND s.nspname <> 'pg_catalog'
ORDER BY 1, 2, 3)";

// data_directory is for superusers and pg_read_all_settings: pg_settings leaves it out for others.
constexpr const char* kDatabase = R"(
SELECT pg_get_userbyid(d.datdba), has_database_privilege(d.oid, 'TEMPORARY'),
       (SELECT setting FROM pg_settings WHERE name = 'data_directory'), pg_backend_pid(),
       has_database_privilege('public', d.oid, 'CONNECT'),
       has_database_privilege('public', d.oid, 'TEMPORARY')
FROM pg_database d WHERE d.datname = current_database())";

constexpr const char* kRole = R"(
SELECT r.rolcanlogin, r.rolsuper, pg_has_role(r.oid, 'MEMBER'),
       has_database_privilege(r.oid, d.oid, 'CREATE')
FROM pg_roles r CROSS JOIN pg_database d
WHERE r.rolname = $1 AND d.datname = current_database())";

// A row for each extension that another one requires.  plpgsql is in every database.
constexpr const char* kExtensions = R"(
WITH RECURSIVE required AS (
  SELECT objid, refobjid FROM pg_depend
  WHERE classid = 'pg_extension'::regclass AND refclassid = 'pg_extension'::regclass),
depths AS (
  SELECT oid, 0 AS depth FROM pg_extension
  UNION SELECT r.objid, d.depth + 1 FROM depths d JOIN required r ON r.refobjid = d.oid)
SELECT e.extname, n.nspname, coalesce(other.extname, '') FROM pg_extension e
JOIN pg_namespace n ON n.oid = e.extnamespace
LEFT JOIN required r ON r.objid = e.oid
LEFT JOIN pg_extension other ON other.oid = r.refobjid AND other.oid >= 16384
WHERE e.oid >= 16384 ORDER BY (SELECT max(depth) FROM depths d WHERE d.oid = e.oid), 1, 3)";

// What CREATE asks a superuser for, or USAGE on what a superuser made.  Neither what an extension
// brings nor what comes with something else, such as the constructors of a range.
constexpr const char* kOfSuperusers = R"(
SELECT o.what FROM (
  SELECT tableoid, oid, 'event trigger ' || quote_ident(evtname) AS what FROM pg_event_trigger
  UNION ALL SELECT p.tableoid, p.oid, 'function ' || p.oid::regprocedure FROM pg_proc p
    JOIN pg_language l ON l.oid = p.prolang
    WHERE p.prokind <> 'a' AND (NOT l.lanpltrusted OR p.proleakproof)
  UNION ALL SELECT p.tableoid, p.oid, 'aggregate ' || p.oid::regprocedure FROM pg_aggregate a
    JOIN pg_proc p ON p.oid = a.aggfnoid WHERE a.aggtranstype = 'internal'::regtype
  UNION ALL SELECT tableoid, oid, 'cast of ' || castsource::regtype || ' to ' || casttarget::regtype
    FROM pg_cast WHERE castmethod = 'b'
  UNION ALL SELECT tableoid, oid, 'operator class ' || quote_ident(opcname) FROM pg_opclass
  UNION ALL SELECT tableoid, oid, 'operator family ' || quote_ident(opfname) FROM pg_opfamily
  UNION ALL SELECT tableoid, oid, 'access method ' || quote_ident(amname) FROM pg_am
  UNION ALL SELECT tableoid, oid, 'text search parser ' || quote_ident(prsname) FROM pg_ts_parser
  UNION ALL SELECT tableoid, oid, 'text search template ' || quote_ident(tmplname)
    FROM pg_ts_template
  UNION ALL SELECT tableoid, oid, 'foreign data wrapper ' || quote_ident(fdwname)
    FROM pg_foreign_data_wrapper
  UNION ALL SELECT tableoid, oid, 'server ' || quote_ident(srvname) FROM pg_foreign_server) o
WHERE o.oid >= 16384 AND NOT EXISTS (SELECT FROM pg_depend d
  WHERE d.classid = o.tableoid AND d.objid = o.oid AND d.deptype IN ('e', 'i')) ORDER BY 1)";

constexpr const char* kRolesOfSchema = R"(
SELECT r.rolname FROM pg_policy p CROSS JOIN unnest(p.polroles) AS of_policy (oid)
JOIN pg_roles r ON r.oid = of_policy.oid
UNION SELECT r.rolname FROM pg_user_mappings m JOIN pg_roles r ON r.oid = m.umuser ORDER BY 1)";

constexpr const char* kTrusted = R"(
SELECT DISTINCT v.name FROM pg_available_extension_versions v
JOIN pg_available_extensions a ON a.name = v.name AND a.default_version = v.version
WHERE v.name = ANY($1::text[]) AND v.trusted ORDER BY 1)";

constexpr const char* kSchema = R"(
SELECT pg_get_userbyid(n.nspowner), has_schema_privilege(n.oid, 'USAGE'),
       has_schema_privilege(n.oid, 'CREATE')
FROM pg_namespace n WHERE n.nspname = $1)";

constexpr const char* kBookkeeping = R"(
SELECT c.relname, has_table_privilege(c.oid, 'SELECT') AND has_table_privilege(c.oid, 'INSERT')
       AND has_table_privilege(c.oid, 'UPDATE') AND has_table_privilege(c.oid, 'DELETE')
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname = $1 AND c.relname = ANY($2::text[]) ORDER BY 1)";

std::vector<std::string> first_fields(const PgResult& rows) {
  std::vector<std::string> fields;
  for (int i = 0; i < PQntuples(rows.get()); ++i) fields.push_back(text_field(rows, i, 0));
  return fields;
}

}  // namespace

Result<std::vector<TableOwner>> read_owners(PostgresConnection& connection,
                                            const std::vector<TableName>& tables) {
  LOCKSTEP_TRY(connection.open());
  const NameArrays arrays(tables);
  LOCKSTEP_ASSIGN(const PgResult rows,
                  connection.ask(kOwners, {{.value = arrays.schemas}, {.value = arrays.tables}}));
  std::vector<TableOwner> owners;
  owners.reserve(static_cast<std::size_t>(PQntuples(rows.get())));
  for (int i = 0; i < PQntuples(rows.get()); ++i)
    owners.push_back({{text_field(rows, i, 0), text_field(rows, i, 1)},
                      text_field(rows, i, 2),
                      text_field(rows, i, 3),
                      bool_field(rows, i, 4),
                      bool_field(rows, i, 5),
                      bool_field(rows, i, 8),
                      text_field(rows, i, 6),
                      text_field(rows, i, 7)});
  return owners;
}

Result<std::vector<TypeSchema>> read_type_schemas(PostgresConnection& connection,
                                                  const std::vector<TableName>& tables) {
  LOCKSTEP_TRY(connection.open());
  const NameArrays arrays(tables);
  LOCKSTEP_ASSIGN(const PgResult rows, connection.ask(kTypeSchemas, {{.value = arrays.schemas},
                                                                     {.value = arrays.tables}}));
  std::vector<TypeSchema> schemas;
  for (int i = 0; i < PQntuples(rows.get()); ++i)
    schemas.push_back({{text_field(rows, i, 0), text_field(rows, i, 1)},
                       text_field(rows, i, 2),
                       text_field(rows, i, 3),
                       bool_field(rows, i, 4)});
  return schemas;
}

Result<DatabaseFacts> read_database(PostgresConnection& connection) {
  LOCKSTEP_TRY(connection.open());
  LOCKSTEP_ASSIGN(const PgResult row, connection.ask(kDatabase));
  DatabaseFacts facts;
  facts.owner = text_field(row, 0, 0);
  facts.create_temporary = bool_field(row, 0, 1);
  if (!is_null(row, 0, 2)) facts.data_directory = text_field(row, 0, 2);
  // A pooling proxy answers the handshake itself, with a process id of its own making.
  facts.behind_proxy = number_field<int>(row, 0, 3) != PQbackendPID(connection.raw());
  facts.everybody_connects = bool_field(row, 0, 4);
  facts.everybody_creates_temporary = bool_field(row, 0, 5);
  return facts;
}

Result<NamedRole> read_role(PostgresConnection& connection, const std::string& name) {
  LOCKSTEP_TRY(connection.open());
  LOCKSTEP_ASSIGN(const PgResult row, connection.ask(kRole, {{.value = name}}));
  if (PQntuples(row.get()) == 0) return NamedRole();
  return NamedRole{.exists = true,
                   .login = bool_field(row, 0, 0),
                   .superuser = bool_field(row, 0, 1),
                   .ours = bool_field(row, 0, 2),
                   .create_in_database = bool_field(row, 0, 3)};
}

Result<std::vector<ExtensionFacts>> read_extensions(PostgresConnection& connection) {
  LOCKSTEP_TRY(connection.open());
  LOCKSTEP_ASSIGN(const PgResult rows, connection.ask(kExtensions));
  std::vector<ExtensionFacts> extensions;
  for (int i = 0; i < PQntuples(rows.get()); ++i) {
    std::string name = text_field(rows, i, 0);
    if (extensions.empty() || extensions.back().name != name)
      extensions.push_back({std::move(name), text_field(rows, i, 1), {}});
    if (std::string other = text_field(rows, i, 2); !other.empty())
      extensions.back().required.push_back(std::move(other));
  }
  return extensions;
}

Result<std::vector<std::string>> read_trusted(PostgresConnection& connection,
                                              const std::vector<std::string>& names) {
  LOCKSTEP_TRY(connection.open());
  const std::string list = text_array(names);
  LOCKSTEP_ASSIGN(const PgResult rows, connection.ask(kTrusted, {{.value = list}}));
  return first_fields(rows);
}

Result<std::vector<std::string>> read_of_superusers(PostgresConnection& connection) {
  LOCKSTEP_TRY(connection.open());
  LOCKSTEP_ASSIGN(const PgResult rows, connection.ask(kOfSuperusers));
  return first_fields(rows);
}

Result<std::vector<std::string>> read_roles_of_schema(PostgresConnection& connection) {
  LOCKSTEP_TRY(connection.open());
  LOCKSTEP_ASSIGN(const PgResult rows, connection.ask(kRolesOfSchema));
  return first_fields(rows);
}

Result<ConnectorTraps> read_connector_traps(PostgresConnection& connection,
                                            const std::vector<std::uint32_t>& tables,
                                            const std::vector<std::uint32_t>& types) {
  LOCKSTEP_TRY(connection.open());
  ConnectorTraps traps;
  const std::string table_list = fmt::format("{{{}}}", fmt::join(tables, ","));
  LOCKSTEP_ASSIGN(const PgResult twins, connection.ask(kTwinColumns, {{.value = table_list}}));
  for (int i = 0; i < PQntuples(twins.get()); ++i)
    traps.twins[number_field<std::uint32_t>(twins, i, 0)] = text_field(twins, i, 1);
  LOCKSTEP_ASSIGN(const PgResult enums, connection.ask(kEnumsWithoutLabels));
  for (int i = 0; i < PQntuples(enums.get()); ++i) traps.enums.push_back(text_field(enums, i, 0));
  const std::string type_list = fmt::format("{{{}}}", fmt::join(types, ","));
  LOCKSTEP_ASSIGN(const PgResult same, connection.ask(kNamesakes, {{.value = type_list}}));
  for (int i = 0; i < PQntuples(same.get()); ++i)
    traps.namesakes[number_field<std::uint32_t>(same, i, 0)] = text_field(same, i, 1);
  return traps;
}

Result<BookkeepingGrants> read_bookkeeping_grants(PostgresConnection& connection,
                                                  const std::string& schema) {
  LOCKSTEP_TRY(connection.open());
  BookkeepingGrants grants;
  LOCKSTEP_ASSIGN(const PgResult found, connection.ask(kSchema, {{.value = schema}}));
  if (PQntuples(found.get()) == 0) return grants;
  grants.schema_exists = true;
  grants.owner = text_field(found, 0, 0);
  grants.usage = bool_field(found, 0, 1);
  grants.create = bool_field(found, 0, 2);
  const std::string names = text_array(bookkeeping_tables());
  LOCKSTEP_ASSIGN(const PgResult rows,
                  connection.ask(kBookkeeping, {{.value = schema}, {.value = names}}));
  for (int i = 0; i < PQntuples(rows.get()); ++i) {
    grants.tables.push_back(text_field(rows, i, 0));
    if (!bool_field(rows, i, 1)) grants.not_ours.push_back(text_field(rows, i, 0));
  }
  return grants;
}

Result<bool> has_rows(PostgresConnection& connection, const TableSpec& table) {
  LOCKSTEP_TRY(connection.open());
  LOCKSTEP_ASSIGN(const PgResult row,
                  connection.ask("SELECT EXISTS (SELECT FROM " + own_rows(table) + ")"));
  return bool_field(row, 0, 0);
}

}  // namespace lockstep
