// What may have made two rows differ, as far as their values tell it.
#pragma once

#include <string>
#include <string_view>

#include "pipeline/model/table.h"

namespace lockstep {

// Returns one short phrase for people ("letter case", "an offset of +02:00: a time zone?"); "" when
// the values show nothing, or not the same in every column that differs.  Holds no values.
// Both rows are compared cells (tables/compared.h).
std::string cause_of(const TableMap& table, std::string_view source, std::string_view target);

}  // namespace lockstep
