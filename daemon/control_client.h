// Asks a running daemon over its control socket.
#pragma once

#include <string>

#include "daemon/control_server.h"
#include "pipeline/base/result.h"

namespace lockstep {

// One request, one answer.  Retry, exit Unreachable: nobody listens on `socket`.
Result<ControlResponse> ask_daemon(const std::string& socket, const ControlRequest& request);

}  // namespace lockstep
