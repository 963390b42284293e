// FirstStart: what `run` asks before it creates anything: the checks of `validate`, in its words.
#pragma once

#include <string>
#include <vector>

#include "config/manifest.h"
#include "config/problem.h"
#include "pipeline/base/result.h"

namespace lockstep {

struct FirstStart {
  // The target says that the migration began earlier: it goes on with the tables that fit, and
  // nothing else was asked.
  bool begun = false;
  std::vector<Problem> problems;  // Sorted by place.
  std::string away;               // Who did not answer; "": everybody did.
  ExitCode exit = ExitCode::Ok;   // What the problems end a first start with.
};

// Asks the servers, the broker and Connect.  Changes nothing.
FirstStart check_first_start(const Manifest& manifest);

}  // namespace lockstep
