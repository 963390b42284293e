// The schema part of an event, where there is one: shows connector settings that lose data.
#pragma once

#include <string_view>

#include "pipeline/base/result.h"
#include "pipeline/decode/debezium/settings.h"
#include "pipeline/model/table.h"

namespace lockstep {

// Compares the types that the schema gives to `table`'s mapped columns with those that the settings
// promise.  Halt, naming the setting, when a column would lose data or be read in the wrong unit.
// `schema` is the value's schema part, as JSON text.  Rare: called when a schema changes.
Status check_schema(const TableMap& table, const DecodeSettings& settings, std::string_view schema);

// The same refusal, for a column of an event that shows it by its form.
Error refuse_setting(const TableMap& table, std::string_view column, std::string_view setting);

}  // namespace lockstep
