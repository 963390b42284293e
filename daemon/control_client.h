// Asks a running daemon over its control socket.
#pragma once

#include <chrono>
#include <functional>
#include <optional>
#include <string>

#include "checkpoint/state_lock.h"
#include "config/manifest.h"
#include "daemon/control_server.h"
#include "pipeline/base/result.h"

namespace lockstep {

// Error::code of a socket on which nobody listens, though its file may be there: its daemon only
// starts, ends, or was killed.
inline constexpr const char* kNobodyListens = "nobody listens";
// Error::code of a daemon that had the state directory when it was looked for, and has not any
// more.
inline constexpr const char* kHasEnded = "has ended";

// How long an answer is waited for; it may need a server, as a repair does.
inline constexpr std::chrono::seconds kAnswerMax{30};

// What an answer says that is not well.  Retry: it is still preparing; Halt, exit code: Usage when
// it does not know what was asked for, Temporary when that cannot be now, or what the answer says.
Error refusal_of(const ControlResponse& answer);

// One request, one answer.  Retry, exit Unreachable: none came.
Result<ControlResponse> ask_daemon(const std::string& socket, const ControlRequest& request,
                                   std::chrono::seconds patience = kAnswerMax);

// The same of a daemon whose lock was read: the body of an answer that is well; else refusal_of().
Result<std::string> ask_owner(const LockOwner& owner, const ControlRequest& request,
                              std::chrono::seconds patience = kAnswerMax);

// The same, a minute long, of a daemon that may be preparing its run, at a start or when a stopped
// table is tried again.  Halt, exit Unreachable, code kHasEnded: it has ended meanwhile.
Result<std::string> ask_patiently(const LockOwner& owner, const ControlRequest& request);

// Listens to a stream of events, and calls `on_data` with the data of each, until the daemon ends
// the stream.  Retry, exit Unreachable: nobody listens on `socket`; Halt: it refuses.
Status follow_daemon(const std::string& socket, const std::string& path,
                     const std::function<void(const std::string& data)>& on_data);

// "lockstep does not run: `what`", exit Unreachable: of every verb that needs the daemon, and finds
// none.  `what`: what becomes of the verb, and the next step.
std::unexpected<Error> runs_not(const std::string& what);

// As find_owner().  Waits, a minute long, for a daemon that is only just starting to say where it
// listens.
Result<std::optional<LockOwner>> await_owner(const Manifest& manifest);

}  // namespace lockstep
