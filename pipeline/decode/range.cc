#include "pipeline/decode/range.h"

#include <cstdint>
#include <optional>

#include "pipeline/base/number.h"
#include "pipeline/decode/datetime.h"
#include "pipeline/decode/decimal.h"
#include "pipeline/decode/length.h"
#include "pipeline/model/row.h"

namespace lockstep {
namespace {

constexpr char kEmpty = 0x01;
constexpr char kLowerInclusive = 0x02;
constexpr char kUpperInclusive = 0x04;
constexpr char kLowerInfinite = 0x08;
constexpr char kUpperInfinite = 0x10;

// A bound as written: nothing when it is absent (infinite).
struct Bound {
  bool present = false;
  std::string text;
};

// Takes a bound up to `end`, undoing quotes ("" and \x inside them, \x outside).
bool take_bound(std::string_view& rest, std::string_view end, Bound& bound) {
  bool quoted = false;
  while (!rest.empty()) {
    const char c = rest.front();
    if (!quoted && end.find(c) != std::string_view::npos) return true;
    rest.remove_prefix(1);
    if (c == '\\') {
      if (rest.empty()) return false;
      bound.text.push_back(rest.front());
      rest.remove_prefix(1);
    } else if (c == '"' && quoted && rest.starts_with('"')) {
      bound.text.push_back('"');
      rest.remove_prefix(1);
    } else if (c == '"') {
      quoted = !quoted;
    } else {
      bound.text.push_back(c);
    }
    bound.present = true;
  }
  return false;
}

Carry append_bound(std::string& out, std::string_view text, TypeKind kind) {
  switch (kind) {
    case TypeKind::Int4: {
      std::int32_t value = 0;
      if (!parse_number(text, value)) return Carry::Unreadable;
      append_be32(out, static_cast<std::uint32_t>(value));
      return Carry::Value;
    }
    case TypeKind::Int8: {
      std::int64_t value = 0;
      if (!parse_number(text, value)) return Carry::Unreadable;
      append_be64(out, static_cast<std::uint64_t>(value));
      return Carry::Value;
    }
    case TypeKind::Numeric:
      return append_decimal(out, text, std::nullopt);
    case TypeKind::Date:
      return append_date_text(out, text);
    case TypeKind::Timestamp:
      return append_timestamp_text(out, text);
    case TypeKind::TimestampTz:
      return append_timestamptz_text(out, text);
    default:
      return Carry::Doubtful;
  }
}

// Appends the bound with its length in front.
Carry append_counted(std::string& out, const Bound& bound, TypeKind kind) {
  if (!bound.present) return Carry::Value;
  const std::size_t begin = open_length(out);
  const Carry carry = append_bound(out, bound.text, kind);
  close_length(out, begin);
  return carry;
}

}  // namespace

Carry append_range(std::string& out, std::string_view text, TypeKind bound) {
  if (text == "empty") {
    out.push_back(kEmpty);
    return Carry::Value;
  }
  if (!text.starts_with('[') && !text.starts_with('(')) return Carry::Unreadable;
  const bool lower_inclusive = text.starts_with('[');
  text.remove_prefix(1);
  Bound lower;
  Bound upper;
  if (!take_bound(text, ",", lower)) return Carry::Unreadable;
  text.remove_prefix(1);
  if (!take_bound(text, "])", upper) || text.size() != 1) return Carry::Unreadable;
  char flags = 0;
  if (lower.present && lower_inclusive) flags |= kLowerInclusive;
  if (upper.present && text == "]") flags |= kUpperInclusive;
  if (!lower.present) flags |= kLowerInfinite;
  if (!upper.present) flags |= kUpperInfinite;
  out.push_back(flags);
  const Carry carry = append_counted(out, lower, bound);
  if (carry != Carry::Value) return carry;
  return append_counted(out, upper, bound);
}

}  // namespace lockstep
