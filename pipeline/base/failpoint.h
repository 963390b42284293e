// Failpoints: named crash points, so that tests can kill the program at an exact place.
//
// LOCKSTEP_FAILPOINT=name[:hit[:action]] in the environment arms one: on the hit-th time (default
// 1) the process exits at once with code 86 (action `exit`, the default), or stops itself with
// SIGSTOP (action `stop`, for zombie tests).  Unarmed, a failpoint costs one load of a constant
// pointer.
#pragma once

#include <string_view>

namespace lockstep {

// REQUIRES: `name` is listed in kFailpoints (failpoint.cc); the kill test walks that list.
void failpoint(std::string_view name);

// Every failpoint of the program, one per line, for `lockstep version --failpoints` and the tests.
std::string_view failpoint_names();

}  // namespace lockstep
