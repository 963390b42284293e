// Fake tables: one shape for all tables of the simulator, and their rows as people read them.
//
//   key        integer, or numeric, where 1.0 and 1.00 are one key
//   a          a value that every event carries, unless it is doubtful
//   toast      a large value: an update that leaves it alone does not carry it
//   u          a secondary unique value where the table says so; empty: NULL
#pragma once

#include <compare>
#include <cstdint>
#include <string>
#include <string_view>

#include "pipeline/model/change.h"
#include "pipeline/model/table.h"

namespace lockstep {

struct FakeRow {
  int id = 0;     // The key, as both servers compare it.
  int scale = 0;  // Of a numeric key: how many zeros it is written with.
  std::string a;
  std::string toast;
  std::string u;

  friend bool operator==(const FakeRow&, const FakeRow&) = default;
};

std::string text_of(const FakeRow& row);

enum class KeyKind : std::uint8_t { Integer, Numeric };

struct FakeTableOptions {
  TableId id = 0;
  KeyKind key = KeyKind::Integer;
  bool unique = false;
  LaneMode lanes = LaneMode::Auto;
  bool direct_copy = true;
};

TableMap fake_table(const FakeTableOptions& options);

// Which values of a row an event carries.
struct Carried {
  bool a = true;
  bool toast = true;
  bool u = true;
};

std::string key_cells(const TableMap& table, int id, int scale);
std::string row_cells(const TableMap& table, const FakeRow& row, Carried carried = {});
int key_id(const TableMap& table, std::string_view key);
// REQUIRES: there is one of that name.
const TableMap& table_named(const std::vector<TableMap>& tables, std::string_view name);

// The reverse of row_cells().
struct ReadRow {
  FakeRow row;
  Carried carried;
};
ReadRow read_row(const TableMap& table, std::string_view cells);

// For a trace.
std::string text_of(const TableMap& table, const Change& change);

// What triggers of the target do: it refuses to write such a row, ...
inline bool refused_value(const FakeRow& row) { return row.a.starts_with('!'); }
// ... takes the statement and writes nothing, ...
inline bool swallowed_value(const FakeRow& row) { return row.a.starts_with('~'); }
// ... or refuses to delete it.
inline bool kept_value(const FakeRow& row) { return row.a.starts_with('#'); }
inline bool disliked_value(const FakeRow& row) {
  return refused_value(row) || swallowed_value(row) || kept_value(row);
}

}  // namespace lockstep
