// Unique and exclusion constraints that only the target has: they refuse rows that the source holds
// side by side.
#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <set>
#include <sstream>
#include <string>
#include <vector>

#include "connectors/postgres/wire/catalog.h"
#include "daemon/validate/validate.h"

namespace lockstep {
namespace {

// Of each table ($1: schemas, $2: names) and its partitions; one that a partition has only because
// its root has it is left out.  Deferrable ones are not enforced for our rows.
constexpr const char* kUniques = R"(
SELECT w.schema, w.name, i.indexrelid::regclass::text, i.indisexclusion,
       coalesce(pg_get_expr(i.indexprs, i.indrelid), '') || coalesce(x.def, '') ||
       coalesce(' WHERE ' || pg_get_expr(i.indpred, i.indrelid), ''),
       (SELECT string_agg(a.attname, chr(10)) FROM generate_series(0, i.indnkeyatts - 1) AS k(at)
          JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = i.indkey[k.at])
  FROM unnest($1::text[], $2::text[]) AS w(schema, name)
  JOIN pg_namespace n ON n.nspname = w.schema
  JOIN pg_class c ON c.relnamespace = n.oid AND c.relname = w.name
 CROSS JOIN LATERAL (SELECT c.oid AS relid UNION SELECT relid FROM pg_partition_tree(c.oid)) AS t
  JOIN pg_index i ON i.indrelid = t.relid
  LEFT JOIN LATERAL (SELECT pg_get_constraintdef(oid) FROM pg_constraint
                      WHERE conindid = i.indexrelid AND contype = 'x') AS x(def) ON true
 WHERE (i.indisunique OR i.indisexclusion) AND i.indimmediate AND i.indisvalid
   AND NOT EXISTS (SELECT FROM pg_inherits h WHERE h.inhrelid = i.indexrelid)
 ORDER BY 1, 2, 3)";

struct UniqueRule {
  std::string name;
  bool exclusion = false;
  std::string special;  // Expressions, predicate, an exclusion's definition; "" for mere columns.
  std::set<std::string> columns;
};
using UniqueRules = std::map<TableName, std::vector<UniqueRule>>;

Result<UniqueRules> read_uniques(CheckedServer& server, const std::vector<TableName>& tables) {
  std::vector<std::string> schemas;
  std::vector<std::string> names;
  for (const TableName& table : tables) {
    schemas.push_back(table.schema);
    names.push_back(table.table);
  }
  const std::string arrays[] = {text_array(schemas), text_array(names)};
  LOCKSTEP_ASSIGN(const PgResult rows,
                  server.connection.run(kUniques, {{.value = arrays[0]}, {.value = arrays[1]}}));
  UniqueRules uniques;
  for (int row = 0; row < PQntuples(rows.get()); ++row) {
    UniqueRule rule{
        text_field(rows, row, 2), bool_field(rows, row, 3), text_field(rows, row, 4), {}};
    std::istringstream columns(text_field(rows, row, 5));
    for (std::string column; std::getline(columns, column);) rule.columns.insert(column);
    uniques[{text_field(rows, row, 0), text_field(rows, row, 1)}].push_back(std::move(rule));
  }
  return uniques;
}

// The target's names of a source's columns; nothing when one is not carried.
std::optional<std::set<std::string>> carried(const TableMap& map,
                                             const std::set<std::string>& columns) {
  std::set<std::string> names;
  for (std::size_t i = 0; i < map.columns.size(); ++i)
    if (columns.contains(map.source_column(i).name)) names.insert(map.target_column(i).name);
  if (names.size() != columns.size()) return std::nullopt;
  return names;
}

// Whether every set of rows that `source` allows passes `target`: columns that are unique stay so
// with further columns beside them, and among a part of the rows.
bool implies(const TableMap& map, const UniqueRule& source, const UniqueRule& target) {
  const auto columns = carried(map, source.columns);
  if (!columns) return false;
  if (source.special == target.special && source.columns == target.columns) return true;
  return source.special.empty() && !source.exclusion && !target.exclusion &&
         std::ranges::includes(target.columns, *columns);
}

}  // namespace

void check_uniques(Validation& validation) {
  std::vector<TableName> targets;
  for (const PlannedTable& table : validation.plan.tables)
    if (table.map) targets.push_back(table.map->target.name);
  if (targets.empty()) return;
  const auto ours = read_uniques(validation.source, validation.source_names());
  if (!ours) return validation.findings.failed(validation.source.where, ours.error());
  const auto theirs = read_uniques(validation.target, targets);
  if (!theirs) return validation.findings.failed(validation.target.where, theirs.error());
  const auto rules_of = [](const UniqueRules& uniques, const TableName& name) {
    const auto found = uniques.find(name);
    return found == uniques.end() ? std::vector<UniqueRule>() : found->second;
  };
  for (const PlannedTable& table : validation.plan.tables) {
    if (!table.map) continue;
    const auto known = rules_of(*ours, table.map->source.name);
    for (const UniqueRule& rule : rules_of(*theirs, table.map->target.name)) {
      const bool implied = std::ranges::any_of(
          known, [&](const UniqueRule& source) { return implies(*table.map, source, rule); });
      if (implied) continue;
      validation.findings.warn(
          table.selected.rule->source.where,
          fmt::format("only the target has {} {}: of rows of {} that it does not let stand side by "
                      "side one is set aside",
                      rule.exclusion ? "exclusion constraint" : "unique index", rule.name,
                      table.map->source.name.text()),
          "drop it until the migration has ended, or make the like on the source");
    }
  }
}

}  // namespace lockstep
