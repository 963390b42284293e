#include "pipeline/decode/debezium/type_codec.h"

#include <bit>
#include <charconv>
#include <limits>

#include "pipeline/base/number.h"
#include "pipeline/decode/bytes.h"
#include "pipeline/decode/decimal.h"
#include "pipeline/decode/range.h"
#include "pipeline/model/row.h"

namespace lockstep {
namespace {

// Types without a codec that Debezium sends as plain strings all the same.
constexpr std::uint32_t kXmlOid = 142;
constexpr std::uint32_t kTsvectorOid = 3614;

TimeUnit unit_of(TypeKind kind, std::int32_t typmod, TimePrecision precision) {
  const bool millis = typmod >= 0 && typmod <= 3;
  if (precision == TimePrecision::Micros || !millis) return TimeUnit::Micros;
  if (kind == TypeKind::Time && precision == TimePrecision::AdaptiveMicros) return TimeUnit::Micros;
  return TimeUnit::Millis;
}

Form text_form(const Type& type) {
  switch (type.kind) {
    case TypeKind::Text:
    case TypeKind::Varchar:
    case TypeKind::Bpchar:
    case TypeKind::Name:
    case TypeKind::InternalChar:
    case TypeKind::Citext:
    case TypeKind::Enum:
    case TypeKind::Json:
    case TypeKind::Jsonb:
    case TypeKind::Uuid:
    case TypeKind::Inet:
    case TypeKind::Cidr:
    case TypeKind::MacAddr:
    case TypeKind::MacAddr8:
    case TypeKind::Ltree:
      return Form::PlainText;
    case TypeKind::PgLsn:
    case TypeKind::Xid8:
      return Form::Base64Text;
    case TypeKind::Range:
      if (type.user_defined) return Form::Base64Text;
      // Its text depends on the time zone of Debezium's session.
      return !type.inner.empty() && type.inner[0].kind == TypeKind::TimestampTz ? Form::Never
                                                                                : Form::PlainText;
    case TypeKind::Composite:
      return Form::Base64Text;
    case TypeKind::Other:
      return type.base_oid == kXmlOid || type.base_oid == kTsvectorOid ? Form::PlainText
                                                                       : Form::Base64Text;
    default:
      return Form::Never;
  }
}

Form binary_form(const Type& type) {
  switch (type.kind) {
    case TypeKind::Composite:
    case TypeKind::Other:
    case TypeKind::TimeTz:  // Its offset is gone.
    case TypeKind::VarBit:  // Its length is gone.
      return Form::Never;
    case TypeKind::Range:
      return type.user_defined ? Form::Never : Form::Binary;
    default:
      return Form::Binary;
  }
}

// Which elements Debezium sends in the form it has for columns; of the others some come as base64,
// some are split at the wrong places (ltree[]) or cut to milliseconds (time[]), some not at all.
bool element_travels(TypeKind kind) {
  switch (kind) {
    case TypeKind::Bool:
    case TypeKind::Int2:
    case TypeKind::Int4:
    case TypeKind::Int8:
    case TypeKind::Oid:
    case TypeKind::Float4:
    case TypeKind::Float8:
    case TypeKind::Numeric:
    case TypeKind::Text:
    case TypeKind::Varchar:
    case TypeKind::Bpchar:
    case TypeKind::Citext:
    case TypeKind::Enum:
    case TypeKind::Bytea:
    case TypeKind::Uuid:
    case TypeKind::Json:
    case TypeKind::Jsonb:
    case TypeKind::Date:
    case TypeKind::Timestamp:
    case TypeKind::TimestampTz:
    case TypeKind::Inet:
    case TypeKind::Cidr:
    case TypeKind::MacAddr:
    case TypeKind::MacAddr8:
    case TypeKind::Range:
      return true;
    default:
      return false;
  }
}

bool depends_on_zone(TypeKind kind) {
  return kind == TypeKind::Timestamp || kind == TypeKind::TimestampTz;
}

// Parses a JSON integer.
template <typename T>
bool parse_integer(const Scalar& scalar, T& value) {
  return scalar.kind == JsonKind::Number && parse_number(scalar.text, value);
}

template <typename T>
Carry append_integer(std::string& out, const Scalar& scalar) {
  T value = 0;
  if (!parse_integer(scalar, value)) return Carry::Unreadable;
  if constexpr (sizeof(T) == 2) append_be16(out, static_cast<std::uint16_t>(value));
  if constexpr (sizeof(T) == 4) append_be32(out, static_cast<std::uint32_t>(value));
  if constexpr (sizeof(T) == 8) append_be64(out, static_cast<std::uint64_t>(value));
  return Carry::Value;
}

// Whether the token is a number of JSON's grammar: from_chars knows more ("inf", ".5", "1.").
bool json_number(std::string_view token) {
  if (token.starts_with('-')) token.remove_prefix(1);
  return !token.empty() && token.front() >= '0' && token.front() <= '9' && token.back() >= '0' &&
         token.back() <= '9';
}

template <typename T>
bool parse_float(const Scalar& scalar, T& value) {
  if (scalar.kind == JsonKind::String) {
    value = std::numeric_limits<T>::infinity();
    if (scalar.text == "Infinity") return true;
    value = -value;
    if (scalar.text == "-Infinity") return true;
    value = std::numeric_limits<T>::quiet_NaN();
    return scalar.text == "NaN";
  }
  return scalar.kind == JsonKind::Number && json_number(scalar.text) &&
         parse_number(scalar.text, value);
}

Carry append_text(std::string& out, const Scalar& scalar) {
  if (scalar.kind != JsonKind::String) return Carry::Unreadable;
  out.append(scalar.text);
  return Carry::Value;
}

// "char": one byte; PostgreSQL prints one above 127 as \ooo and zero as nothing.
Carry append_internal_char(std::string& out, const Scalar& scalar) {
  if (scalar.kind != JsonKind::String) return Carry::Unreadable;
  if (scalar.text.size() <= 1) {
    out.push_back(scalar.text.empty() ? '\0' : scalar.text[0]);
    return Carry::Value;
  }
  if (scalar.text.size() != 4 || scalar.text[0] != '\\') return Carry::Unreadable;
  unsigned value = 0;
  if (!parse_number(scalar.text.substr(1), value, 8) || value > 255) return Carry::Unreadable;
  out.push_back(static_cast<char>(value));
  return Carry::Value;
}

Carry append_bytea(std::string& out, std::string_view text) {
  if (looks_like_hex(text)) return Carry::Doubtful;
  return append_base64(out, text) ? Carry::Value : Carry::Unreadable;
}

Carry append_bit_string(const TypeCodec& codec, const Scalar& scalar, std::string& out) {
  if (scalar.kind == JsonKind::Bool) {
    const char low = scalar.text == "true" ? '\1' : '\0';
    return codec.bits == 1 ? append_bits(out, {&low, 1}, 1) : Carry::Unreadable;
  }
  if (scalar.kind != JsonKind::String) return Carry::Unreadable;
  std::string bytes;
  if (!append_base64(bytes, scalar.text)) return Carry::Unreadable;
  return append_bits(out, bytes, codec.bits);
}

// Values that arrive as base64 of their text, since Debezium does not know their types.
Carry append_unknown(const TypeCodec& codec, std::string_view text, std::string& out) {
  std::string plain;
  if (!append_base64(plain, text)) return Carry::Unreadable;
  return codec.kind == TypeKind::PgLsn ? append_pg_lsn(out, plain) : append_xid8(out, plain);
}

Carry encode_number(const TypeCodec& codec, const Scalar& scalar, std::string& out) {
  switch (codec.kind) {
    case TypeKind::Int2:
      return append_integer<std::int16_t>(out, scalar);
    case TypeKind::Int4:
      return append_integer<std::int32_t>(out, scalar);
    case TypeKind::Int8:
      return append_integer<std::int64_t>(out, scalar);
    case TypeKind::Oid:
      return append_integer<std::uint32_t>(out, scalar);
    case TypeKind::Float4:
      return append_float4(out, scalar);
    case TypeKind::Float8:
      return append_float8(out, scalar);
    case TypeKind::Numeric:
    case TypeKind::Money:
      if (scalar.kind == JsonKind::Number || scalar.kind == JsonKind::Object) return Carry::Refused;
      if (scalar.kind != JsonKind::String) return Carry::Unreadable;
      return codec.kind == TypeKind::Money ? append_money(out, scalar.text)
                                           : append_decimal(out, scalar.text, codec.scale);
    default:
      return Carry::Doubtful;
  }
}

Carry encode_time(const TypeCodec& codec, const Scalar& scalar, std::string& out) {
  if (codec.kind == TypeKind::TimestampTz) {
    return scalar.kind == JsonKind::String ? append_timestamptz(out, scalar.text)
                                           : Carry::Unreadable;
  }
  if (codec.kind == TypeKind::Interval) {
    // interval.handling.mode=numeric counts a month as 30.4375 days.
    if (scalar.kind == JsonKind::Number) return Carry::Doubtful;
    if (scalar.kind != JsonKind::String) return Carry::Unreadable;
    const std::size_t begin = out.size();
    const Carry carry = append_interval(out, scalar.text);
    const bool zero = out.find_first_not_of('\0', begin) == out.npos;
    return carry == Carry::Value && zero && codec.zero_is_doubtful ? Carry::Doubtful : carry;
  }
  if (scalar.kind == JsonKind::String || scalar.kind == JsonKind::Object) return Carry::Refused;
  std::int64_t count = 0;
  if (!parse_integer(scalar, count)) return Carry::Unreadable;
  if (codec.kind == TypeKind::Date) return append_date(out, count);
  return codec.kind == TypeKind::Time ? append_time(out, count, codec.unit)
                                      : append_timestamp(out, count, codec.unit);
}

// Kinds that arrive as strings which say it all.
Carry encode_string(const TypeCodec& codec, std::string_view text, std::string& out) {
  switch (codec.kind) {
    case TypeKind::Jsonb:
    case TypeKind::Ltree:
      out.push_back('\1');
      out.append(text);
      return Carry::Value;
    case TypeKind::Bytea:
      return append_bytea(out, text);
    case TypeKind::Uuid:
      return append_uuid(out, text);
    case TypeKind::Inet:
    case TypeKind::Cidr:
      return append_inet(out, text, codec.kind == TypeKind::Cidr);
    case TypeKind::MacAddr:
      return append_macaddr(out, text, 6);
    case TypeKind::MacAddr8:
      return append_macaddr(out, text, 8);
    case TypeKind::PgLsn:
    case TypeKind::Xid8:
      return append_unknown(codec, text, out);
    case TypeKind::Range:
      return append_range(out, text, codec.bound);
    default:
      return Carry::Doubtful;
  }
}

Carry encode_binary(const TypeCodec& codec, const Scalar& scalar, std::string& out) {
  switch (codec.kind) {
    case TypeKind::Bool:
      if (scalar.kind != JsonKind::Bool) return Carry::Unreadable;
      out.push_back(scalar.text == "true" ? '\1' : '\0');
      return Carry::Value;
    case TypeKind::Int2:
    case TypeKind::Int4:
    case TypeKind::Int8:
    case TypeKind::Oid:
    case TypeKind::Float4:
    case TypeKind::Float8:
    case TypeKind::Numeric:
    case TypeKind::Money:
      return encode_number(codec, scalar, out);
    case TypeKind::Text:
    case TypeKind::Varchar:
    case TypeKind::Bpchar:
    case TypeKind::Name:
    case TypeKind::Citext:
    case TypeKind::Enum:
    case TypeKind::Json:
      return append_text(out, scalar);
    case TypeKind::InternalChar:
      return append_internal_char(out, scalar);
    case TypeKind::Date:
    case TypeKind::Time:
    case TypeKind::Timestamp:
    case TypeKind::TimestampTz:
    case TypeKind::Interval:
      return encode_time(codec, scalar, out);
    case TypeKind::Bit:
      return append_bit_string(codec, scalar, out);
    default:
      if (scalar.kind != JsonKind::String) return Carry::Unreadable;
      return encode_string(codec, scalar.text, out);
  }
}

}  // namespace

TypeCodec make_type_codec(const Type& type, Plane plane, const DecodeSettings& settings) {
  TypeCodec codec;
  codec.kind = type.kind;
  codec.form = plane == Plane::Text ? text_form(type) : binary_form(type);
  codec.unit = unit_of(type.kind, type.typmod, settings.time);
  if (type.kind == TypeKind::Range && !type.inner.empty()) codec.bound = type.inner[0].kind;
  if (type.kind == TypeKind::Bit) codec.bits = type.typmod;
  codec.zero_is_doubtful = settings.infinite_intervals;
  if (type.kind == TypeKind::Numeric) {
    if (const auto limits = numeric_limits(type.typmod)) codec.scale = limits->second;
  }
  return codec;
}

TypeCodec make_element_codec(const Type& array, Plane plane, const DecodeSettings& settings) {
  if (array.inner.empty()) return {};
  Type element = array.inner[0];
  if (element.typmod < 0) element.typmod = array.typmod;
  TypeCodec codec = make_type_codec(element, plane, settings);
  const bool domain = element.base_oid != 0 && element.base_oid != element.oid;
  if (domain || !element_travels(element.kind)) codec.form = Form::Never;
  if (depends_on_zone(element.kind) && !settings.connect_runs_in_utc) codec.form = Form::Never;
  return codec;
}

Carry encode_scalar(const TypeCodec& codec, const Scalar& scalar, std::string& out) {
  switch (codec.form) {
    case Form::Binary:
      return encode_binary(codec, scalar, out);
    case Form::PlainText:
      return append_text(out, scalar);
    case Form::Base64Text:
      if (scalar.kind != JsonKind::String) return Carry::Doubtful;
      return append_base64_text(out, scalar.text) ? Carry::Value : Carry::Unreadable;
    case Form::Never:
      return Carry::Doubtful;
  }
  return Carry::Doubtful;
}

Carry append_float4(std::string& out, const Scalar& scalar) {
  float value = 0;
  if (!parse_float(scalar, value)) return Carry::Unreadable;
  append_be32(out, std::bit_cast<std::uint32_t>(value));
  return Carry::Value;
}

Carry append_float8(std::string& out, const Scalar& scalar) {
  double value = 0;
  if (!parse_float(scalar, value)) return Carry::Unreadable;
  append_be64(out, std::bit_cast<std::uint64_t>(value));
  return Carry::Value;
}

std::string_view refused_setting(TypeKind kind) {
  switch (kind) {
    case TypeKind::Numeric:
    case TypeKind::Money:
      return "decimal.handling.mode";
    default:
      return "time.precision.mode";
  }
}

}  // namespace lockstep
