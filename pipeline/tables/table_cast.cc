#include "pipeline/tables/table_cast.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "pipeline/tables/same_type.h"

namespace lockstep {
namespace {

using Kind = TypeKind;

CastVerdict identical() { return {CastKind::Identical, true, {}, {}}; }
CastVerdict lossless() { return {CastKind::Lossless, true, {}, {}}; }
CastVerdict lossless_not_for_keys(std::string reason) {
  return {CastKind::Lossless, false, std::move(reason), {}};
}
CastVerdict refused(std::string reason, std::string hint = {}) {
  return {CastKind::Refused, false, std::move(reason), std::move(hint)};
}

bool is_one_of(Kind kind, std::initializer_list<Kind> kinds) {
  return std::find(kinds.begin(), kinds.end(), kind) != kinds.end();
}

// varchar, bpchar and the bit types: the limit of their length; nothing when there is none.
std::optional<int> length_limit(const Type& type) {
  if (type.typmod < 0) return std::nullopt;
  return is_one_of(type.kind, {Kind::Bit, Kind::VarBit}) ? type.typmod : type.typmod - 4;
}

bool length_fits(std::optional<int> from, std::optional<int> to) {
  return !to || (from && *from <= *to);
}

// Types with a fractional second: digits kept.
int second_digits(const Type& type) { return type.typmod < 0 ? 6 : type.typmod; }

// The longest integer of a type, in decimal digits; 0 for other types.
int integer_digits(Kind kind) {
  switch (kind) {
    case Kind::Int2:
      return 5;
    case Kind::Int4:
      return 10;
    case Kind::Int8:
      return 19;
    default:
      return 0;
  }
}

// Types whose text form is one per value, whatever the session's settings, and that PostgreSQL
// assigns to a string column.
bool has_stable_text(Kind kind) {
  return is_one_of(kind, {Kind::Bool, Kind::Int2, Kind::Int4, Kind::Int8, Kind::Oid, Kind::Name,
                          Kind::Enum, Kind::Uuid, Kind::Inet, Kind::Cidr, Kind::MacAddr,
                          Kind::MacAddr8, Kind::PgLsn, Kind::Xid8, Kind::Ltree});
}

CastVerdict from_integer(const Type& from, const Type& to) {
  const int digits = integer_digits(from.kind);
  if (const int wider = integer_digits(to.kind); wider > 0) {
    return wider > digits ? lossless() : refused("large values would not fit");
  }
  if (to.kind == Kind::Numeric) {
    const auto limits = numeric_limits(to.typmod);
    const bool fits = !limits || (limits->second >= 0 && limits->first - limits->second >= digits);
    return fits ? lossless() : refused("large values would not fit");
  }
  const bool exact = (to.kind == Kind::Float8 && digits <= 10) ||
                     (to.kind == Kind::Float4 && from.kind == Kind::Int2);
  if (exact) return lossless();
  return refused("the target's floating point cannot hold every integer exactly");
}

CastVerdict from_numeric(const Type& from, const Type& to) {
  if (to.kind != Kind::Numeric) return refused("fraction, range or NaN would be lost");
  const auto have = numeric_limits(from.typmod);
  const auto room = numeric_limits(to.typmod);
  if (!room) return lossless();
  if (!have) return refused("an unlimited numeric does not fit into a limited one");
  const bool fits =
      room->second >= have->second && room->first - room->second >= have->first - have->second;
  return fits ? lossless() : refused("digits before or after the point would be lost");
}

// To text, varchar or citext.
CastVerdict to_string_type(const Type& from, const Type& to) {
  const auto room = to.kind == Kind::Varchar ? length_limit(to) : std::nullopt;
  if (from.kind == Kind::Bpchar) return refused("the cast trims trailing blanks");
  const bool is_string = is_one_of(from.kind, {Kind::Text, Kind::Varchar, Kind::Citext});
  if (is_string) {
    const auto have = from.kind == Kind::Varchar ? length_limit(from) : std::nullopt;
    if (!length_fits(have, room)) return refused("long values would not fit");
    if (from.kind == Kind::Citext || to.kind == Kind::Citext) {
      return lossless_not_for_keys("one side ignores case, the other does not");
    }
    return lossless();
  }
  if (room) return refused("long values might not fit; text has room for all");
  if (has_stable_text(from.kind) && to.kind != Kind::Citext) return lossless();
  if (is_one_of(from.kind, {Kind::Json, Kind::Jsonb, Kind::Numeric}) && to.kind == Kind::Text) {
    return lossless_not_for_keys("equal values may have different text");
  }
  return refused("its text form depends on settings of the session or is not assigned to strings");
}

CastVerdict between_times(const Type& from, const Type& to) {
  if (from.kind == Kind::Date && to.kind == Kind::Timestamp) return lossless();
  if (from.kind == to.kind) {
    return second_digits(to) >= second_digits(from)
               ? lossless()
               : refused("fractions of a second would be lost");
  }
  return refused("the cast drops a part of the value or depends on the session's time zone");
}

CastVerdict between_bits(const Type& from, const Type& to) {
  const bool grows = is_one_of(from.kind, {Kind::Bit, Kind::VarBit}) && to.kind == Kind::VarBit;
  const auto have =
      from.kind == Kind::Bit ? std::optional(length_limit(from).value_or(1)) : length_limit(from);
  if (grows && length_fits(have, length_limit(to))) return lossless();
  return refused("bits would be cut off or filled up");
}

CastVerdict between_json(const Type& from, const Type& to) {
  if (from.kind == Kind::Jsonb && to.kind == Kind::Json) {
    return lossless_not_for_keys("json has no equality");
  }
  if (from.kind == Kind::Json && to.kind == Kind::Jsonb) {
    return refused("jsonb drops duplicate keys, key order and blanks");
  }
  return refused("there is no assignment cast");
}

// An array's typmod limits its elements.
Type element_of(const Type& array) {
  Type element = array.inner.front();
  if (element.typmod < 0) element.typmod = array.typmod;
  return element;
}

CastVerdict between_arrays(const Type& from, const Type& to) {
  if (from.inner.empty() || to.inner.empty()) return refused("its element type is unknown");
  CastVerdict verdict = judge_cast(element_of(from), element_of(to));
  // Same elements under another name of the array type (a domain's, say) still need the cast.
  if (verdict.kind == CastKind::Identical) verdict.kind = CastKind::Lossless;
  return verdict;
}

CastVerdict judge_scalars(const Type& from, const Type& to) {
  if (is_one_of(to.kind, {Kind::Text, Kind::Varchar, Kind::Citext}))
    return to_string_type(from, to);
  if (integer_digits(from.kind) > 0) return from_integer(from, to);
  switch (from.kind) {
    case Kind::Numeric:
      return from_numeric(from, to);
    case Kind::Float4:
      return to.kind == Kind::Float8 ? lossless() : refused("digits would be lost");
    case Kind::Oid:
      return to.kind == Kind::Int8 ? lossless() : refused("large values would not fit");
    case Kind::Cidr:
      return to.kind == Kind::Inet ? lossless() : refused("there is no assignment cast");
    case Kind::Inet:
      return refused("cidr drops the bits of the host");
    case Kind::MacAddr:
      return refused("macaddr8 is another value: two bytes are put in");
    case Kind::Text:
    case Kind::Varchar:
    case Kind::Bpchar:
      if (to.kind == Kind::Bpchar)
        return refused("values would be filled up with blanks or cut off");
      return refused("there is no assignment cast that accepts every text");
    case Kind::Date:
    case Kind::Time:
    case Kind::TimeTz:
    case Kind::Timestamp:
    case Kind::TimestampTz:
      return between_times(from, to);
    case Kind::Interval:
      if (to.kind == Kind::Interval && to.typmod < 0) return lossless();
      return refused("fields or fractions of a second would be lost");
    case Kind::Bit:
    case Kind::VarBit:
      return between_bits(from, to);
    case Kind::Json:
    case Kind::Jsonb:
      return between_json(from, to);
    case Kind::Enum:
      return refused("enum types are the same only under the same name");
    default:
      return refused("PostgreSQL has no assignment cast that keeps every value");
  }
}

}  // namespace

CastVerdict judge_cast(const Type& from, const Type& to) {
  if (same_name(from, to)) {
    auto difference = definition_difference(from, to);
    if (!difference) return identical();
    return refused(std::move(difference->what), std::move(difference->hint));
  }
  if (from.kind == Kind::Array && to.kind == Kind::Array) return between_arrays(from, to);
  return judge_scalars(from, to);
}

}  // namespace lockstep
