// What Debezium must be told of keys: message.key.columns.
//
// By itself it takes a table's primary key; lockstep's key is the replica identity (table_key.h).
// An event whose key the old row does not hold carries a fallback instead, another row's key.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "pipeline/model/table.h"

namespace lockstep {

inline constexpr const char* kKeyColumns = "message.key.columns";

// A name as the connector's settings take it: a regular expression that must match in full, in
// which nothing is a separator or white space.
std::string name_regex(std::string_view name);

// The setting's value: "public\.t:m" for each table whose key is not its primary key, with `;`
// between them; "" when there is none.
std::string key_columns(std::span<const TableSpec> tables);

// Whether two values of the setting say the same, in whatever order.
bool same_key_columns(const std::string& a, const std::string& b);

// Whether a value says all that another one says.
bool has_key_columns(const std::string& value, const std::string& wanted);

// Tables that it cannot be said for, as sentences: Debezium does not tell case.
std::vector<std::string> keying_problems(std::span<const TableSpec> tables);

// Letters and digits of ASCII, and "_": what stands for itself in any regular expression.
bool is_word(char c);

// In lower case, ASCII alone: Debezium does not tell case where it compares names.
std::string lower(std::string_view text);

}  // namespace lockstep
