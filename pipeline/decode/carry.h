// Carry: what became of one JSON value on its way to a cell; Scalar: a JSON value without children.
#pragma once

#include <cstdint>
#include <string_view>

namespace lockstep {

enum class Carry : std::uint8_t {
  Value,  // Its bytes were appended.
  Null,
  Unavailable,  // The placeholder of a value that did not change.
  Doubtful,     // The wire cannot carry it exactly, or may stand for something else (W1).
  Unreadable,   // Broken or impossible.
  Refused,      // Its form belongs to a connector setting that loses data: refused_setting().
};

enum class JsonKind : std::uint8_t { Null, Bool, Number, String, Array, Object };

struct Scalar {
  JsonKind kind = JsonKind::Null;
  std::string_view text;  // String: unescaped, valid UTF-8, no NUL.  Number, Bool: as written.
};

}  // namespace lockstep
