// TypeCodec: how values of one type go from Debezium's JSON to cell bytes.
//
// column_codec.h adds what depends on the column (placeholders, NULLs, arrays); this is the part
// that depends on the type alone.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "pipeline/decode/carry.h"
#include "pipeline/decode/datetime.h"
#include "pipeline/decode/debezium/settings.h"
#include "pipeline/model/table.h"

namespace lockstep {

// What the cell holds, and in which dress it arrives.
enum class Form : std::uint8_t {
  Binary,      // send() bytes, made from the JSON value.
  PlainText,   // The text form, which arrives as it is.
  Base64Text,  // The text form, which arrives as base64 (include.unknown.datatypes).
  Never,       // The wire cannot carry it.
};

// Constant after construction.
struct TypeCodec {
  TypeKind kind = TypeKind::Other;
  TypeKind bound = TypeKind::Other;  // Of a range: its subtype.
  Form form = Form::Never;
  TimeUnit unit = TimeUnit::Micros;  // Of time and timestamp.
  std::optional<int> scale;          // Of numeric(p,s).
  std::int32_t bits = 0;             // Of bit(n).
  bool zero_is_doubtful = false;     // Of interval: it may have been an infinite one.
};

TypeCodec make_type_codec(const Type& type, Plane plane, const DecodeSettings& settings);

// The same for an element of an array, whose typmod the array type has.
TypeCodec make_element_codec(const Type& array, Plane plane, const DecodeSettings& settings);

// Appends the bytes of one value that has no children; what it appended is of no use unless it
// returns Value.  Allocates nothing but what `out` needs.
Carry encode_scalar(const TypeCodec& codec, const Scalar& scalar, std::string& out);

// Appends a float4 or float8 from a JSON number, "NaN" or "Infinity".
Carry append_float4(std::string& out, const Scalar& scalar);
Carry append_float8(std::string& out, const Scalar& scalar);

// The connector setting whose refused values make encode_scalar answer Refused for `kind`.
std::string_view refused_setting(TypeKind kind);

}  // namespace lockstep
