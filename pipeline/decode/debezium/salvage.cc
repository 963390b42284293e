#include "pipeline/decode/debezium/salvage.h"

#include <charconv>

namespace lockstep {
namespace {

constexpr std::size_t kEvidenceBytesMax = std::size_t{1} << 20;

// What follows `marker` in `text`, or nothing.
std::string_view after(std::string_view text, std::string_view marker) {
  const std::size_t at = text.find(marker);
  return at == std::string_view::npos ? std::string_view() : text.substr(at + marker.size());
}

}  // namespace

Salvage salvage(std::string_view event) {
  constexpr std::string_view kSource = "\"source\":{";
  Salvage found;
  const std::size_t at = event.rfind(kSource);
  if (at == std::string_view::npos) return found;
  const std::string_view source = event.substr(at + kSource.size());
  const std::string_view tx = after(source, "\"txId\":");
  std::uint64_t value = 0;
  const auto [end, error] = std::from_chars(tx.data(), tx.data() + tx.size(), value);
  // A number at the very end may have lost digits.
  if (error == std::errc() && end != tx.data() + tx.size()) found.tx_id = value;
  const std::string_view op = after(source, "\"op\":\"");
  if (op.size() >= 2 && op[1] == '"') found.op = static_cast<char>(op[0] | 0x20);
  return found;
}

std::string_view evidence_of(std::string_view event) { return event.substr(0, kEvidenceBytesMax); }

}  // namespace lockstep
