// end_sessions: ends every session of a migration on its target, so that what it had sent and not
// committed is rolled back.
#pragma once

#include <string>

#include "connectors/postgres/target/sql.h"
#include "connectors/postgres/wire/connection.h"
#include "pipeline/base/result.h"

namespace lockstep {

// What the application name of every session of a migration begins with.
std::string sessions_prefix(const std::string& migration);

// Ends them, but for the caller's own and those of others that do this, and waits for their end.
// Returns once none is left.  Retry: some are still there, or the target does not answer.
Status end_sessions(PostgresConnection& target, const BookkeepingName& name);

}  // namespace lockstep
