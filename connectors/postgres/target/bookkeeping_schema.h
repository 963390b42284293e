// The bookkeeping tables on the target: what the target itself knows about a migration.
//
// Every row is keyed by its migration, so one schema serves several.  The rows are written in the
// transactions they describe: there is no state in which they and the data disagree.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace lockstep {

// Of the tables' shape and the meaning of their columns; stored with each migration's fence.
inline constexpr std::int32_t kBookkeepingFormat = 1;

// Names of the tables, in the order they are created.
const std::vector<std::string>& bookkeeping_tables();

// Statements that create the tables that are missing in `schema`, which exists.
std::vector<std::string> create_bookkeeping_sql(const std::string& schema);

// An index that is missing where an earlier version made the tables: its name, and what makes it in
// `schema`.  Without it everything works, and a million debts are sorted for each round of them.
inline constexpr const char* kDebtIndex = "debt_next";
std::string bookkeeping_index_sql(const std::string& schema);

}  // namespace lockstep
