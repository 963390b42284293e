// Actor: the name of who gives an order, for the audit log and for status.
#pragma once

#include <sys/types.h>

#include <string>

namespace lockstep {

// "uid 1000 (anna)"; "uid 1000" where the host knows no such user.  Asks the host's lists of users,
// which may be on a server: not for what happens often.
std::string actor_text(uid_t user);

// Of whoever has started this program.
std::string own_actor();

}  // namespace lockstep
