// More facts about a server, which only `validate` needs: who may grant what, who owns what, and
// whether something stands between us and the server.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "connectors/postgres/wire/connection.h"
#include "pipeline/base/result.h"
#include "pipeline/model/table.h"

namespace lockstep {

struct TableOwner {
  TableName name;
  std::string owner;
  std::string schema_owner;
  bool owned_by_us = false;   // The current role is the owner, or a member of it.
  bool unlogged = false;      // Its changes are not in the log, and a crash empties it.
  bool row_security = false;  // Switched on: for roles that it does not bypass.
  std::string silent;         // Its partitions whose changes are not in the log: "a, b".
  std::string drop_rules;     // Statements: PostgreSQL takes no ON CONFLICT beside its rules.
};

// Of those of `tables` that exist, in their order.
Result<std::vector<TableOwner>> read_owners(PostgresConnection& connection,
                                            const std::vector<TableName>& tables);

// A schema, not of the system, that has the type of a table's column, or the type below a domain:
// whoever names the type, as our batches do on the target, needs USAGE of it.
struct TypeSchema {
  TableName table;
  std::string schema;
  std::string owner;
  bool usage = false;  // The current role has it.
};
// Of those of `tables` that exist.
Result<std::vector<TypeSchema>> read_type_schemas(PostgresConnection& connection,
                                                  const std::vector<TableName>& tables);

struct DatabaseFacts {
  std::string owner;
  bool create_temporary = false;              // TEMPORARY on the database.
  bool everybody_connects = false;            // PUBLIC has CONNECT,
  bool everybody_creates_temporary = false;   // and TEMPORARY.
  std::optional<std::string> data_directory;  // Nothing: we may not know.
  bool behind_proxy = false;                  // The backend is not the one that libpq talks to.
};
Result<DatabaseFacts> read_database(PostgresConnection& connection);

// A role by its name, which need not be ours.
struct NamedRole {
  bool exists = false;
  bool login = false;
  bool superuser = false;
  bool ours = false;                // The current role is it, or a member of it.
  bool create_in_database = false;  // CREATE on the current database.
};
Result<NamedRole> read_role(PostgresConnection& connection, const std::string& name);

struct ExtensionFacts {
  std::string name;
  std::string schema;
  std::vector<std::string> required;  // By name: without these it cannot be made.
};
// What is installed in the database, but for what every database has.  What an extension requires
// stands before it.
Result<std::vector<ExtensionFacts>> read_extensions(PostgresConnection& connection);
// What the database has beside extensions that only a superuser may make, for people: "event
// trigger audit", "function public.f(integer)".
Result<std::vector<std::string>> read_of_superusers(PostgresConnection& connection);
// Roles without which the schema cannot be made elsewhere: those that policies and user mappings
// name.
Result<std::vector<std::string>> read_roles_of_schema(PostgresConnection& connection);
// Of the extensions by these names, those that whoever may CREATE in the database may install.
Result<std::vector<std::string>> read_trusted(PostgresConnection& connection,
                                              const std::vector<std::string>& names);

struct BookkeepingGrants {
  bool schema_exists = false;
  std::string owner;  // Of the schema.
  bool usage = false;
  bool create = false;
  std::vector<std::string> tables;    // That exist.
  std::vector<std::string> not_ours;  // Of these: one of SELECT, INSERT, UPDATE, DELETE is missing.
};
Result<BookkeepingGrants> read_bookkeeping_grants(PostgresConnection& connection,
                                                  const std::string& schema);

// What a Debezium connector of version 3.6 takes one for another, or ends at.
struct ConnectorTraps {
  std::map<std::uint32_t, std::string> twins;      // By table: columns that differ only by case.
  std::vector<std::string> enums;                  // Without labels, or domains over enums.
  std::map<std::uint32_t, std::string> namesakes;  // By type: another one of the same name.
};
// Of tables and types by their OIDs; `enums` of the whole database.
Result<ConnectorTraps> read_connector_traps(PostgresConnection& connection,
                                            const std::vector<std::uint32_t>& tables,
                                            const std::vector<std::uint32_t>& types);

// Whether the table has a row that we may see.
Result<bool> has_rows(PostgresConnection& connection, const TableSpec& table);

}  // namespace lockstep
