// The target gets the source's schema: who dumps and restores it, and what has to be there before.
#pragma once

#include <string>
#include <vector>

#include "daemon/init/server.h"
#include "daemon/init/steps.h"
#include "pipeline/base/result.h"

namespace lockstep {

// pg_dump of the source into psql on the target, whose tables `owner` is to own.
Result<InitStep> schema_step(InitServer& source, InitServer& target, const std::string& owner);

// Statements for a superuser of the target: extensions of the source that `owner`, who owns the
// database, may not make.
Status add_extensions(InitServer& source, InitServer& target, const std::string& owner,
                      std::vector<std::string>& lines);

}  // namespace lockstep
