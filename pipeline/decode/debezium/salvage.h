// What can still be learnt from an event whose JSON does not parse (a cut message, a byte that is
// not UTF-8): its operation and transaction, when the parts that hold them are whole.
#pragma once

#include <cstdint>
#include <string_view>

namespace lockstep {

struct Salvage {
  char op = 0;              // 0: not found.
  std::uint64_t tx_id = 0;  // 0: not found.
};

// A quote inside a JSON string is always escaped, so an unescaped `"source":{` is the real one, and
// so is what follows it: Debezium writes `before` and `after` in front.
Salvage salvage(std::string_view event);

// The part of an event that is kept as evidence.
std::string_view evidence_of(std::string_view event);

}  // namespace lockstep
