#include "pipeline/tables/translate.h"

#include <utility>

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
  for (std::size_t i = 0; i < map.columns.size(); ++i) add(map, i, i, row_);
  for (std::size_t i = 0; i < map.key.size(); ++i) add(map, map.key[i], i, key_);
}

// Under a cast the target reads the source's type, which both servers know by the same OID.
void Translator::add(const TableMap& map, std::size_t column, std::size_t cell,
                     std::vector<Foreign>& changes) {
  const ColumnMap& how = map.columns[column];
  if (how.cast || how.plane != Plane::Binary) return;
  TypeOids oids(map.source_column(column).type, map.target_column(column).type);
  if (!oids.same()) changes.push_back({cell, std::move(oids)});
}

std::string_view Translator::row(std::string_view cells, std::string& scratch) const {
  return row_.empty() ? cells : rewrite(row_, cells, scratch);
}

std::string_view Translator::key(std::string_view cells, std::string& scratch) const {
  return key_.empty() ? cells : rewrite(key_, cells, scratch);
}

std::string_view Translator::rewrite(const std::vector<Foreign>& changes, std::string_view cells,
                                     std::string& scratch) {
  scratch.assign(cells);
  CellReader reader(cells);
  std::size_t at = 0;
  for (const Foreign& change : changes) {
    for (; at < change.cell; ++at) static_cast<void>(reader.next());
    const Cell cell = reader.next();
    ++at;
    if (cell.presence != Presence::Value) continue;
    const auto offset = static_cast<std::size_t>(cell.bytes.data() - cells.data());
    change.oids.write(scratch.data() + offset, cell.bytes.size());
  }
  return scratch;
}

}  // namespace lockstep
