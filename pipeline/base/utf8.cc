#include "pipeline/base/utf8.h"

#include <utility>

namespace lockstep {

std::size_t invalid_utf8(std::string_view text) {
  for (std::size_t i = 0; i < text.size();) {
    const auto lead = static_cast<unsigned char>(text[i]);
    const std::size_t length = lead < 0x80   ? 1
                               : lead < 0xc2 ? 0
                               : lead < 0xe0 ? 2
                               : lead < 0xf0 ? 3
                               : lead < 0xf5 ? 4
                                             : 0;
    if (length == 0 || i + length > text.size()) return i;
    for (std::size_t k = 1; k < length; ++k) {
      const auto byte = static_cast<unsigned char>(text[i + k]);
      const unsigned char low = k > 1 ? 0x80 : lead == 0xe0 ? 0xa0 : lead == 0xf0 ? 0x90 : 0x80;
      const unsigned char high = k > 1 ? 0xbf : lead == 0xed ? 0x9f : lead == 0xf4 ? 0x8f : 0xbf;
      if (byte < low || byte > high) return i;
    }
    i += length;
  }
  return std::string_view::npos;
}

std::string valid_utf8(std::string text) {
  constexpr std::string_view kUnknown = "\xEF\xBF\xBD";
  std::string valid;
  std::string_view rest = text;
  for (std::size_t broken = invalid_utf8(rest); broken != rest.npos; broken = invalid_utf8(rest)) {
    valid.append(rest.substr(0, broken)).append(kUnknown);
    rest.remove_prefix(broken + 1);
  }
  return valid.empty() ? std::move(text) : valid.append(rest);
}

}  // namespace lockstep
