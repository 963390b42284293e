#include "connectors/postgres/source/scan_sql.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "connectors/postgres/wire/rows.h"
#include "pipeline/base/result.h"
#include "pipeline/tables/table_stream.h"

namespace lockstep {
namespace {

const Column& key_column(const TableMap& table, std::size_t i) {
  return table.source_column(table.key[i]);
}
const ColumnMap& key_map(const TableMap& table, std::size_t i) {
  return table.columns[table.key[i]];
}

std::string column_reference(const Column& column) { return "t." + quote_identifier(column.name); }

}  // namespace

std::string selected_column(const TableMap& table, std::size_t i) {
  const std::string reference = column_reference(table.source_column(i));
  if (!table.columns[i].read_as.empty()) return reference + "::" + table.columns[i].read_as;
  return table.columns[i].plane == Plane::Text ? reference + "::pg_catalog.text" : reference;
}

std::string from_table(const TableMap& table) { return " FROM " + own_rows(table.source) + " t"; }

namespace {

std::string select_row(const TableMap& table) {
  std::vector<std::string> columns;
  columns.reserve(table.columns.size());
  for (std::size_t i = 0; i < table.columns.size(); ++i)
    columns.push_back(selected_column(table, i));
  return fmt::format("SELECT {}", fmt::join(columns, ", "));
}

std::string key_references(const TableMap& table) {
  std::vector<std::string> columns;
  columns.reserve(table.key.size());
  for (std::size_t i = 0; i < table.key.size(); ++i)
    columns.push_back(column_reference(key_column(table, i)));
  return fmt::format("{}", fmt::join(columns, ", "));
}

// One comparison of the whole key: a row comparison is a range of a composite index, a chain of
// ANDs and ORs is not.
std::string compared(const TableMap& table, std::string_view comparison,
                     const KeyLiterals& literals) {
  CHECK(literals.size() == table.key.size());
  std::vector<std::string> values;
  values.reserve(literals.size());
  for (std::size_t i = 0; i < literals.size(); ++i)
    values.push_back(literals[i] + "::" + key_column(table, i).type.base_sql);
  return fmt::format("({}) {} ({})", key_references(table), comparison, fmt::join(values, ", "));
}

}  // namespace

std::string range_condition(const TableMap& table, const LiteralRange& range) {
  std::vector<std::string> all;
  if (!range.lower.empty()) all.push_back(compared(table, ">=", range.lower));
  if (!range.upper.empty()) all.push_back(compared(table, "<", range.upper));
  if (!range.condition.empty()) all.push_back(range.condition);
  return all.empty() ? "" : fmt::format(" WHERE {}", fmt::join(all, " AND "));
}

std::string literals_query(std::size_t count) {
  std::string sql = "SELECT ";
  for (std::size_t i = 1; i <= count; ++i)
    sql += fmt::format("{}pg_catalog.format('%L', ${})", i == 1 ? "" : ", ", i);
  return sql;
}

std::uint32_t key_parameter_type(const TableMap& table, std::size_t i) {
  const ColumnMap& column = key_map(table, i);
  if (column.plane == Plane::Text) return kTextOid;
  return column.read_as.empty() ? key_column(table, i).type.base_oid : column.read_oid;
}

std::string range_query(const TableMap& table, const LiteralRange& range) {
  return select_row(table) + from_table(table) + range_condition(table, range);
}

std::string bound_query(const TableMap& table, const LiteralRange& range, std::uint64_t rows) {
  std::vector<std::string> key;
  key.reserve(table.key.size());
  for (const std::size_t i : table.key) key.push_back(selected_column(table, i));
  return fmt::format("SELECT {}{}{} ORDER BY {} OFFSET {} LIMIT 1", fmt::join(key, ", "),
                     from_table(table), range_condition(table, range), key_references(table), rows);
}

namespace {

// The key of parameters from `first` on: "$1, $2::public.mood".
std::string key_parameters(const TableMap& table, std::size_t first) {
  std::string values;
  for (std::size_t i = 0; i < table.key.size(); ++i) {
    values += fmt::format("{}${}", i == 0 ? "" : ", ", first + i);
    if (key_parameter_type(table, i) != key_column(table, i).type.base_oid)
      values += "::" + key_column(table, i).type.base_sql;
  }
  return values;
}

std::string from_keys(const TableMap& table, std::size_t count) {
  std::string values;
  for (std::size_t row = 0; row < count; ++row)
    values += fmt::format("{}({})", row == 0 ? "" : ", ",
                          key_parameters(table, 1 + row * table.key.size()));
  std::string names;
  std::string equal;
  for (std::size_t i = 0; i < table.key.size(); ++i) {
    names += fmt::format("{}k{}", i == 0 ? "" : ", ", i);
    equal += fmt::format("{}{} = k.k{}", i == 0 ? "" : " AND ",
                         column_reference(key_column(table, i)), i);
  }
  return fmt::format("{} JOIN (VALUES {}) k({}) ON {}", from_table(table), values, names, equal);
}

}  // namespace

std::string keys_query(const TableMap& table, std::size_t count) {
  return select_row(table) + from_keys(table, count);
}

std::string writer_query(const TableMap& table) {
  return "SELECT t.xmin, CASE WHEN pg_catalog.current_setting('track_commit_timestamp') = 'on'"
         " THEN (extract(epoch FROM pg_catalog.pg_xact_commit_timestamp(t.xmin)) * 1000000)::bigint"
         " END, pg_catalog.pg_snapshot_xmax(pg_catalog.pg_current_snapshot())" +
         from_keys(table, 1);
}

// A parameter has no collation of its own: beside the column, in one list, it takes that one's.
std::string before_query(const TableMap& table) {
  std::string names;
  for (std::size_t i = 0; i < table.key.size(); ++i)
    names += fmt::format("{}k{}", i == 0 ? "" : ", ", i);
  return fmt::format("SELECT ({}) < ({}) FROM (SELECT {}{} WHERE false UNION ALL SELECT {}) k({})",
                     names, key_parameters(table, 1 + table.key.size()), key_references(table),
                     from_table(table), key_parameters(table, 1), names);
}

std::string shape_query(const TableMap& table) { return "SELECT *" + from_table(table); }

std::vector<std::uint32_t> foreign_operator_types(const TableMap& table) {
  std::vector<std::uint32_t> oids;
  for (std::size_t i = 0; i < table.key.size(); ++i) {
    const Type& type = key_column(table, i).type;
    // Enums, arrays and ranges of any making share pg_catalog's polymorphic operators.
    if (type.kind == TypeKind::Enum || type.kind == TypeKind::Array ||
        type.kind == TypeKind::Range || type.base_oid < kFirstUserOid)
      continue;
    oids.push_back(type.base_oid);
  }
  return oids;
}

}  // namespace lockstep
