// What is wrong with a table of either side beyond how its columns map: what `validate` says, and
// what a run says in the same words when it comes later.
//
// Pure.  plan_table() asks both; watch/ and the ledger ask again when a catalog has changed.
#pragma once

#include <string>
#include <vector>

#include "pipeline/model/table.h"
#include "pipeline/tables/table_map.h"

namespace lockstep {

// Columns by their indices, for people: "id, region".
std::string names_of(const TableSpec& spec, const std::vector<std::size_t>& columns);

// The statement that makes `index` the key of a table that has several: as a hint.
std::string choose_by_identity(const TableSpec& source, const std::string& index);
// The statement that has a deferrable primary key made anew, as one that is not.
std::string make_key_immediate(const TableSpec& spec);
// The statement by which a published table's updates and deletes name their rows by its key, where
// nobody has chosen another identity; "" where that needs none, or where no such statement helps.
std::string statement_for_identity(const TableSpec& source);
// Of a table of the source: its key, and how updates and deletes of it, and of each partition, name
// the old row.
std::vector<MapProblem> source_problems(const TableSpec& source);
// Whether updates or deletes of some partition, or of the table, name other columns than the key:
// what changes the key then does not say which row it was.
bool names_other_rows(const TableSpec& source);

// Of the target's table as it is now, `map` having been planned for it: who else acts on its rows,
// and what it refuses that the source does not.
std::vector<MapProblem> target_problems(const TableMap& map, const TableSpec& now);

// Of the unique and exclusion constraints of `now` those that the plan does not know.
std::vector<UniqueRule> new_uniques(const TableMap& map, const TableSpec& now);

// "public.t" has row-level security that hides rows.  `side`: source or target.
std::vector<MapProblem> hidden_rows(const TableSpec& table, const char* side);

}  // namespace lockstep
