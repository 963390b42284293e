// Problem: one thing that is wrong with a manifest or with what it meets on the servers.
//
// The loader, the table plans and `validate` collect them; all are shown at once.
#pragma once

#include <boost/json/object.hpp>
#include <span>
#include <string>
#include <vector>

#include "pipeline/tables/table_map.h"

namespace lockstep {

// A place in the manifest, from 1; line 0: the file as a whole.
struct Where {
  int line = 0;
  int column = 0;
  friend auto operator<=>(const Where&, const Where&) = default;
};

struct Problem {
  std::string file;
  Where where;
  Severity severity = Severity::Error;
  std::string text;
  std::string hint;  // What to do; may be empty.

  // "FILE:LINE:COL: error: text (hint)"; a contract.
  std::string print() const;
};

bool has_errors(std::span<const Problem> problems);

// By place, errors before warnings, otherwise as they came.
void sort_problems(std::vector<Problem>& problems);

// {"problems": [...], "errors": N, "warnings": N}.
boost::json::object problems_json(std::span<const Problem> problems);

}  // namespace lockstep
