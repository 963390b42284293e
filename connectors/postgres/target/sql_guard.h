// Texts of the guards: functions in pg_temp that write rows and find those which the target refuses
// or swallows (I11).  Pure, like target/sql.
//
// A guard executes its statement under a savepoint.  What is refused is halved until it is one row:
// all in one round trip, and without a line in the server's log.
#pragma once

#include <array>
#include <string>
#include <string_view>
#include <vector>

#include "connectors/postgres/target/sql.h"

namespace lockstep {

// How the SQLSTATEs begin that say nothing of a row, but of the server, the session or the table.
// Any other may be a row's: triggers and functions raise codes of their own.
inline constexpr std::array<std::string_view, 18> kNotOfARow{"08", "0A", "21", "25", "26", "28",
                                                             "2D", "34", "3B", "3D", "3F", "40",
                                                             "42", "53", "55", "57", "58", "XX"};
// Whether a write that failed with this SQLSTATE may do without one of its rows.
bool is_of_a_row(std::string_view sqlstate);

// What a guard executes: PL/pgSQL statements over $1, the rows, and what else belongs to them.  It
// raises kSwallowedMark when fewer rows were hit than were meant.
inline constexpr std::string_view kSwallowedMark = "lockstep swallowed";
std::string guarded_upsert(const StagedTable& table);
// A delete is swallowed only if its row is still there.
std::string guarded_delete(const StagedTable& table);
// Returns the key hashes of the debts it opens.
std::string guarded_update(const std::string& update);

// CREATE FUNCTION pg_temp.<name>; `arrays` are the types of its parameters.
std::string create_guard_sql(const std::string& name, const std::vector<std::string>& arrays,
                             const std::string& body);

// The columns of guarded_sql()'s rows: a key hash that the body returned; or of a refused row its
// index (from 0), SQLSTATE, primary message, and the schema and name of the constraint.
enum GuardColumn : int {
  GuardOpened,
  GuardIndex,
  GuardCode,
  GuardMessage,
  GuardSchema,
  GuardConstraint
};
std::string guarded_sql(const std::string& name, std::size_t arrays);

}  // namespace lockstep
