// Opposite: two migrations that run towards each other would send every change round for ever.
//
// As long as a migration lives, its sessions on the target hold an advisory lock whose key names
// the source.  Locks of all roles are visible to every role: whoever begins a migration asks its
// own source for the lock that names its own target.
#pragma once

#include <optional>
#include <string>

#include "connectors/postgres/wire/connection.h"
#include "connectors/postgres/wire/facts.h"
#include "pipeline/base/result.h"

namespace lockstep {

// A statement for a session of the target: while the session lives, it says that rows of `source`
// are written there.
std::string hold_direction_sql(const ServerFacts& source);

// The session of `source` that says that rows of `target` are written there: "lockstep back lane 0
// (pid 4711)".  REQUIRES: the connection is open.
Result<std::optional<std::string>> find_opposite(PostgresConnection& source,
                                                 const ServerFacts& target);

// Why a migration must not run beside `opposite`, and what to do.
std::string opposite_text(const std::string& opposite);
inline constexpr const char* kOppositeHint =
    "stop that one (SIGTERM) before this one starts: only one direction runs at a time";

}  // namespace lockstep
