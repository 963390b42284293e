// UTF-8: whether bytes from outside are text, and what is shown of those that are not.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace lockstep {

// The offset of the first byte that is not UTF-8, or npos.  Overlong forms, surrogates and code
// points past U+10FFFF are not UTF-8.
std::size_t invalid_utf8(std::string_view text);

// `text` with U+FFFD in place of each byte that is not UTF-8: what a server says before it knows
// our encoding is in its own, and no JSON document takes that.
std::string valid_utf8(std::string text);

}  // namespace lockstep
