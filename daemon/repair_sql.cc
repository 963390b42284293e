#include "daemon/repair_sql.h"

#include <fmt/format.h>

#include <algorithm>

#include "daemon/status_json.h"
#include "pipeline/tables/translate.h"

namespace lockstep {
namespace {

std::string literal(const std::optional<std::string>& text) {
  return text ? quote_literal(*text) : "NULL";
}

// What the target calls a column of the source.
std::string target_column(const TableMap& map, const std::string& source) {
  for (std::size_t i = 0; i < map.columns.size(); ++i)
    if (map.source_column(i).name == source) return quote_identifier(map.target_column(i).name);
  return quote_identifier(source);
}

std::string condition(const TableMap& map, const KeyTexts::Parts& key) {
  std::string sql;
  for (const auto& [name, text] : key)
    sql += fmt::format("{}{} = {}", sql.empty() ? "" : " AND ", target_column(map, name),
                       literal(text));
  return sql;
}

std::string insert(const TableMap& map, const KeyTexts::Parts& row) {
  std::string names;
  std::string values;
  for (const auto& [name, text] : row) {
    names += (names.empty() ? "" : ", ") + target_column(map, name);
    values += (values.empty() ? "" : ", ") + literal(text);
  }
  return fmt::format("INSERT INTO {} ({}) VALUES ({});", quoted(map.target.name), names, values);
}

std::string update(const TableMap& map, const Finding& finding, const KeyTexts::Parts& row,
                   const KeyTexts::Parts& key) {
  std::string sets;
  for (const auto& [name, text] : row)
    if (std::ranges::find(finding.columns, name) != finding.columns.end())
      sets += fmt::format("{}{} = {}", sets.empty() ? "" : ", ", target_column(map, name),
                          literal(text));
  if (sets.empty()) return fmt::format("-- finding {}: the rows are too large", finding.id);
  return fmt::format("UPDATE {} SET {} WHERE {};", quoted(map.target.name), sets,
                     condition(map, key));
}

}  // namespace

std::string repair_sql(const Finding& finding, KeyTexts& texts) {
  const TableName table = table_of(finding.table);
  const TableMap* const map = texts.find(table);
  const KeyTexts::Parts key = texts.parts(table, finding.key);
  if (map == nullptr || key.empty())
    return fmt::format("-- finding {} of {}: a server does not answer, or the table is not moved",
                       finding.id, finding.table);
  if (finding.kind == FindingKind::ExtraInTarget)
    return fmt::format("DELETE FROM {} WHERE {};", quoted(map->target.name), condition(*map, key));
  const KeyTexts::Parts row = texts.row(table, finding.source_row);
  if (row.empty())
    return fmt::format("-- finding {} of {}: the row is too large to be shown", finding.id,
                       finding.table);
  return finding.kind == FindingKind::MissingInTarget ? insert(*map, row)
                                                      : update(*map, finding, row, key);
}

}  // namespace lockstep
