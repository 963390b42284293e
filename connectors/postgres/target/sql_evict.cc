#include "connectors/postgres/target/sql_evict.h"

#include <fmt/format.h>

#include <algorithm>

#include "pipeline/tables/translate.h"

namespace lockstep {
namespace {

constexpr std::string_view kRowId = "lockstep_row";  // Beside the table's own columns.

// SELECT of the key's columns and the index's parts of one relation, under names of our own: so
// the index's expressions, which name columns only, mean this relation's.
std::string sides_sql(const StagedTable& table, const UniqueIndex& index,
                      const std::string& relation, bool of_table) {
  std::vector<std::string> columns;
  std::vector<std::string> conditions;
  if (of_table) columns.push_back(fmt::format("ctid AS {}", kRowId));
  if (of_table && !index.partition.empty()) conditions.push_back(index.partition);
  for (std::size_t i = 0; i < table.map->key.size(); ++i)
    columns.push_back(fmt::format(
        "{} AS k{}", quote_identifier(table.map->target_column(table.map->key[i]).name), i));
  for (std::size_t i = 0; i < index.parts.size(); ++i)
    columns.push_back(fmt::format("({}) AS e{}", index.parts[i].expression, i));
  std::string sql = fmt::format("SELECT {} FROM {}", joined(columns, ", "), relation);
  if (!index.predicate.empty()) conditions.push_back("(" + index.predicate + ")");
  if (!conditions.empty()) sql += " WHERE " + joined(conditions, " AND ");
  return sql;
}

std::string part_matches(const UniqueIndex& index, std::size_t i) {
  const UniqueIndex::Part& part = index.parts[i];
  const std::string collate = part.collation.empty() ? "" : " COLLATE " + part.collation;
  std::string match = fmt::format("(t.e{0}{1}) {2} n.e{0}", i, collate, part.equals);
  if (index.nulls_equal)
    match = fmt::format("({0} OR (t.e{1} IS NULL AND n.e{1} IS NULL))", match, i);
  return match;
}

}  // namespace

std::string unique_index_sql() {
  return R"(
SELECT i.indrelid::regclass::text, pg_get_indexdef(i.indexrelid, k.n::int, true),
       format('OPERATOR(%I.%s)', n.nspname, o.oprname),
       coalesce((SELECT format('%I.%I', cn.nspname, c.collname)
                   FROM pg_collation c JOIN pg_namespace cn ON cn.oid = c.collnamespace
                  WHERE c.oid = k.coll), ''),
       coalesce(pg_get_expr(i.indpred, i.indrelid), ''),
       coalesce((to_jsonb(i) ->> 'indnullsnotdistinct')::bool, false),
       CASE WHEN c.relispartition THEN format('tableoid = %s AND (%s)', c.oid,
         coalesce(pg_get_partition_constraintdef(c.oid), 'true')) ELSE '' END
  FROM pg_index i
  JOIN pg_class c ON c.oid = i.indrelid
  JOIN pg_class ic ON ic.oid = i.indexrelid
  JOIN pg_namespace icn ON icn.oid = ic.relnamespace
  LEFT JOIN pg_constraint x ON x.conindid = i.indexrelid AND x.contype = 'x'
 CROSS JOIN LATERAL unnest(i.indclass::oid[], i.indcollation::oid[], x.conexclop)
            WITH ORDINALITY AS k(class, coll, exclop, n)
  JOIN pg_opclass oc ON oc.oid = k.class
  JOIN pg_operator o ON o.oid = coalesce(k.exclop,
         (SELECT a.amopopr FROM pg_amop a
           WHERE a.amopfamily = oc.opcfamily AND a.amoplefttype = oc.opcintype
             AND a.amoprighttype = oc.opcintype AND a.amopstrategy = 3))
  JOIN pg_namespace n ON n.oid = o.oprnamespace
 WHERE icn.nspname = $1 AND ic.relname = $2
 ORDER BY k.n)";
}

std::string create_new_row_sql(const TableMap& table) {
  return fmt::format(
      "CREATE TEMPORARY TABLE lockstep_new (LIKE {} INCLUDING GENERATED INCLUDING DEFAULTS"
      " INCLUDING IDENTITY) ON COMMIT DROP",
      quoted(table.target.name));
}

std::optional<std::string> complete_new_row_sql(const StagedTable& table) {
  const TableMap& map = *table.map;
  std::vector<std::string> sets;
  for (std::size_t i = 0; i < map.target.columns.size(); ++i) {
    const Column& column = map.target.columns[i];
    const bool written =
        std::ranges::find(map.columns, i, &ColumnMap::target) != map.columns.end() ||
        std::ranges::find(map.constants, i, &Constant::target) != map.constants.end();
    if (written || column.generated || column.identity == Identity::Always) continue;
    sets.push_back(fmt::format("{0} = t.{0}", quote_identifier(column.name)));
  }
  if (sets.empty()) return std::nullopt;
  std::vector<std::string> match;
  for (std::size_t i = 0; i < map.key.size(); ++i)
    match.push_back(fmt::format("t.{0} {1} n.{0}",
                                quote_identifier(map.target_column(map.key[i]).name),
                                table.key_equals[i]));
  return fmt::format("UPDATE {} AS n SET {} FROM {} AS t WHERE {}", kNewRow, joined(sets, ", "),
                     own_rows(map.target), joined(match, " AND "));
}

std::string holders_sql(const StagedTable& table, const UniqueIndex& index, HolderAction action) {
  const TableMap& map = *table.map;
  std::vector<std::string> matches;
  for (std::size_t i = 0; i < index.parts.size(); ++i) matches.push_back(part_matches(index, i));
  std::vector<std::string> own_key;
  std::vector<std::string> keys;
  std::vector<std::string> shown;
  for (std::size_t i = 0; i < map.key.size(); ++i) {
    const std::string column = quote_identifier(map.target_column(map.key[i]).name);
    own_key.push_back(fmt::format("t.k{0} {1} n.k{0}", i, table.key_equals[i]));
    keys.push_back(fmt::format("CAST(d.{} AS {})", column, table.columns[map.key[i]].staged));
    shown.push_back(fmt::format("{} || ' = ' || d.{}::text",
                                quote_literal(map.target_column(map.key[i]).name), column));
  }
  const std::string rows =
      index.partition.empty() ? "ONLY " + index.relation : own_rows(map.target);
  const std::string holders =
      fmt::format("(SELECT t.{} FROM ({}) AS t, ({}) AS n WHERE {} AND NOT ({})) AS h", kRowId,
                  sides_sql(table, index, rows, true), sides_sql(table, index, kNewRow, false),
                  joined(matches, " AND "), joined(own_key, " AND "));
  std::string found = fmt::format("d.ctid = h.{}", kRowId);
  if (!index.partition.empty()) found += " AND " + index.partition;
  if (action == HolderAction::Show)
    return fmt::format("SELECT {} FROM {} AS d, {} WHERE {}", joined(shown, " || ', ' || "), rows,
                       holders, found);
  return fmt::format("DELETE FROM {} AS d USING {} WHERE {} RETURNING {}", rows, holders, found,
                     joined(keys, ", "));
}

}  // namespace lockstep
