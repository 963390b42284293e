// The SQL that makes a row of the target equal, and the one that takes it back.
//
// For people: what lockstep itself does to repair a row is to read it from the source once more.
// What it does to take a repair back is just this statement.
#pragma once

#include <string>

#include "daemon/key_text.h"
#include "pipeline/ports/verified.h"

namespace lockstep {

// What the statements below are to be run after, so that they mean the same in any session.
std::string sql_session();

// One statement, which hits no row unless the target's is still the one that was found, value by
// value.  Waits for both servers.  Halt, exit Incomplete: there is none, and why; exit Unreachable:
// a server does not answer.
Result<std::string> repair_sql(const Finding& finding, KeyTexts& texts);

// The statement that puts back the row of before the repair, if the target's is what it wrote.
// REQUIRES: the finding is Repaired.
Result<std::string> undo_sql(const Finding& finding, KeyTexts& texts);

// Of a row that undo_sql() inserts: the target's columns of which nobody knows what they held, as a
// list for people; "" where there are none.
std::string unknown_columns(const Finding& finding, const KeyTexts& texts);

}  // namespace lockstep
