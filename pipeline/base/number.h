// A number from text.
#pragma once

#include <charconv>
#include <string_view>
#include <system_error>
#include <type_traits>

namespace lockstep {

// Reads a number that is the whole of `text`; false when it is none, or too large for T.
template <typename T>
bool parse_number(std::string_view text, T& value, [[maybe_unused]] int base = 10) {
  const char* const end = text.data() + text.size();
  std::from_chars_result read;
  if constexpr (std::is_floating_point_v<T>) {
    read = std::from_chars(text.data(), end, value);
  } else {
    read = std::from_chars(text.data(), end, value, base);
  }
  return read.ec == std::errc() && read.ptr == end;
}

}  // namespace lockstep
