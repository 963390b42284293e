// judge_cast: whether a column of one type may feed a column of another.
//
// Only casts that PostgreSQL does on assignment and that cannot lose data are allowed; for a column
// of the key they must also keep equality both ways, so that two rows never become one and one row
// never becomes two.  table_map.cc asks; the server does the cast.
#pragma once

#include <cstdint>
#include <string>

#include "pipeline/model/table.h"

namespace lockstep {

enum class CastKind : std::uint8_t {
  Identical,  // The same type: the binary form passes as it is.
  Lossless,   // The server casts.
  Refused,
};

struct CastVerdict {
  CastKind kind = CastKind::Refused;
  bool key_safe = false;  // Equal values stay equal, different values stay different.
  std::string reason;     // Refused, or not key_safe: why.
  std::string hint;       // What to do about it, where that is known.
};

// Domains are judged by their base type: that is what travels.  `from` is the source's.
CastVerdict judge_cast(const Type& from, const Type& to);

}  // namespace lockstep
