// Tables, columns and records for the tests of keys and of decoding, in few words.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "pipeline/decode/debezium/debezium.h"
#include "pipeline/model/row.h"
#include "pipeline/model/table.h"

namespace lockstep {

inline Type type_of(TypeKind kind, std::uint32_t oid = 0, std::int32_t typmod = -1) {
  Type type;
  type.kind = kind;
  type.oid = type.base_oid = oid;
  type.typmod = typmod;
  return type;
}

inline Type array_of(TypeKind kind, std::uint32_t element_oid = 0) {
  Type type = type_of(TypeKind::Array);
  type.inner = {type_of(kind, element_oid)};
  return type;
}

inline Type range_of(TypeKind kind) {
  Type type = type_of(TypeKind::Range);
  type.inner = {type_of(kind)};
  return type;
}

inline Column column_of(std::string name, Type type) {
  Column column;
  column.name = std::move(name);
  column.type = std::move(type);
  return column;
}

// A table public.t whose source and target are alike and whose first `keys` columns are its key.
inline TableMap table_of(std::vector<Column> columns, std::size_t keys) {
  TableMap table;
  table.id = 7;
  table.source.name = {"public", "t"};
  table.source.columns = std::move(columns);
  for (std::size_t i = 0; i < table.source.columns.size(); ++i) {
    table.columns.push_back({.source = i, .target = i});
  }
  for (std::size_t i = 0; i < keys; ++i) {
    table.source.key.push_back(i);
    table.key.push_back(i);
    table.canonical.push_back(CanonicalRule::Bytes);
  }
  table.target = table.source;
  return table;
}

inline std::string from_hex(std::string_view hex) {
  const auto digit = [](char c) { return c <= '9' ? c - '0' : (c | 0x20) - 'a' + 10; };
  std::string bytes;
  for (std::size_t i = 0; i + 1 < hex.size(); i += 2) {
    bytes.push_back(static_cast<char>(digit(hex[i]) * 16 + digit(hex[i + 1])));
  }
  return bytes;
}

inline std::string to_hex(std::string_view bytes) {
  constexpr std::string_view kDigits = "0123456789abcdef";
  std::string hex;
  for (const char c : bytes) {
    const auto byte = static_cast<std::uint8_t>(c);
    hex.push_back(kDigits[byte >> 4]);
    hex.push_back(kDigits[byte & 15]);
  }
  return hex;
}

// "01ff" for a value, "null", "unavailable".
inline std::string cell_text(const Cell& cell) {
  if (cell.presence == Presence::Null) return "null";
  return cell.presence == Presence::Unavailable ? "unavailable" : to_hex(cell.bytes);
}

inline std::vector<std::string> cells_of(std::string_view row) {
  std::vector<std::string> cells;
  for (CellReader reader(row); !reader.done();) cells.push_back(cell_text(reader.next()));
  return cells;
}

// Cells of the given values, in hex.
inline std::string row_of(const std::vector<std::string>& hex) {
  std::string row;
  for (const std::string& cell : hex) append_value(row, from_hex(cell));
  return row;
}

}  // namespace lockstep
