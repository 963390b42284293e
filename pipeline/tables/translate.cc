#include "pipeline/tables/translate.h"

#include "pipeline/base/result.h"
#include "pipeline/model/row.h"

namespace lockstep {

bool identity(const TableMap& map) { return Translator(map).identity(); }

std::string quote_literal(std::string_view text) {
  CHECK(text.find('\0') == std::string_view::npos);
  std::string literal = "'";
  for (const char c : text) {
    if (c == '\'') literal += '\'';
    literal += c;
  }
  return literal += '\'';
}

namespace {

// The type to write a constant with.  An explicit cast to varchar(3) would cut a longer text off
// without a word; the assignment that follows complains.
std::string constant_type(const Type& type) {
  switch (type.kind) {
    case TypeKind::Varchar:
      return "pg_catalog.varchar";
    case TypeKind::Bpchar:
      return "pg_catalog.bpchar";
    case TypeKind::Bit:
    case TypeKind::VarBit:
      return "pg_catalog.varbit";
    default:
      return type.sql;
  }
}

}  // namespace

std::string constant_sql(const TableMap& map, const Constant& constant) {
  const Type& type = map.target.columns[constant.target].type;
  return (constant.text ? quote_literal(*constant.text) : "NULL") + "::" + constant_type(type);
}

Translator::Translator(const TableMap& map) {
  for (std::size_t i = 0; i < map.columns.size(); ++i) {
    if (const auto oid = element_oid(map, i)) row_.push_back({i, *oid});
  }
  for (std::size_t i = 0; i < map.key.size(); ++i) {
    if (const auto oid = element_oid(map, map.key[i])) key_.push_back({i, *oid});
  }
}

// Returns the OID to write, or nothing where the array goes as it is.  Under a cast the target
// reads the source's type, which both servers know by the same OID.
std::optional<std::uint32_t> Translator::element_oid(const TableMap& map, std::size_t column) {
  const ColumnMap& how = map.columns[column];
  const Type& from = map.source_column(column).type;
  const Type& to = map.target_column(column).type;
  const bool both_arrays = from.kind == TypeKind::Array && to.kind == TypeKind::Array &&
                           !from.inner.empty() && !to.inner.empty();
  if (!both_arrays || how.cast || how.plane != Plane::Binary) return std::nullopt;
  if (from.inner.front().oid == to.inner.front().oid) return std::nullopt;
  return to.inner.front().oid;
}

std::string_view Translator::row(std::string_view cells, std::string& scratch) const {
  return row_.empty() ? cells : rewrite(row_, cells, scratch);
}

std::string_view Translator::key(std::string_view cells, std::string& scratch) const {
  return key_.empty() ? cells : rewrite(key_, cells, scratch);
}

std::string_view Translator::rewrite(const std::vector<ElementType>& changes,
                                     std::string_view cells, std::string& scratch) {
  constexpr std::size_t kElementOid = 8;  // array_send: dimensions, flags, element type, ...
  constexpr std::size_t kHeader = 12;
  scratch.assign(cells);
  CellReader reader(cells);
  std::size_t at = 0;
  for (const ElementType& change : changes) {
    for (; at < change.cell; ++at) static_cast<void>(reader.next());
    const Cell cell = reader.next();
    ++at;
    if (cell.presence != Presence::Value || cell.bytes.size() < kHeader) continue;
    std::string oid;
    append_be32(oid, change.oid);
    const auto offset = static_cast<std::size_t>(cell.bytes.data() - cells.data()) + kElementOid;
    scratch.replace(offset, oid.size(), oid);
  }
  return scratch;
}

}  // namespace lockstep
