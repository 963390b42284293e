// Functions behind indexes that our sessions cannot run.
//
// Our search_path is empty, so that nobody's function or operator stands in for another.  A
// function whose body names something without its schema, and that brings no search_path of its
// own, fails there: with it every statement that evaluates the index, and, where the function is
// inlined, every statement that is planned over the table.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "connectors/postgres/wire/connection.h"
#include "pipeline/base/result.h"
#include "pipeline/model/table.h"

namespace lockstep {

struct BrokenIndex {
  TableName table;
  std::string text;  // "index public.t_norm calls public.norm(text), which fails: ..."
  std::string cure;  // "ALTER FUNCTION public.norm(text) SET search_path = public, pg_temp"
};

// How a function is known to fail.
enum class FunctionFails : std::uint8_t {
  Probe,    // Asks for one row of each index; a table without rows proves little.
  Assumed,  // A statement over the table has failed inside a function.
};

// REQUIRES: the connection is open.
Result<std::vector<BrokenIndex>> find_broken_indexes(PostgresConnection& connection,
                                                     const std::vector<TableName>& tables,
                                                     FunctionFails known = FunctionFails::Probe);

}  // namespace lockstep
