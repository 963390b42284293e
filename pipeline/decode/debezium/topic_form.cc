#include "pipeline/decode/debezium/topic_form.h"

#include <cstdint>

namespace lockstep {

std::string topic_form(std::string_view name) {
  std::string form;
  for (const char c : name) {
    const auto byte = static_cast<std::uint8_t>(c);
    const bool kept = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                      c == '.' || c == '_' || c == '-';
    if (kept) form.push_back(c);
    // A continuation belongs to a character that was replaced already.
    if (!kept && (byte & 0xC0) != 0x80) form.append(byte >= 0xF0 ? 2 : 1, '_');
  }
  return form;
}

}  // namespace lockstep
