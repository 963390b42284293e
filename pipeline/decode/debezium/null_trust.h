// Whether a NULL in an event is one (W1).
//
// Under event.converting.failure.handling.mode=warn Debezium writes null for what it could not
// convert and for placeholders that do not fit the column's schema; without
// include.unknown.datatypes it writes null for every `name`.
#pragma once

#include "pipeline/decode/debezium/settings.h"
#include "pipeline/model/table.h"

namespace lockstep {

bool null_is_trusted(const TableMap& table, const Column& column, const DecodeSettings& settings);

}  // namespace lockstep
