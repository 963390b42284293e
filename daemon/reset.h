// Reset: takes away what a migration made, so that it can begin anew or is over: the slot, the
// publication, its bookkeeping on the target, its state directory.  Rows stay where they are.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "config/manifest.h"
#include "pipeline/base/result.h"

namespace lockstep {

// One thing to take away.
struct ResetStep {
  std::string what;     // "drop slot lockstep_shop of the source"
  std::string by_hand;  // The statement or command that does the same.
  std::function<Status()> carry_out;
};

// What is there to take away, in the order in which it is safe to stop in between.  Halt, exit
// Temporary: somebody still uses it; exit BadData or Config: the state directory is another
// migration's.  A server that does not answer is an error: nothing is known.  The steps borrow
// `manifest`.  Waits for both servers.
Result<std::vector<ResetStep>> plan_reset(const Manifest& manifest);

}  // namespace lockstep
