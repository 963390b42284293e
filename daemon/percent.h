// Percent-encoding of paths and queries, as RFC 3986 has it.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace lockstep {

// What "Order%20Items" stands for; what is not encoded stays.  `plus_is_space`: in a query, also
// "Order+Items".  Nothing: a "%" without two hexadecimal digits behind it.
std::optional<std::string> percent_decoded(std::string_view text, bool plus_is_space = false);

}  // namespace lockstep
