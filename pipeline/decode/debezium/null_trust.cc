#include "pipeline/decode/debezium/null_trust.h"

#include "pipeline/tables/table_stream.h"

namespace lockstep {
namespace {

// Arrays whose schema can hold the placeholder (4.4).
bool element_holds_placeholder(const Type& type) {
  if (type.inner.empty()) return false;
  switch (type.inner[0].kind) {
    case TypeKind::Text:
    case TypeKind::Varchar:
    case TypeKind::Bpchar:
    case TypeKind::Json:
    case TypeKind::Jsonb:
    case TypeKind::Bytea:
    case TypeKind::Int4:
    case TypeKind::Int8:
    case TypeKind::Date:
    case TypeKind::Uuid:
      return true;
    default:
      return false;
  }
}

// Types whose schema can hold the placeholder, or whose values are too short ever to be TOASTed.
// bytea is not among them: under binary.handling.mode=base64, which cannot be seen without a schema
// part, its placeholder becomes null.
bool holds_placeholder(const Type& type) {
  switch (type.kind) {
    case TypeKind::Text:
    case TypeKind::Varchar:
    case TypeKind::Bpchar:
    case TypeKind::Citext:
    case TypeKind::Json:
    case TypeKind::Jsonb:
    case TypeKind::Hstore:
    case TypeKind::Inet:
    case TypeKind::Cidr:
      return true;
    case TypeKind::Range:
      return !type.user_defined;
    case TypeKind::Other:
      return type.sql == "xml";
    case TypeKind::Array:
      return element_holds_placeholder(type);
    default:
      return false;
  }
}

// Under FULL, values that did not change are taken from the old row.  A root's own setting says
// nothing about its leaves.
bool unchanged_values_are_resolved(const TableSpec& spec) {
  return spec.has_whole_images() && spec.kind != RelationKind::PartitionedRoot;
}

}  // namespace

bool null_is_trusted(const TableMap& table, const Column& column, const DecodeSettings& settings) {
  if (column.not_null) return false;
  if (column.type.kind == TypeKind::Name && !settings.include_unknown) return false;
  if (!settings.failure_mode_warn) return true;
  // The driver's interval has 32-bit hours.
  if (column.type.kind == TypeKind::Interval || conversion_fails(column.type)) return false;
  return !column.toastable || unchanged_values_are_resolved(table.source) ||
         holds_placeholder(column.type);
}

}  // namespace lockstep
