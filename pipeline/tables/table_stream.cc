#include "pipeline/tables/table_stream.h"

#include <algorithm>
#include <array>
#include <string_view>

namespace lockstep {
namespace {

using Kind = TypeKind;

constexpr std::string_view kUnknownRemedy = "include.unknown.datatypes=true";
constexpr std::string_view kUnknownElements =
    "Debezium leaves arrays of domains and of types it does not know out, or loses their shape";

bool is_domain(const Type& type) { return type.base_oid != 0 && type.oid != type.base_oid; }

// "public.geometry(Point,4326)" -> "geometry".
std::string_view bare_name(std::string_view sql) {
  sql = sql.substr(0, sql.find('('));
  if (const auto dot = sql.rfind('.'); dot != std::string_view::npos) sql.remove_prefix(dot + 1);
  return sql;
}

// Types of extensions that Debezium knows and sends as structures or arrays of numbers, which are
// not their text form.
bool is_structured(std::string_view name) {
  constexpr std::array<std::string_view, 5> kNames = {"geometry", "geography", "vector", "halfvec",
                                                      "sparsevec"};
  return std::find(kNames.begin(), kNames.end(), name) != kNames.end();
}

WireVerdict never(std::string_view reason, std::string_view remedy = {}) {
  return {WireForm::Never, std::string(reason), std::string(remedy)};
}

WireVerdict unknown_type(const StreamTraits& stream) {
  if (stream.unknown_types) return {WireForm::EncodedText, {}, {}};
  return never("Debezium leaves columns of this type out", kUnknownRemedy);
}

WireVerdict array_form(const Type& type, const StreamTraits& stream) {
  if (type.inner.empty()) return never("its element type is unknown");
  const Type& element = type.inner.front();
  if (is_domain(element)) return never(kUnknownElements);
  switch (element.kind) {
    case Kind::Money:
    case Kind::Name:
    case Kind::Interval:
    case Kind::VarBit:
    case Kind::Point:
    case Kind::PgLsn:
    case Kind::Xid8:
    case Kind::Bit:
      return never("Debezium leaves arrays of this type out");
    case Kind::Time:
      return never("Debezium cuts times in arrays to milliseconds, and 24:00 to 00:00");
    case Kind::TimeTz:
      return never("Debezium drops the offset of timetz");
    case Kind::Array:
      return never("Debezium cannot carry arrays of arrays");
    case Kind::Composite:
      return never(kUnknownElements);
    default:
      break;
  }
  if (element.kind != Kind::Other) {
    const WireVerdict verdict = debezium_form(element, stream);
    return verdict.form == WireForm::EncodedText ? never(kUnknownElements) : verdict;
  }
  const std::string_view name = bare_name(element.base_sql);
  if (name == "xml" || name == "refcursor" || name == "tsvector" || is_structured(name)) {
    return never("Debezium leaves arrays of this type out or sends another form");
  }
  return never(kUnknownElements);
}

WireVerdict other_form(const Type& type, const StreamTraits& stream) {
  const std::string_view name = bare_name(type.base_sql);
  if (type.base_oid < kFirstUserOid && (name == "xml" || name == "tsvector")) {
    return {WireForm::PlainText, {}, {}};
  }
  if (is_structured(name)) return never("Debezium sends another form than PostgreSQL's text");
  return unknown_type(stream);
}

}  // namespace

WireVerdict debezium_form(const Type& type, const StreamTraits& stream) {
  switch (type.kind) {
    case Kind::TimeTz:
      return never("Debezium drops the offset of timetz");
    case Kind::VarBit:
      return never("Debezium drops the length of varbit");
    case Kind::Interval:
      if (stream.exact_intervals) return {};
      return never("a number of microseconds cannot hold months and days",
                   "interval.handling.mode=string");
    case Kind::Name:
      if (stream.unknown_types) return {};
      return never("Debezium sends NULL for columns of type name", kUnknownRemedy);
    case Kind::PgLsn:
    case Kind::Xid8:
      if (stream.unknown_types) return {};
      return never("Debezium leaves columns of this type out", kUnknownRemedy);
    case Kind::Range:
      return type.base_oid >= kFirstUserOid ? unknown_type(stream) : WireVerdict{};
    case Kind::Array:
      return array_form(type, stream);
    case Kind::Composite:
      return unknown_type(stream);
    case Kind::Other:
      return other_form(type, stream);
    default:
      return {};
  }
}

bool text_is_binary(const Type& type) {
  switch (type.kind) {
    case Kind::Text:
    case Kind::Varchar:
    case Kind::Bpchar:
    case Kind::Name:
    case Kind::Citext:
    case Kind::Enum:
    case Kind::Json:
      return true;
    default:
      return false;
  }
}

bool refuses_its_binary(const Type& type) {
  constexpr std::uint32_t kTsquery = 3615;
  return type.base_oid == kTsquery || std::ranges::any_of(type.inner, refuses_its_binary);
}

bool fails_in_binary(const Type& type) {
  const bool has_parts =
      type.kind == Kind::Array || type.kind == Kind::Range || type.kind == Kind::Composite;
  return has_parts && !type.has_binary;
}

PlaceholderArray unchanged_array(const Type& element) {
  if (is_domain(element)) return PlaceholderArray::None;
  switch (element.kind) {
    case Kind::Text:
    case Kind::Varchar:
    case Kind::Bpchar:
    case Kind::Json:
    case Kind::Jsonb:
      return PlaceholderArray::Text;
    case Kind::Bytea:
      return PlaceholderArray::Bytes;
    case Kind::Int4:
    case Kind::Int8:
    case Kind::Date:
      return PlaceholderArray::Numbers;
    case Kind::Uuid:
      return PlaceholderArray::Uuid;
    default:
      return PlaceholderArray::None;
  }
}

bool placeholder_fits(const Type& type) {
  switch (type.kind) {
    case Kind::Numeric:
    case Kind::Bit:
    case Kind::VarBit:
    case Kind::Ltree:
    case Kind::Inet:
    case Kind::Cidr:
    case Kind::Other:
      return bare_name(type.base_sql) == "xml";
    case Kind::Array:
      break;
    case Kind::Composite:
      return false;
    default:
      return true;
  }
  return !type.inner.empty() && unchanged_array(type.inner.front()) != PlaceholderArray::None;
}

bool conversion_fails(const Type& type) {
  if (type.kind == Kind::VarBit) return type.typmod == 1;  // The empty one is no boolean.
  return type.kind == Kind::Array && !type.inner.empty() && type.inner.front().kind == Kind::Bit;
}

bool can_be_toasted(const Column& column) {
  if (!column.toastable) return false;
  // PostgreSQL moves a value out of line only where that saves room: it must be longer than the 24
  // bytes (aligned) of the pointer left behind.  28 digits are 8 groups and a header, 20 bytes.
  constexpr int kShortDigits = 28;
  const auto limits = numeric_limits(column.type.typmod);
  const bool is_short = column.type.kind == TypeKind::Numeric && limits &&
                        std::max(limits->first, limits->second) <= kShortDigits;
  const bool is_address = column.type.kind == TypeKind::Inet || column.type.kind == TypeKind::Cidr;
  return !is_short && !is_address;
}

}  // namespace lockstep
