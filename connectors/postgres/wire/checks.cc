#include "connectors/postgres/wire/checks.h"

#include "connectors/postgres/target/bookkeeping_schema.h"
#include "connectors/postgres/wire/catalog.h"

namespace lockstep {
namespace {

constexpr const char* kOwners = R"(
SELECT n.nspname, c.relname, pg_get_userbyid(c.relowner), pg_get_userbyid(n.nspowner),
       pg_has_role(c.relowner, 'USAGE'), c.relpersistence = 'u',
       (SELECT string_agg(l.relname, ', ' ORDER BY l.relname)
        FROM pg_partition_tree(c.oid) p JOIN pg_class l ON l.oid = p.relid
        WHERE p.isleaf AND l.oid <> c.oid AND (l.relpersistence = 'u' OR l.relkind = 'f'))
FROM unnest($1::text[], $2::text[]) WITH ORDINALITY w(schema, name, place)
JOIN pg_namespace n ON n.nspname = w.schema
JOIN pg_class c ON c.relnamespace = n.oid AND c.relname = w.name
WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f')
ORDER BY w.place)";

// data_directory is for superusers and pg_read_all_settings: pg_settings leaves it out for others.
constexpr const char* kDatabase = R"(
SELECT pg_get_userbyid(d.datdba), has_database_privilege(d.oid, 'TEMPORARY'),
       (SELECT setting FROM pg_settings WHERE name = 'data_directory'), pg_backend_pid()
FROM pg_database d WHERE d.datname = current_database())";

constexpr const char* kSchema = R"(
SELECT pg_get_userbyid(n.nspowner), has_schema_privilege(n.oid, 'USAGE'),
       has_schema_privilege(n.oid, 'CREATE')
FROM pg_namespace n WHERE n.nspname = $1)";

constexpr const char* kBookkeeping = R"(
SELECT c.relname, has_table_privilege(c.oid, 'SELECT') AND has_table_privilege(c.oid, 'INSERT')
       AND has_table_privilege(c.oid, 'UPDATE') AND has_table_privilege(c.oid, 'DELETE')
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname = $1 AND c.relname = ANY($2::text[]) ORDER BY 1)";

}  // namespace

Result<std::vector<TableOwner>> read_owners(PostgresConnection& connection,
                                            const std::vector<TableName>& tables) {
  LOCKSTEP_TRY(connection.open());
  std::vector<std::string> schemas;
  std::vector<std::string> names;
  for (const TableName& table : tables) {
    schemas.push_back(table.schema);
    names.push_back(table.table);
  }
  const std::string schema_array = text_array(schemas);
  const std::string name_array = text_array(names);
  LOCKSTEP_ASSIGN(const PgResult rows,
                  connection.ask(kOwners, {{.value = schema_array}, {.value = name_array}}));
  std::vector<TableOwner> owners;
  owners.reserve(static_cast<std::size_t>(PQntuples(rows.get())));
  for (int i = 0; i < PQntuples(rows.get()); ++i)
    owners.push_back({{text_field(rows, i, 0), text_field(rows, i, 1)},
                      text_field(rows, i, 2),
                      text_field(rows, i, 3),
                      bool_field(rows, i, 4),
                      bool_field(rows, i, 5),
                      text_field(rows, i, 6)});
  return owners;
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
  return facts;
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
