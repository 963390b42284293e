// Functions behind indexes, and on the target behind checks, domains and generated columns, that
// our sessions cannot run.
//
// Our search_path is empty, so that nobody's function or operator stands in for another.  A
// function whose body names something without its schema, and that brings no search_path of its
// own, fails there: with it every statement that evaluates the index or writes the row, and, where
// the function is inlined in an index, every statement that is planned over the table.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "connectors/postgres/wire/connection.h"
#include "pipeline/base/result.h"
#include "pipeline/model/table.h"

namespace lockstep {

struct BrokenFunction {
  TableName table;
  std::string text;     // "index public.t_norm calls public.norm(text), which fails: ..."
  std::string cure;     // "ALTER FUNCTION public.norm(text) SET search_path = public, pg_temp"
  bool certain = true;  // False of FunctionFails::Suspected: nobody has seen it fail.
};

// How a function is known to fail.
enum class FunctionFails : std::uint8_t {
  Probe,    // Asks for one row of each; a table without rows is asked with NULLs.
  Assumed,  // A statement over the table has failed inside a function.
  // As Probe, and of what that has not called, or only with NULLs, those functions whose text has a
  // name of the database's own without its schema.
  Suspected,
};

// REQUIRES: the connection is open.
Result<std::vector<BrokenFunction>> find_broken_functions(
    PostgresConnection& connection, const std::vector<TableName>& tables,
    FunctionFails known = FunctionFails::Probe);

}  // namespace lockstep
