// Asks a running daemon over its control socket.
#pragma once

#include <string>

#include "checkpoint/state_lock.h"
#include "daemon/control_server.h"
#include "pipeline/base/result.h"

namespace lockstep {

// One request, one answer.  Retry, exit Unreachable: nobody listens on `socket`.
Result<ControlResponse> ask_daemon(const std::string& socket, const ControlRequest& request);

// The same of a daemon whose lock was read: the body of an answer that is well.  Retry: it is still
// preparing; Halt: what it says is wrong, exit code Usage when it does not know what was asked for.
Result<std::string> ask_owner(const LockOwner& owner, const ControlRequest& request);

}  // namespace lockstep
