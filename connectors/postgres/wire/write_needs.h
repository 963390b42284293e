// What a write needs beyond its table: USAGE of the types that our statements name and of sequences
// behind defaults, EXECUTE of what PostgreSQL calls for each row, and the language of our own
// functions.  All of it is asked with the rights of whoever writes, at the first row that needs it.
#pragma once

#include <string>
#include <vector>

#include "connectors/postgres/wire/connection.h"
#include "pipeline/base/result.h"
#include "pipeline/model/table.h"

namespace lockstep {

// A column of the target that no row of ours brings a value for: its default does, if it has one.
struct UnfedColumn {
  TableName table;
  std::string column;
};
void add_unfed_columns(const TableMap& map, std::vector<UnfedColumn>& all);

// Something that the current role lacks.
struct WriteNeed {
  TableName table;
  std::string privilege;  // "EXECUTE".
  std::string object;     // "function public.norm(text)".
  std::string grant;      // "GRANT EXECUTE ON FUNCTION public.norm(text)", without TO.
  std::string owner;      // Of the object.
  std::string why;        // "index public.t_norm calls it".
};

// Of those of `tables` that exist.  What a function's body needs is not known.
// Connects if not connected.
Result<std::vector<WriteNeed>> lacking_for_writes(PostgresConnection& connection,
                                                  const std::vector<TableName>& tables,
                                                  const std::vector<UnfedColumn>& unfed);

// The language of the functions that set refused rows aside.
struct GuardLanguage {
  bool exists = false;
  bool usage = false;  // The current role has it.
  std::string owner;
};
Result<GuardLanguage> read_guard_language(PostgresConnection& connection);

}  // namespace lockstep
