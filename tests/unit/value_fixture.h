// cell(): what becomes of one JSON value in a column of some type, as text for the tests of values.
#pragma once

#include <string>
#include <string_view>

#include "pipeline/decode/debezium/column_codec.h"
#include "tests/unit/decode_fixture.h"

namespace lockstep {

struct Given {
  Type type;
  Plane plane = Plane::Binary;
  bool toastable = false;
  bool not_null = false;
  bool reread_arrays = false;
  bool has_default = false;
  DecodeSettings settings = {};
};

// What becomes of `json` in such a column: the cell's bytes in hex, or why there are none.
inline std::string cell(const Given& setup, const std::string& json) {
  Column column = column_of("v", setup.type);
  column.toastable = setup.toastable;
  column.not_null = setup.not_null;
  column.has_default = setup.has_default;
  TableMap table = table_of({column}, 0);
  table.columns[0].plane = setup.plane;
  table.columns[0].reread_arrays = setup.reread_arrays;
  const ColumnCodec codec(table, 0, setup.settings);
  ondemand::parser parser;
  CodecScratch scratch;
  const simdjson::padded_string padded("{\"v\":" + json + "}");
  ondemand::document document;
  ondemand::value value;
  if (parser.iterate(padded).get(document) != simdjson::SUCCESS) return "not UTF-8";
  if (document["v"].get(value) != simdjson::SUCCESS) return "not JSON";
  std::string row;
  switch (codec.encode(value, scratch, row)) {
    case Carry::Value:
    case Carry::Null:
      return cells_of(row).at(0);
    case Carry::Unavailable:
      return cells_of(row).at(0) == "unavailable" ? "unavailable" : "wrong cell";
    case Carry::Doubtful:
      return "doubtful";
    case Carry::Unreadable:
      return "unreadable";
    case Carry::Refused:
      return "refused";
  }
  return "";
}

inline std::string cell(TypeKind kind, const std::string& json) {
  return cell({.type = type_of(kind)}, json);
}
inline std::string cell(const Type& type, const std::string& json) {
  return cell({.type = type}, json);
}
inline std::string quoted_text(std::string_view text) { return '"' + std::string(text) + '"'; }

}  // namespace lockstep
