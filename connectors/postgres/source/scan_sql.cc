#include "connectors/postgres/source/scan_sql.h"

#include <fmt/format.h>

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

namespace {

std::string from(const TableMap& table) { return " FROM " + own_rows(table.source) + " t"; }

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

std::string literal_key(const TableMap& table, const KeyLiterals& literals) {
  CHECK(literals.empty() || literals.size() == table.key.size());
  std::vector<std::string> values;
  values.reserve(literals.size());
  for (std::size_t i = 0; i < literals.size(); ++i)
    values.push_back(literals[i] + "::" + key_column(table, i).type.base_sql);
  return fmt::format("{}", fmt::join(values, ", "));
}

// One comparison of the whole key: a row comparison is a range of a composite index, a chain of
// ANDs and ORs is not.  `lower` and `upper` are keys as SQL; "": no bound.
std::string where(const TableMap& table, const std::string& lower, const std::string& upper,
                  const std::string& condition) {
  std::vector<std::string> all;
  if (!lower.empty()) all.push_back(fmt::format("({}) >= ({})", key_references(table), lower));
  if (!upper.empty()) all.push_back(fmt::format("({}) < ({})", key_references(table), upper));
  if (!condition.empty()) all.push_back(condition);
  return all.empty() ? "" : fmt::format(" WHERE {}", fmt::join(all, " AND "));
}

std::string where(const TableMap& table, const LiteralRange& range) {
  return where(table, literal_key(table, range.lower), literal_key(table, range.upper),
               range.condition);
}

}  // namespace

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
  return select_row(table) + from(table) + where(table, range);
}

namespace {

std::string select_key(const TableMap& table) {
  std::vector<std::string> key;
  key.reserve(table.key.size());
  for (const std::size_t i : table.key) key.push_back(selected_column(table, i));
  return fmt::format("SELECT {}", fmt::join(key, ", "));
}

// The row `rows` rows after the first of those that `rows_of` selects.
std::string row_after(const TableMap& table, const std::string& rows_of, std::uint64_t rows) {
  return fmt::format("{}{} ORDER BY {} OFFSET {} LIMIT 1", from(table), rows_of,
                     key_references(table), rows);
}

}  // namespace

std::string bound_query(const TableMap& table, const LiteralRange& range, std::uint64_t rows) {
  return select_key(table) + row_after(table, where(table, range), rows);
}

// Each is looked for from the one before.  The rows of a recursion come in its order.
std::string bounds_query(const TableMap& table, const LiteralRange& range, std::uint64_t every,
                         std::size_t most) {
  std::string names;
  std::string last;
  for (std::size_t i = 0; i < table.key.size(); ++i) {
    const std::string name = quote_identifier(key_column(table, i).name);
    names += (i == 0 ? "" : ", ") + name;
    last += (i == 0 ? "b." : ", b.") + name;
  }
  const std::string next = where(table, last, literal_key(table, range.upper), range.condition);
  return fmt::format(
      "WITH RECURSIVE b({0}) AS ((SELECT {1}{2}) UNION ALL"
      " SELECT n.* FROM b CROSS JOIN LATERAL (SELECT {1}{3}) n) {4} FROM b t LIMIT {5}",
      names, key_references(table), row_after(table, where(table, range), every),
      row_after(table, next, every), select_key(table), most);
}

namespace {

// "k0, k1".
std::string numbered(std::string_view name, std::size_t count) {
  std::string names;
  for (std::size_t i = 0; i < count; ++i)
    names += fmt::format("{}{}{}", i == 0 ? "" : ", ", name, i);
  return names;
}

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
  std::string equal;
  for (std::size_t i = 0; i < table.key.size(); ++i)
    equal += fmt::format("{}{} = k.k{}", i == 0 ? "" : " AND ",
                         column_reference(key_column(table, i)), i);
  return fmt::format("{} JOIN (VALUES {}) k({}) ON {}", from(table), values,
                     numbered("k", table.key.size()), equal);
}

}  // namespace

std::string parts_query(const TableMap& table, const LiteralRange& range, std::size_t bounds,
                        std::span<const std::size_t> parts, const SelectOfPart& select) {
  const auto bound = [&](std::size_t i) { return key_parameters(table, 1 + i * table.key.size()); };
  std::string all;
  std::string values;
  for (const std::size_t part : parts) {
    if (part > 0 && part < bounds) {
      values += fmt::format("{}({}, {}, {})", values.empty() ? "" : ", ", part, bound(part - 1),
                            bound(part));
      continue;
    }
    const std::string rows =
        where(table, part == 0 ? literal_key(table, range.lower) : bound(part - 1),
              part == bounds ? literal_key(table, range.upper) : bound(part), range.condition);
    all += (all.empty() ? "" : " UNION ALL ") + select(from(table) + rows, std::to_string(part));
  }
  if (values.empty()) return all;
  const std::size_t keys = table.key.size();
  const std::string rows =
      where(table, numbered("p.l", keys), numbered("p.u", keys), range.condition);
  // OFFSET keeps the planner from anything but going through the parts, each by the key's index.
  return fmt::format(
      "{}SELECT d.* FROM (VALUES {}) p(part, {}, {}) CROSS JOIN LATERAL ({} OFFSET 0) d",
      all.empty() ? "" : all + " UNION ALL ", values, numbered("l", keys), numbered("u", keys),
      select(from(table) + rows, "p.part"));
}

std::string part_rows_query(const TableMap& table, const LiteralRange& range, std::size_t bounds,
                            std::span<const std::size_t> parts) {
  return parts_query(table, range, bounds, parts, [&](const std::string& rows, const std::string&) {
    return select_row(table) + rows;
  });
}

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
  const std::string names = numbered("k", table.key.size());
  return fmt::format("SELECT ({}) < ({}) FROM (SELECT {}{} WHERE false UNION ALL SELECT {}) k({})",
                     names, key_parameters(table, 1 + table.key.size()), key_references(table),
                     from(table), key_parameters(table, 1), names);
}

std::string shape_query(const TableMap& table) { return "SELECT *" + from(table); }

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
