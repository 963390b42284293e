// Summary: what a migration will move, and what nobody moves unless a person does.
#pragma once

#include <boost/json.hpp>
#include <string>
#include <vector>

#include "connectors/postgres/wire/connection.h"
#include "daemon/tables.h"
#include "pipeline/base/result.h"

namespace lockstep {

// A kind of thing that is not carried.
struct Uncarried {
  std::string what;                // "materialized views"
  std::vector<std::string> names;  // Some of them; `count` says how many there are.
  std::uint64_t count = 0;
  std::string todo;  // What carries it.
};

struct Summary {
  std::size_t tables = 0;
  double rows = 0;   // Estimated.
  double bytes = 0;  // On the source.
  std::vector<TableName> left_out;
  std::vector<Uncarried> uncarried;
  std::string of_slot;  // What the slot may do to the source; "" when that is bounded.

  std::string print() const;
  boost::json::object json() const;
};

// `target`: nothing when it did not answer; then nothing is said of what it lacks.
Result<Summary> read_summary(PostgresConnection& source, PostgresConnection* target,
                             const TablePlan& plan);

// "1.5 GiB".
std::string size_text(double bytes);

}  // namespace lockstep
