#include "daemon/key_text.h"

#include <fmt/format.h>

#include <utility>
#include <vector>

#include "pipeline/model/row.h"

namespace lockstep {
namespace {

PostgresConnection connect_soon(const Manifest& manifest, Side side) {
  PostgresOptions options = connection_options(manifest, side, "quarantine");
  options.keywords.emplace_back("connect_timeout", "5");
  options.setup.emplace_back("SET statement_timeout = 10000");
  return PostgresConnection(std::move(options));
}

}  // namespace

KeyTexts::KeyTexts(const Manifest& manifest) : source_(connect_soon(manifest, Side::Source)) {
  PostgresConnection target = connect_soon(manifest, Side::Target);
  if (auto plan = plan_tables(source_, target, manifest)) plan_ = std::move(*plan);
}

std::string KeyTexts::text(const TableName& table, const std::string& key) {
  std::string text;
  for (const auto& [column, value] : parts(table, key))
    text += fmt::format("{}{}={}", text.empty() ? "" : ", ", column, value);
  return text.empty() ? hex_text(key) : text;
}

KeyTexts::Parts KeyTexts::parts(const TableName& table, const std::string& key) {
  for (const PlannedTable& planned : plan_.tables)
    if (planned.map && planned.map->source.name == table) return render(*planned.map, key);
  return {};
}

KeyTexts::Parts KeyTexts::render(const TableMap& table, const std::string& key) {
  if (!well_formed_cells(key, table.key.size())) return {};
  std::string sql = "SELECT ";
  std::vector<PgParam> parameters;
  CellReader cells(key);
  for (std::size_t i = 0; i < table.key.size(); ++i) {
    const ColumnMap& column = table.columns[table.key[i]];
    const Cell cell = cells.next();
    const bool binary = column.plane == Plane::Binary;
    PgParam parameter;
    if (cell.presence == Presence::Value) parameter.value = cell.bytes;
    parameter.binary = binary;
    if (binary) parameter.type = table.source.columns[column.source].type.base_oid;
    parameters.push_back(parameter);
    sql += fmt::format("{}${}::pg_catalog.text", i == 0 ? "" : ", ", i + 1);
  }
  const auto row = source_.run(sql, parameters);
  if (!row) return {};
  Parts parts;
  for (std::size_t i = 0; i < table.key.size(); ++i)
    parts.emplace_back(table.source_column(table.key[i]).name,
                       text_field(*row, 0, static_cast<int>(i)));
  return parts;
}

std::string hex_text(const std::string& bytes) {
  std::string hex = "\\x";
  for (const char c : bytes) hex += fmt::format("{:02x}", static_cast<unsigned char>(c));
  return hex;
}

}  // namespace lockstep
