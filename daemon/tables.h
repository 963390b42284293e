// Tables: from the manifest and both catalogs to the tables of a run.
//
//   manifest rules + source's list -> Selection -> specs of both sides -> plan_table -> TableMaps
#pragma once

#include <string>
#include <vector>

#include "config/manifest.h"
#include "config/problem.h"
#include "config/selection.h"
#include "connectors/postgres/target/bookkeeping.h"
#include "connectors/postgres/wire/connection.h"
#include "pipeline/base/result.h"
#include "pipeline/model/table.h"
#include "pipeline/tables/definition.h"

namespace lockstep {

// Names in a list: for people ("a, b and 1990 more"), and for a statement.
std::string shown_list(const std::vector<TableName>& tables);
std::string quoted_list(const std::vector<TableName>& tables);

// Why a table of its own cannot go on: it is a partition of a moved table now.
std::string became_partition(const TableSpec& leaf);
// Why a table that the manifest selects is not among the source's tables any more.
Result<std::string> why_unlisted(PostgresConnection& source, const TableName& name);

// Options of a connection that says who it is: "lockstep shop lane 0".
PostgresOptions connection_options(const Manifest& manifest, Side side, const std::string& role);
BookkeepingOptions bookkeeping_options(const Manifest& manifest, const std::string& role);
// A connection, not opened yet.
PostgresConnection connect(const Manifest& manifest, Side side, const std::string& role);

// One table of the manifest that both servers were asked about.
struct PlannedTable {
  SelectedTable selected;
  TableSpec source;
  std::optional<TableMap> map;  // Nothing: it cannot be copied; `problems` say why.
  std::vector<Problem> problems;
};

struct TablePlan {
  std::vector<PlannedTable> tables;  // In backfill order.
  std::vector<Problem> problems;     // Of the selection as a whole.
};

// Selects and plans every table, or `only` the one of that name ("public.orders").  Maps are
// numbered in order, over those that could be planned.
Result<TablePlan> plan_tables(PostgresConnection& source, PostgresConnection& target,
                              const Manifest& manifest, const std::string& only = "");

// The source's half of a plan: selection and specs, no maps.  For when the target does not answer.
Result<TablePlan> plan_source(PostgresConnection& source, const Manifest& manifest);

// The source's specs of the selected tables, for connector-config.
Result<std::vector<TableSpec>> read_source_tables(PostgresConnection& source,
                                                  const Manifest& manifest);

}  // namespace lockstep
