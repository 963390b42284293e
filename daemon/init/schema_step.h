// The target gets the source's schema: who dumps and restores it, and what has to be there before.
#pragma once

#include <string>
#include <vector>

#include "daemon/init/server.h"
#include "daemon/init/steps.h"
#include "pipeline/base/result.h"

namespace lockstep {

// pg_dump of the source into psql on the target, whose tables `owner` is to own, in one transaction
// unless that would take more locks than the target has.
Result<InitStep> schema_step(InitServer& source, InitServer& target, const std::string& owner);

// Statements for a superuser of the target: roles that the schema names, and extensions of the
// source that `owner`, who owns the database, may not make.
Status add_what_schema_needs(InitServer& source, InitServer& target, const std::string& owner,
                             std::vector<std::string>& lines);

// A statement for a superuser of the target that makes `owner` one, where the source has something
// outside of extensions that only such a one may make.  Returns whether it is needed.
Result<bool> lift_owner(InitServer& source, InitServer& target, const std::string& owner,
                        std::vector<std::string>& lines);
// Whether `owner` is a superuser of the target who may be one only since lift_owner() was followed.
Result<bool> is_lifted(InitServer& source, InitServer& target, const std::string& owner);
// What takes it back, for after the restore.
std::vector<std::string> lower_owner(const std::string& owner);

}  // namespace lockstep
