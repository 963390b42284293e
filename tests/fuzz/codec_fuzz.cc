// Fuzzes the checkpoint's decoders: no bytes crash them, and what they accept is written back as it
// was read.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "checkpoint/codec.h"
#include "pipeline/model/row.h"
#include "tests/fuzz/target.h"

namespace lockstep {
namespace {

// A value with a right checksum, since no fuzzer finds one by itself.
std::string with_checksum(std::string_view key, std::string_view fields) {
  std::string value(1, static_cast<char>(kCodecVersion));
  value.append(fields);
  append_be64(value, hash128(value, hash128(key, 0).low).low);
  return value;
}

// A record is read again as itself.  The bytes may differ: a number has several long forms.
void check_round_trip(std::string_view key, std::string_view value) {
  LaneIntent intent;
  if (decode(key, value, intent)) {
    LaneIntent again;
    const std::string written = encode(key, intent);
    CHECK(decode(key, written, again).has_value());
    CHECK(again.unseen == intent.unseen && again.batch == intent.batch);
    CHECK(written.size() <= value.size());
  }
  Evidence evidence;
  if (decode(key, value, evidence)) {
    Evidence again;
    CHECK(decode(key, encode(key, evidence), again).has_value());
    CHECK(again == evidence);
  }
  AuditEntry entry;
  if (decode(key, value, entry)) {
    AuditEntry again;
    CHECK(decode(key, encode(key, entry), again).has_value());
    CHECK(again == entry);
  }
}

}  // namespace

void fuzz::codec(std::string_view input) {
  if (input.empty()) return;
  const std::size_t key_size =
      std::min<std::size_t>(static_cast<std::uint8_t>(input[0]), input.size() - 1);
  const std::string_view key = input.substr(1, key_size);
  const std::string_view fields = input.substr(1 + key_size);
  static_cast<void>(check_record(key, fields));
  const std::string value = with_checksum(key, fields);
  static_cast<void>(check_record(key, value));
  check_round_trip(key, value);
}

}  // namespace lockstep
