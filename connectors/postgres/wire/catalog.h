// What the catalogs say about tables: TableSpec for both sides, in a constant number of queries
// however many tables there are.
//
// config's `validate` and the daemon's prepare phase call it; the specs are planned into TableMaps
// by pipeline/table_map.
#pragma once

#include <string>
#include <vector>

#include "connectors/postgres/wire/connection.h"
#include "pipeline/base/result.h"
#include "pipeline/model/table.h"

namespace lockstep {

// Returns every table and partitioned table of users, sorted by name: for the globs of a manifest.
// Partitions, temporary tables and tables that belong to an extension are left out.
Result<std::vector<TableName>> list_tables(PostgresConnection& connection);

// Returns the specs of those of `names` that exist, in the order of `names`.  A view or foreign
// table comes with RelationKind::Other.  Column::collation is the collation's name; "default" is
// resolved to the database's locale, and citext's is the database's in any case, since citext folds
// by that.
// REQUIRES: no transaction is open.  Waits at most 5 s for a lock (then Retry).
Result<std::vector<TableSpec>> read_tables(PostgresConnection& connection,
                                           const std::vector<TableName>& names);

// A query of (oid, version) of the tables $1::oid[]: the version is another one after every change
// of what definition_of() knows of the table, and may be after others.  Reads catalog tables only.
std::string definition_versions_sql();

// The same without sizes, estimates and leaves: waits for no lock of a running rewrite.
Result<std::vector<TableSpec>> read_definitions(PostgresConnection& connection,
                                                const std::vector<TableName>& names);

// Array literals, for parameters: {"a","b\"c"} and {1,2}.
std::string text_array(const std::vector<std::string>& values);
std::string oid_array(const std::vector<std::uint32_t>& oids);

// The two parameters that stand for a list of tables: unnest($1::text[], $2::text[]).
struct NameArrays {
  explicit NameArrays(const std::vector<TableName>& names);
  std::string schemas;
  std::string tables;
};

}  // namespace lockstep
