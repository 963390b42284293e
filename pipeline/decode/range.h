// Ranges in PostgreSQL's text form ("[1,10)", "(,\"2024-01-01 00:00:00\"]", "empty") to their
// send() form.
#pragma once

#include <string>
#include <string_view>

#include "pipeline/decode/carry.h"
#include "pipeline/model/table.h"

namespace lockstep {

// `bound` is the subtype of a built-in range type; others are Doubtful.
Carry append_range(std::string& out, std::string_view text, TypeKind bound);

}  // namespace lockstep
