#include "daemon/repair_sql.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>
#include <vector>

#include "connectors/postgres/target/sql.h"
#include "daemon/status_json.h"
#include "pipeline/tables/translate.h"

namespace lockstep {
namespace {

using Parts = KeyTexts::Parts;

std::string literal(const std::optional<std::string>& text) {
  return text ? quote_literal(*text) : "NULL";
}

// Whether the type's own `=` tells apart what its text does.
bool is_equal_by_text(const Column& column) {
  switch (column.type.kind) {
    case TypeKind::Bool:
    case TypeKind::Int2:
    case TypeKind::Int4:
    case TypeKind::Int8:
    case TypeKind::Oid:
    case TypeKind::Name:
    case TypeKind::Enum:
    case TypeKind::Bytea:
    case TypeKind::Uuid:
    case TypeKind::Date:
    case TypeKind::Time:
    case TypeKind::Timestamp:
    case TypeKind::TimestampTz:
      return true;
    case TypeKind::Text:
    case TypeKind::Varchar:
      return column.deterministic_collation;
    case TypeKind::Bpchar:
      return column.deterministic_collation && column.type.typmod >= 0;
    default:
      return false;
  }
}

// A condition that holds for just this value: 1.0 is not 1.00, and -0 is not 0.
std::string holds(const Column& column, const std::optional<std::string>& text) {
  const std::string name = quote_identifier(column.name);
  if (!text) return name + " IS NULL";
  if (is_equal_by_text(column)) return fmt::format("{} = {}", name, literal(text));
  // A cast of bpchar to text would cut its blanks off.
  const std::string_view as_text =
      column.type.kind == TypeKind::Bpchar ? "pg_catalog.concat({})" : "CAST({} AS text)";
  return fmt::format("{} COLLATE \"C\" = {}", fmt::format(fmt::runtime(as_text), name),
                     literal(text));
}

// The row of the target by its key, as long as it holds what `row` says.
std::string where(const TableMap& map, const Parts& key, const Parts& row) {
  std::vector<std::string> terms;
  for (std::size_t i = 0; i < key.size(); ++i)
    terms.push_back(fmt::format("{} = {}", quote_identifier(map.target_column(map.key[i]).name),
                                literal(key[i].second)));
  for (std::size_t i = 0; i < row.size(); ++i) {
    const Column& column = map.target_column(i);
    const bool told = std::ranges::find(map.key, i) != map.key.end() && is_equal_by_text(column);
    if (!told) terms.push_back(holds(column, row[i].second));
  }
  return joined(terms, " AND ");
}

std::string insert(const TableMap& map, const Parts& row) {
  std::vector<std::string> names;
  std::vector<std::string> values;
  bool identity = false;
  for (std::size_t i = 0; i < row.size(); ++i) {
    const Column& column = map.target_column(i);
    names.push_back(quote_identifier(column.name));
    values.push_back(literal(row[i].second));
    identity = identity || column.identity != Identity::None;
  }
  for (const Constant& constant : map.constants) {
    names.push_back(quote_identifier(map.target.columns[constant.target].name));
    values.push_back(constant_sql(map, constant));
  }
  return fmt::format("INSERT INTO {} ({}){} VALUES ({}) ON CONFLICT DO NOTHING;",
                     quoted(map.target.name), joined(names, ", "),
                     identity ? " OVERRIDING SYSTEM VALUE" : "", joined(values, ", "));
}

// Nothing where no UPDATE may write a column that differs.
std::optional<std::string> assignments(const TableMap& map, const Parts& now, const Parts& then) {
  std::vector<std::string> sets;
  for (std::size_t i = 0; i < then.size(); ++i) {
    if (now[i].second == then[i].second) continue;
    const Column& column = map.target_column(i);
    if (column.identity == Identity::Always) return std::nullopt;
    sets.push_back(fmt::format("{} = {}", quote_identifier(column.name), literal(then[i].second)));
  }
  if (sets.empty()) return std::nullopt;
  return joined(sets, ", ");
}

// What becomes of one row: cells as the target holds them, "" where there is none.
struct RowChange {
  const std::string& key;  // In the source's form.
  const std::string& now;
  const std::string& then;
};

std::unexpected<Error> none(std::string why) {
  return fail(Reaction::Halt, std::move(why), ExitCode::Incomplete);
}

Result<std::string> change_sql(const std::string& table_text, const RowChange& change,
                               KeyTexts& texts) {
  const TableName table = table_of(table_text);
  if (texts.fault()) return fail(*texts.fault());
  const TableMap* const map = texts.find(table);
  if (map == nullptr) return none(table_text + " is not moved any more");
  const Parts key = texts.parts(table, change.key);
  if (key.empty())
    return none("the key of " + table_text + " is another one by now, or the source was lost");
  const Parts now = change.now.empty() ? Parts() : texts.row(table, change.now);
  const Parts then = change.then.empty() ? Parts() : texts.row(table, change.then);
  if (now.empty() != change.now.empty() || then.empty() != change.then.empty())
    return none("the columns of " + table_text + " are not those of then");
  if (now.empty()) return insert(*map, then);
  const std::string only = own_rows(map->target);
  if (then.empty()) return fmt::format("DELETE FROM {} WHERE {};", only, where(*map, key, now));
  const auto sets = assignments(*map, now, then);
  if (!sets) return none("a column that differs is GENERATED ALWAYS AS IDENTITY");
  return fmt::format("UPDATE {} SET {} WHERE {};", only, *sets, where(*map, key, now));
}

// Of either row of a finding, as far as there is one.
bool are_kept(const Finding& finding) {
  return (finding.kind == FindingKind::ExtraInTarget || !finding.source_row.empty()) &&
         (finding.kind == FindingKind::MissingInTarget || !finding.target_row.empty());
}

}  // namespace

std::string sql_session() {
  std::string text = "-- Without these, what follows may mean something else in your session:\n";
  for (const char* const statement : meaning_of_sql()) text += fmt::format("{};\n", statement);
  return text +
         "-- lockstep itself writes without triggers and foreign keys; that takes a right:\n"
         "-- SET session_replication_role = replica;\n";
}

Result<std::string> repair_sql(const Finding& finding, KeyTexts& texts) {
  if (!are_kept(finding)) return none("the row is too large to be shown");
  return change_sql(finding.table, {finding.key, finding.target_row, finding.source_row}, texts);
}

Result<std::string> undo_sql(const Finding& finding, KeyTexts& texts) {
  if (!are_kept(finding)) return none("the row was too large to be kept");
  return change_sql(finding.table, {finding.key, finding.source_row, finding.target_row}, texts);
}

std::string unknown_columns(const Finding& finding, const KeyTexts& texts) {
  const TableMap* const map = texts.find(table_of(finding.table));
  if (map == nullptr || finding.kind != FindingKind::ExtraInTarget) return {};
  std::vector<std::string> names;
  for (std::size_t i = 0; i < map->target.columns.size(); ++i) {
    const Column& column = map->target.columns[i];
    const bool is_mapped =
        std::ranges::find(map->columns, i, &ColumnMap::target) != map->columns.end() ||
        std::ranges::find(map->constants, i, &Constant::target) != map->constants.end();
    if (!is_mapped && !column.generated) names.push_back(column.name);
  }
  return joined(names, ", ");
}

}  // namespace lockstep
