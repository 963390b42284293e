// The expressions of generated columns of two servers, compared by what pg_get_expr() prints.
//
// Pure.  target_checks.cc asks it of each column that both sides compute.
#pragma once

#include <functional>
#include <string>
#include <string_view>

namespace lockstep {

// The name that a column of the expression goes by; others stay as they are.
using ColumnNames = std::function<std::string(const std::string&)>;

// The expression with its columns renamed, and without what PostgreSQL adds when it reads its own
// text again: parentheses around one thing, casts of literals between types of text.  Equal forms
// are the same expression; different ones may still be.
std::string expression_form(std::string_view expression, const ColumnNames& name_of);

// A form without the schemas of functions and types, which may stand elsewhere.
std::string without_schemas(std::string_view form);

// Whether it calls a function, or has an operator, that goes by the database's character classes.
bool goes_by_ctype(std::string_view expression);

}  // namespace lockstep
