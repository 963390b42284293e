// A row's key as an operator writes it, for verbs about one row.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "pipeline/base/result.h"

namespace lockstep {

// Takes "17" (a key of one column), "id=17", "tenant=eu,id=17", or {"tenant": "eu", "id": 17}.
// A comma belongs to a value unless the name of a key column and `=` follow it.
// Returns one text per column of the key, in its order.  Halt, exit Usage: it is no such key; the
// message names the columns.
Result<std::vector<std::string>> parse_row_key(std::span<const std::string> columns,
                                               const std::string& text);

}  // namespace lockstep
