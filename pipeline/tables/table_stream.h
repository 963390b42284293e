// What an event can hold of a column, by its type: Debezium's (W1), and
// PostgreSQL's own.
//
// table_map.cc plans planes and debts by it, config/connector_config the failure handling mode, and
// the decoders read the form of a value.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "pipeline/model/table.h"
#include "pipeline/tables/table_map.h"

namespace lockstep {

// FirstNormalObjectId: types below are PostgreSQL's own, with the same OID on every server.
inline constexpr std::uint32_t kFirstUserOid = 16384;

enum class WireForm : std::uint8_t {
  Codec,        // A JSON form for which decode has a codec: Plane::Binary.
  PlainText,    // The text form as a JSON string (xml, tsvector): Plane::Text.
  EncodedText,  // Base64 of the text form, by include.unknown.datatypes: Plane::Text.
  Never,        // Not carried, or not exactly.
};

struct WireVerdict {
  WireForm form = WireForm::Codec;
  std::string reason;  // Never: why.
  std::string remedy;  // Never: the setting that would carry it, "" when there is none.
};

WireVerdict debezium_form(const Type& type, const StreamTraits& stream);

// Whether the text and the binary form of every value have the same bytes.
bool text_is_binary(const Type& type);
// Whether the server refuses the binary form of some of its own values: tsquery's of an empty one.
bool refuses_its_binary(const Type& type);
// Whether pgoutput fails on values of the type: array_send(), range_send() and record_send() exist
// always, and fail for a part without one.  It sends a type without a binary form of its own as
// text.
bool fails_in_binary(const Type& type);

// What stands for an unchanged TOAST array in an event.
enum class PlaceholderArray : std::uint8_t {
  None,     // Debezium has no form for it.
  Text,     // The placeholder as its only element,
  Bytes,    // or its bytes,
  Numbers,  // or each of its bytes,
  Uuid,     // or a UUID of version 3 made of it.
};
PlaceholderArray unchanged_array(const Type& element);

// Whether the placeholder of an unchanged TOAST value has a form that the type's schema can hold
// (4.4).  Where not, the connector stops under `event.converting.failure.handling.mode=fail`.
bool placeholder_fits(const Type& type);

// Whether Debezium fails to convert ordinary values of the type: the connector stops under `fail`,
// and sends NULL for them otherwise.
bool conversion_fails(const Type& type);

// Whether any value of the column can be stored out of line at all: a short numeric cannot.
bool can_be_toasted(const Column& column);

}  // namespace lockstep
