#include "tests/fakes/fake_table.h"

#include <fmt/format.h>

#include <algorithm>

#include "pipeline/model/row.h"

namespace lockstep {
namespace {

Column fake_column(const std::string& name, TypeKind kind) {
  Column column;
  column.name = name;
  column.type.kind = kind;
  return column;
}

// numeric_send() of a whole number below 10000.
std::string numeric_bytes(int id, int scale) {
  std::string bytes;
  append_be16(bytes, id == 0 ? 0 : 1);
  append_be16(bytes, 0);
  append_be16(bytes, 0);
  append_be16(bytes, static_cast<std::uint16_t>(scale));
  if (id != 0) append_be16(bytes, static_cast<std::uint16_t>(id));
  return bytes;
}

bool numeric_key(const TableMap& table) { return table.canonical[0] == CanonicalRule::Numeric; }

std::string key_bytes(const TableMap& table, int id, int scale) {
  if (numeric_key(table)) return numeric_bytes(id, scale);
  std::string bytes;
  append_be32(bytes, static_cast<std::uint32_t>(id));
  return bytes;
}

int id_of(const TableMap& table, std::string_view bytes) {
  if (!numeric_key(table)) return static_cast<int>(read_be32(bytes));
  return bytes.size() <= 8 ? 0 : read_be16(bytes.substr(8));
}

void append_text(std::string& cells, const std::string& text, bool carried) {
  if (!carried)
    append_unavailable(cells);
  else if (text.empty())
    append_null(cells);
  else
    append_value(cells, text);
}

std::string take_text(const Cell& cell, bool& carried) {
  carried = cell.presence != Presence::Unavailable;
  return std::string(cell.bytes);
}

}  // namespace

std::string text_of(const FakeRow& row) {
  return fmt::format("{}/{} a={} toast={} u={}", row.id, row.scale, row.a, row.toast, row.u);
}

TableMap fake_table(const FakeTableOptions& options) {
  TableMap table;
  table.id = options.id;
  table.source.name = {"public", fmt::format("t{}", options.id)};
  table.source.columns = {
      fake_column("key", options.key == KeyKind::Numeric ? TypeKind::Numeric : TypeKind::Int4),
      fake_column("a", TypeKind::Text), fake_column("toast", TypeKind::Text),
      fake_column("u", TypeKind::Text)};
  table.source.oid = options.id + 1;
  table.source.key = {0};
  table.source.secondary_unique = options.unique;
  table.target = table.source;
  for (std::size_t i = 0; i < table.source.columns.size(); ++i)
    table.columns.push_back({.source = i, .target = i});
  table.key = {0};
  table.canonical = {options.key == KeyKind::Numeric ? CanonicalRule::Numeric
                                                     : CanonicalRule::Bytes};
  table.lanes = options.lanes;
  table.ordered = options.unique;
  table.one_lane = options.unique && options.lanes != LaneMode::All;
  table.direct_copy = options.direct_copy;
  return table;
}

std::string key_cells(const TableMap& table, int id, int scale) {
  std::string cells;
  append_value(cells, key_bytes(table, id, scale));
  return cells;
}

std::string row_cells(const TableMap& table, const FakeRow& row, Carried carried) {
  std::string cells = key_cells(table, row.id, row.scale);
  append_text(cells, row.a, carried.a);
  append_text(cells, row.toast, carried.toast);
  append_text(cells, row.u, carried.u);
  return cells;
}

int key_id(const TableMap& table, std::string_view key) {
  return id_of(table, CellReader(key).next().bytes);
}

ReadRow read_row(const TableMap& table, std::string_view cells) {
  ReadRow read;
  CellReader reader(cells);
  const std::string_view key = reader.next().bytes;
  read.row.id = id_of(table, key);
  read.row.scale = numeric_key(table) ? read_be16(key.substr(6)) : 0;
  read.row.a = take_text(reader.next(), read.carried.a);
  read.row.toast = take_text(reader.next(), read.carried.toast);
  read.row.u = take_text(reader.next(), read.carried.u);
  return read;
}

std::string text_of(const TableMap& table, const Change& change) {
  constexpr std::string_view kinds[] = {"full", "partial", "delete", "truncate"};
  const std::string_view kind = kinds[static_cast<std::size_t>(change.kind)];
  if (change.kind == ChangeKind::Truncate) return fmt::format("t{} truncate", table.id);
  if (change.kind == ChangeKind::Delete)
    return fmt::format("t{} delete {}", table.id, key_id(table, change.row));
  return fmt::format("t{} {} {}", table.id, kind, text_of(read_row(table, change.row).row));
}

const TableMap& table_named(const std::vector<TableMap>& tables, std::string_view name) {
  const auto found = std::ranges::find(tables, name, &TableMap::text);
  CHECK(found != tables.end());
  return *found;
}

}  // namespace lockstep
