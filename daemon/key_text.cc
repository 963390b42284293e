#include "daemon/key_text.h"

#include <fmt/format.h>

#include <boost/json.hpp>
#include <cstdint>
#include <random>
#include <utility>
#include <vector>

#include "pipeline/model/row.h"
#include "pipeline/tables/compared.h"

namespace lockstep {
namespace {

PostgresConnection connect_soon(const Manifest& manifest, Side side) {
  PostgresOptions options = connection_options(manifest, side, "quarantine");
  options.keywords.emplace_back("connect_timeout", "5");
  options.setup.emplace_back("SET statement_timeout = 10000");
  return PostgresConnection(std::move(options));
}

// A column of cells that the server renders.
struct Shown {
  std::string name;
  bool binary = true;
  std::uint32_t type = 0;
};

// The type whose binary form a compared cell has; see common_type() of compared.cc.
std::uint32_t compared_type(const ColumnMap& column, const Type& type) {
  constexpr std::uint32_t kText = 25;
  constexpr std::uint32_t kTextArray = 1009;
  if (column.read_as == "pg_catalog.text") return kText;
  return column.read_as == "pg_catalog.text[]" ? kTextArray : type.base_oid;
}

constexpr std::uint32_t kBpchar = 1042;

// Nothing where the cells do not fit the columns, or the server does not answer.
KeyTexts::Parts render(PostgresConnection& server, const std::vector<Shown>& columns,
                       const std::string& row) {
  if (!well_formed_cells(row, columns.size())) return {};
  std::string sql = "SELECT ";
  std::vector<PgParam> parameters;
  CellReader cells(row);
  for (const Shown& column : columns) {
    const Cell cell = cells.next();
    PgParam parameter;
    if (cell.presence == Presence::Value) parameter.value = cell.bytes;
    parameter.binary = column.binary;
    if (column.binary) parameter.type = column.type;
    parameters.push_back(parameter);
    // A cast of bpchar would cut its blanks off; of NULL there is nothing to cut.
    const bool padded = column.binary && column.type == kBpchar && parameter.value;
    const std::size_t number = parameters.size();
    if (number > 1) sql += ", ";
    sql += padded ? fmt::format("pg_catalog.concat(${})", number)
                  : fmt::format("${}::pg_catalog.text", number);
  }
  const auto answer = server.run(sql, parameters);
  if (!answer) return {};
  KeyTexts::Parts parts;
  for (int i = 0; i < static_cast<int>(columns.size()); ++i) {
    const bool null = is_null(*answer, 0, i);
    parts.emplace_back(columns[static_cast<std::size_t>(i)].name,
                       null ? std::nullopt : std::optional(text_field(*answer, 0, i)));
  }
  return parts;
}

}  // namespace

KeyTexts::KeyTexts(const Manifest& manifest)
    : source_(connect_soon(manifest, Side::Source)), target_(connect_soon(manifest, Side::Target)) {
  auto plan = plan_tables(source_, target_, manifest);
  if (plan)
    plan_ = std::move(*plan);
  else
    fault_ = std::move(plan).error();
}

std::string KeyTexts::text(const TableName& table, const std::string& key) {
  std::string text;
  for (const auto& [column, value] : parts(table, key))
    text += fmt::format("{}{}={}", text.empty() ? "" : ", ", column, value.value_or("NULL"));
  return text.empty() ? hex_text(key) : text;
}

const TableMap* KeyTexts::find(const TableName& table) const {
  for (const PlannedTable& planned : plan_.tables)
    if (planned.map && planned.map->source.name.text() == table.text()) return &*planned.map;
  return nullptr;
}

KeyTexts::Parts KeyTexts::parts(const TableName& table, const std::string& key) {
  const TableMap* const map = find(table);
  if (map == nullptr) return {};
  std::vector<Shown> columns;
  for (const std::size_t i : map->key) {
    const ColumnMap& column = map->columns[i];
    columns.push_back({map->source_column(i).name, column.plane == Plane::Binary,
                       map->source.columns[column.source].type.base_oid});
  }
  return render(source_, columns, key);
}

KeyTexts::Parts KeyTexts::row(const TableName& table, const std::string& cells) {
  const TableMap* const map = find(table);
  if (map == nullptr) return {};
  const Compared compared(*map, 0);
  const TableMap& view = compared.view(Compared::From::Target);
  std::vector<Shown> columns;
  for (std::size_t i = 0; i < map->columns.size(); ++i) {
    const ColumnMap& column = view.columns[i];
    columns.push_back({map->source_column(i).name, column.plane == Plane::Binary,
                       compared_type(column, view.source_column(i).type)});
  }
  return render(target_, columns, cells);
}

std::string hex_text(const std::string& bytes) {
  std::string hex = "\\x";
  for (const char c : bytes) hex += fmt::format("{:02x}", static_cast<unsigned char>(c));
  return hex;
}

// A seed that nobody knows: else whoever guesses a key could tell that it is one.
std::string masked_text(const std::string& bytes) {
  static const std::uint64_t seed = [] {
    std::random_device random;
    return std::uint64_t{random()} << 32 | random();
  }();
  const Hash128 hash = hash128(bytes, seed);
  return fmt::format("#{:016x}{:016x}", hash.high, hash.low);
}

boost::json::value parts_json(const KeyTexts::Parts& parts, const std::string& bytes) {
  if (bytes.empty()) return nullptr;
  if (parts.empty()) return boost::json::value(hex_text(bytes));
  boost::json::object object;
  for (const auto& [name, text] : parts)
    object[name] = text ? boost::json::value(*text) : boost::json::value(nullptr);
  return object;
}

}  // namespace lockstep
