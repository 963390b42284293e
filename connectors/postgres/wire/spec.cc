#include "connectors/postgres/wire/spec.h"

#include <algorithm>
#include <array>
#include <optional>
#include <utility>

#include "pipeline/base/result.h"
#include "pipeline/tables/table_stream.h"

namespace lockstep {
namespace {

TypeKind builtin_kind(std::uint32_t oid) {
  static const std::unordered_map<std::uint32_t, TypeKind> kKinds{
      {16, TypeKind::Bool},       {17, TypeKind::Bytea},       {18, TypeKind::InternalChar},
      {19, TypeKind::Name},       {20, TypeKind::Int8},        {21, TypeKind::Int2},
      {23, TypeKind::Int4},       {25, TypeKind::Text},        {26, TypeKind::Oid},
      {114, TypeKind::Json},      {600, TypeKind::Point},      {650, TypeKind::Cidr},
      {700, TypeKind::Float4},    {701, TypeKind::Float8},     {774, TypeKind::MacAddr8},
      {790, TypeKind::Money},     {829, TypeKind::MacAddr},    {869, TypeKind::Inet},
      {1042, TypeKind::Bpchar},   {1043, TypeKind::Varchar},   {1082, TypeKind::Date},
      {1083, TypeKind::Time},     {1114, TypeKind::Timestamp}, {1184, TypeKind::TimestampTz},
      {1186, TypeKind::Interval}, {1266, TypeKind::TimeTz},    {1560, TypeKind::Bit},
      {1562, TypeKind::VarBit},   {1700, TypeKind::Numeric},   {2950, TypeKind::Uuid},
      {3220, TypeKind::PgLsn},    {3802, TypeKind::Jsonb},     {5069, TypeKind::Xid8},
  };
  const auto found = kKinds.find(oid);
  return found == kKinds.end() ? TypeKind::Other : found->second;
}

// Of a type that is not a domain.
TypeKind kind_of(const CatalogType& type) {
  if (type.element != 0) return TypeKind::Array;
  if (type.type == 'r') return TypeKind::Range;
  if (type.type == 'c') return TypeKind::Composite;
  if (type.type == 'e') return TypeKind::Enum;
  if (type.oid < kFirstUserOid) return builtin_kind(type.oid);
  // The name alone is no proof: anyone may call a type citext.
  if (type.extension != type.name) return TypeKind::Other;
  if (type.name == "citext") return TypeKind::Citext;
  if (type.name == "hstore") return TypeKind::Hstore;
  if (type.name == "ltree") return TypeKind::Ltree;
  return TypeKind::Other;
}

// format_type() of an array is that of its element and these two characters.
std::string element_sql(const std::string& array_sql) {
  return array_sql.ends_with("[]") ? array_sql.substr(0, array_sql.size() - 2) : array_sql;
}

std::optional<std::vector<std::size_t>> columns_of(const TableSpec& spec,
                                                   const CatalogIndex& index) {
  std::vector<std::size_t> columns;
  for (const std::int16_t attnum : index.attnums) {
    const auto found = std::find_if(spec.columns.begin(), spec.columns.end(),
                                    [attnum](const Column& c) { return c.attnum == attnum; });
    if (found == spec.columns.end()) return std::nullopt;
    columns.push_back(static_cast<std::size_t>(found - spec.columns.begin()));
  }
  return columns;
}

bool can_be_key(const TableSpec& spec, const CatalogIndex& index) {
  if (!index.own || !index.unique || !index.valid) return false;
  if (index.primary) return true;
  if (!index.immediate || !index.whole) return false;
  const auto columns = columns_of(spec, index);
  return columns.has_value() &&
         std::all_of(columns->begin(), columns->end(),
                     [&spec](std::size_t c) { return spec.columns[c].not_null; });
}

const CatalogIndex* pick(const std::vector<const CatalogIndex*>& candidates) {
  const auto first = [&](auto&& wanted) {
    const auto found = std::ranges::find_if(candidates, wanted);
    return found == candidates.end() ? nullptr : *found;
  };
  if (const auto* index = first([](const auto* i) { return i->replica_identity && i->immediate; }))
    return index;
  if (const auto* index = first([](const auto* i) { return i->primary && i->immediate; }))
    return index;
  // A deferrable primary key is the last choice: its values may be taken twice for a while.
  const auto immediate =
      std::ranges::count_if(candidates, [](const auto* i) { return i->immediate; });
  if (immediate == 1) return first([](const auto* i) { return i->immediate; });
  return immediate == 0 && !candidates.empty() ? candidates.front() : nullptr;
}

// An index over the key's columns and more refuses no row that the key lets in.
bool holds_key(const CatalogIndex& index, const CatalogIndex* key) {
  return key != nullptr && index.own && index.unique && index.whole &&
         std::ranges::all_of(key->attnums, [&](std::int16_t column) {
           return std::ranges::find(index.attnums, column) != index.attnums.end();
         });
}

}  // namespace

void add_folding(std::string& all, const std::string& one) {
  if (one.empty()) return;
  all += (all.empty() ? "" : ", ") + one;
}

void TypeCatalog::add(CatalogType type) { types_[type.oid] = std::move(type); }

void TypeCatalog::add_attribute(std::uint32_t oid, CatalogAttribute attribute) {
  const auto found = types_.find(oid);
  CHECK(found != types_.end());
  found->second.attributes.push_back(std::move(attribute));
}

void TypeCatalog::add_label(std::uint32_t oid, Member label) {
  const auto found = types_.find(oid);
  CHECK(found != types_.end());
  found->second.labels.push_back(std::move(label));
}

void TypeCatalog::add_check(std::uint32_t oid, CheckRule check) {
  const auto found = types_.find(oid);
  CHECK(found != types_.end());
  found->second.checks.push_back(std::move(check));
}

const CatalogType* TypeCatalog::find(std::uint32_t oid) const {
  const auto found = types_.find(oid);
  return found == types_.end() ? nullptr : &found->second;
}

// An extension's type is one type in whichever schema it is; an array is what its elements are.
std::string TypeCatalog::identity(const CatalogType& type) const {
  if (const CatalogType* const element = find(type.element)) return identity(*element) + "[]";
  if (!type.extension.empty()) return "extension " + type.extension + ": " + type.name;
  return type.schema + "." + type.name;
}

Type TypeCatalog::resolve(std::uint32_t oid, std::int32_t typmod, const std::string& sql) const {
  Type type;
  type.oid = type.base_oid = oid;
  type.sql = type.base_sql = sql;
  type.typmod = typmod;
  type.user_defined = oid >= kFirstUserOid;
  const CatalogType* row = find(oid);
  if (row != nullptr) type.identity = identity(*row);
  type.has_default = row != nullptr && row->has_default;
  // Domains may stand on domains; only the lowest one's typmod counts.
  while (row != nullptr && row->type == 'd') {
    type.base_oid = row->base;
    type.base_sql = row->base_sql;
    type.typmod = row->base_typmod;
    type.checks.insert(type.checks.end(), row->checks.begin(), row->checks.end());
    row = find(row->base);
  }
  if (row == nullptr) {
    type.has_binary = false;
    return type;
  }
  type.kind = kind_of(*row);
  type.has_binary = row->sendable;
  type.base_identity = identity(*row);
  type.folding = row->folding;
  if (type.kind == TypeKind::Citext) add_folding(type.folding, "citext under " + ctype_);
  resolve_parts(*row, type);
  return type;
}

void TypeCatalog::resolve_parts(const CatalogType& row, Type& type) const {
  if (type.kind == TypeKind::Array)
    type.inner.push_back(resolve(row.element, type.typmod, element_sql(type.base_sql)));
  if (const CatalogType* const bound = find(row.bound))
    type.inner.push_back(resolve(row.bound, -1, bound->sql));
  type.members = row.labels;
  for (const CatalogAttribute& attribute : row.attributes) {
    type.inner.push_back(resolve(attribute.type, attribute.typmod, attribute.sql));
    type.members.push_back(attribute.member);
    add_folding(type.folding, attribute.folding);
  }
  for (const Type& inner : type.inner) {
    // The send function of what is made of parts exists always, and fails for a part without one.
    type.has_binary = type.has_binary && inner.has_binary;
    add_folding(type.folding, inner.folding);
  }
}

void choose_key(TableSpec& spec, const std::vector<CatalogIndex>& indexes) {
  std::vector<const CatalogIndex*> candidates;
  for (const CatalogIndex& index : indexes) {
    if (!can_be_key(spec, index)) continue;
    candidates.push_back(&index);
    spec.keys.push_back({index.name, columns_of(spec, index).value_or(std::vector<std::size_t>()),
                         index.primary, !index.immediate});
  }
  const CatalogIndex* key = pick(candidates);
  if (key != nullptr) {
    if (auto columns = columns_of(spec, *key); columns.has_value()) spec.key = std::move(*columns);
    spec.key_index = key->name;
    spec.key_id = key->id;
    spec.key_is_primary = key->primary;
    spec.key_deferrable = !key->immediate;
  }
  for (const CatalogIndex& index : indexes) {
    if (!index.immediate) {
      const auto columns = columns_of(spec, index);
      if (index.own && index.unique && index.whole && columns)
        spec.deferrables.push_back({index.name, *columns, index.primary, true});
      continue;
    }
    spec.uniques.push_back(index.rule);
    if (&index != key && !holds_key(index, key)) spec.secondary_unique = true;
  }
}

std::optional<std::string> column_drift(const TableSpec& spec,
                                        const std::vector<ColumnShape>& current) {
  std::vector<std::int16_t> known;
  for (const Column& column : spec.columns) {
    known.push_back(column.attnum);
    const auto now = std::find_if(current.begin(), current.end(), [&column](const ColumnShape& c) {
      return c.attnum == column.attnum;
    });
    const std::string name = "column " + quote_identifier(column.name);
    if (now == current.end()) return name + " was dropped";
    if (now->name != column.name) return name + " was renamed to " + quote_identifier(now->name);
    if (now->base_oid != column.type.base_oid || now->typmod != column.type.typmod)
      return name + " has another type now, not " + column.type.sql;
  }
  for (const ColumnShape& column : current) {
    if (std::find(known.begin(), known.end(), column.attnum) == known.end())
      return "column " + quote_identifier(column.name) + " was added";
  }
  return std::nullopt;
}

}  // namespace lockstep
