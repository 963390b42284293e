// Types, columns and tables as the catalogs would give them, for the tests of table plans.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "pipeline/model/table.h"

namespace lockstep {

using Kind = TypeKind;

inline constexpr std::uint32_t kUserOid = 20'000;

inline Type type(Kind kind, const std::string& sql, std::int32_t typmod = -1) {
  Type t;
  t.kind = kind;
  t.oid = t.base_oid = 100 + static_cast<std::uint32_t>(kind);
  t.sql = t.base_sql = sql;
  t.identity = t.base_identity = sql.substr(0, sql.find('('));
  t.typmod = typmod;
  return t;
}
inline Type user_type(Kind kind, const std::string& sql, std::uint32_t oid = kUserOid) {
  Type t = type(kind, sql);
  t.oid = t.base_oid = oid;
  if (kind == Kind::Citext) t.identity = t.base_identity = "extension citext: citext";
  t.user_defined = true;
  return t;
}
inline Type domain_of(Type base, const std::string& sql) {
  base.oid = kUserOid + 1;
  base.sql = base.identity = sql;
  base.user_defined = true;
  return base;
}
inline Type array_of(const Type& element) {
  Type t = type(Kind::Array, element.sql + "[]", element.typmod);
  t.user_defined = element.user_defined;
  if (t.user_defined) t.oid = t.base_oid = element.oid + 1000;
  t.identity = t.base_identity = element.identity + "[]";
  t.inner = {element};
  return t;
}
inline Type composite_of(std::vector<Type> attributes, const std::string& sql) {
  Type t = user_type(Kind::Composite, sql);
  for (Type& attribute : attributes) {
    t.members.push_back({0, "a" + std::to_string(t.inner.size())});
    t.inner.push_back(std::move(attribute));
  }
  return t;
}
inline Type enum_of(const std::vector<std::string>& labels) {
  Type t = user_type(Kind::Enum, "public.mood");
  for (const std::string& label : labels) t.members.push_back({0, label});
  return t;
}
inline Type composite_of(const std::vector<std::pair<std::string, Type>>& attributes) {
  Type t = user_type(Kind::Composite, "public.pair");
  for (const auto& [name, attribute] : attributes) {
    t.members.push_back({0, name});
    t.inner.push_back(attribute);
  }
  return t;
}
inline Type range_of(const Type& bound, const std::string& sql) {
  Type t = type(Kind::Range, sql);
  t.inner = {bound};
  return t;
}
inline std::int32_t numeric_typmod(int precision, int scale) {
  return ((precision << 16) | (scale & 0x7ff)) + 4;
}
inline Type numeric(int precision, int scale) {
  return type(Kind::Numeric,
              "numeric(" + std::to_string(precision) + "," + std::to_string(scale) + ")",
              numeric_typmod(precision, scale));
}
inline Type varchar(int n) {
  return type(Kind::Varchar, "varchar(" + std::to_string(n) + ")", n + 4);
}

inline const Type kInt4 = type(Kind::Int4, "integer");
inline const Type kInt8 = type(Kind::Int8, "bigint");
inline const Type kText = type(Kind::Text, "text");
inline const Type kNumeric = type(Kind::Numeric, "numeric");

inline Column column(const std::string& name, const Type& t) {
  Column c;
  c.name = name;
  c.type = t;
  return c;
}

// A table whose first column is its primary key.
inline TableSpec table(const std::string& name, std::vector<Column> columns) {
  TableSpec spec;
  spec.name = {"public", name};
  spec.columns = std::move(columns);
  spec.columns[0].not_null = true;
  spec.key = {0};
  spec.key_is_primary = true;
  spec.key_index = name + "_pkey";
  return spec;
}

}  // namespace lockstep
