// The truth behind a capture: tables and their rows in PostgreSQL's own binary form, as
// make_debezium_truth.py and make_parity_capture.py write them.
#pragma once

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <map>
#include <set>
#include <sstream>
#include <string>
#include <vector>

#include "tests/unit/decode_fixture.h"

namespace lockstep {

using Fields = std::vector<std::string>;

inline const std::filesystem::path kFolder =
    std::filesystem::path(LOCKSTEP_SOURCE_DIR) / "tests/golden/debezium";

inline const std::map<std::string, TypeKind> kKinds = {
    {"Bool", TypeKind::Bool},
    {"Int2", TypeKind::Int2},
    {"Int4", TypeKind::Int4},
    {"Int8", TypeKind::Int8},
    {"Oid", TypeKind::Oid},
    {"Float4", TypeKind::Float4},
    {"Float8", TypeKind::Float8},
    {"Numeric", TypeKind::Numeric},
    {"Money", TypeKind::Money},
    {"Text", TypeKind::Text},
    {"Varchar", TypeKind::Varchar},
    {"Bpchar", TypeKind::Bpchar},
    {"Name", TypeKind::Name},
    {"InternalChar", TypeKind::InternalChar},
    {"Citext", TypeKind::Citext},
    {"Enum", TypeKind::Enum},
    {"Bytea", TypeKind::Bytea},
    {"Uuid", TypeKind::Uuid},
    {"Json", TypeKind::Json},
    {"Jsonb", TypeKind::Jsonb},
    {"Date", TypeKind::Date},
    {"Time", TypeKind::Time},
    {"TimeTz", TypeKind::TimeTz},
    {"Timestamp", TypeKind::Timestamp},
    {"TimestampTz", TypeKind::TimestampTz},
    {"Interval", TypeKind::Interval},
    {"Bit", TypeKind::Bit},
    {"VarBit", TypeKind::VarBit},
    {"Inet", TypeKind::Inet},
    {"Cidr", TypeKind::Cidr},
    {"MacAddr", TypeKind::MacAddr},
    {"MacAddr8", TypeKind::MacAddr8},
    {"PgLsn", TypeKind::PgLsn},
    {"Xid8", TypeKind::Xid8},
    {"Point", TypeKind::Point},
    {"Hstore", TypeKind::Hstore},
    {"Ltree", TypeKind::Ltree},
    {"Array", TypeKind::Array},
    {"Range", TypeKind::Range},
    {"Other", TypeKind::Other},
};

// One table of truth.tsv.
struct Truth {
  TableSpec spec;
  std::vector<Plane> planes;  // Of each column.
  std::vector<Fields> rows;   // Cells of the columns that are not generated, oldest first.
  // By key in hex: the columns that its event does not carry; empty where nobody wrote them down.
  std::map<std::string, std::set<std::string>> owed;
};

inline Fields split(const std::string& line) {
  Fields fields;
  std::istringstream stream(line);
  for (std::string field; std::getline(stream, field, '\t');) fields.push_back(field);
  return fields;
}

inline constexpr std::uint32_t kXmlOid = 142;

inline Column read_column(const Fields& fields) {
  Type type = type_of(kKinds.at(fields[2]), static_cast<std::uint32_t>(std::stoul(fields[3])),
                      std::stoi(fields[5]));
  type.base_oid = static_cast<std::uint32_t>(std::stoul(fields[4]));
  type.user_defined = type.base_oid >= 16384;
  if (fields[10] != "-") {
    Type inner = type_of(kKinds.at(fields[10]), static_cast<std::uint32_t>(std::stoul(fields[11])));
    inner.base_oid = static_cast<std::uint32_t>(std::stoul(fields[12]));
    const std::string bound = fields.size() > 14 ? fields[14] : "-";
    if (bound != "-") inner.inner = {type_of(kKinds.at(bound))};
    type.inner = {inner};
  }
  if (type.base_oid == kXmlOid) type.sql = type.base_sql = "xml";
  Column column = column_of(fields[1], type);
  column.not_null = fields[6] == "1";
  column.toastable = fields[7] == "1";
  column.generated = fields[8] == "1";
  column.has_default = fields[13] == "1";
  return column;
}

inline std::map<std::string, Truth> read_truth(const std::string& name) {
  std::map<std::string, Truth> tables;
  Truth* table = nullptr;
  std::ifstream file(kFolder / name);
  std::vector<std::string> key;
  for (std::string line; std::getline(file, line);) {
    const Fields fields = split(line);
    if (fields[0] == "table") {
      table = &tables[fields[2]];
      table->spec.name = {fields[1], fields[2]};
      if (fields[3] == "f") table->spec.replica_identity = ReplicaIdentity::Full;
      key.assign(fields.begin() + 4, fields.end());
      table->spec.key.resize(key.size());
    } else if (fields[0] == "column") {
      const auto at = std::ranges::find(key, fields[1]);
      const auto position = static_cast<std::size_t>(at - key.begin());
      if (at != key.end()) table->spec.key[position] = table->spec.columns.size();
      table->spec.columns.push_back(read_column(fields));
      table->planes.push_back(fields[9] == "text" ? Plane::Text : Plane::Binary);
    } else if (fields[0] == "owed") {
      table->owed[fields[1]].insert(fields.begin() + 2, fields.end());
    } else {
      table->rows.emplace_back(fields.begin() + 1, fields.end());
    }
  }
  return tables;
}

// A table of the truth, without the columns of the types that are left out.
template <class LeftOut>
TableMap map_of(const Truth& truth, TableId id, const LeftOut& left_out) {
  TableMap table;
  table.id = id;
  table.source = table.target = truth.spec;
  for (std::size_t i = 0; i < truth.spec.columns.size(); ++i) {
    const Column& column = truth.spec.columns[i];
    if (column.generated || left_out(column.type)) continue;
    table.columns.push_back({.source = i, .target = i, .plane = truth.planes[i]});
  }
  for (const std::size_t key : truth.spec.key) {
    const auto at = std::ranges::find(table.columns, key, &ColumnMap::source);
    table.key.push_back(static_cast<std::size_t>(at - table.columns.begin()));
    table.canonical.push_back(CanonicalRule::Bytes);
  }
  if (table.source.name.table == "part") {
    table.source.leaves = {{"public", "part_1"}, {"public", "part_2"}};
  }
  return table;
}

}  // namespace lockstep
