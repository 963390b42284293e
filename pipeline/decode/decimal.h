// Decimals as text ("1.500", "-7", "1E+3", "NAN") to PostgreSQL's binary numeric and money.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "pipeline/decode/carry.h"

namespace lockstep {

// Appends the send() form of a numeric.  `scale` is s of a numeric(p,s) column: the text must then
// have exactly s fraction digits, as such a column's values always do; a text that has not is no
// number of this column but, say, base64 that happens to consist of digits.  A negative scale is
// written by Debezium with 2048 + s zeros, which carry nothing.
Carry append_decimal(std::string& out, std::string_view text, std::optional<int> scale);

// Appends the send() form of a money with two fraction digits.
Carry append_money(std::string& out, std::string_view text);

}  // namespace lockstep
