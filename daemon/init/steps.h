// InitSteps: what people have to run before `lockstep run`, in the order that works.
#pragma once

#include <string>
#include <vector>

#include "daemon/init/choice.h"
#include "daemon/init/server.h"
#include "pipeline/base/result.h"

namespace lockstep {

// What one person runs on one server, or in a shell.
struct InitStep {
  std::string who;                 // "On the source, db1:5432/shop, as a superuser"
  std::vector<std::string> lines;  // For psql or the shell, as they stand.
};

struct InitPeople {
  std::string owner;  // Of the target's tables; "": the target's database or tables say who.
  // Whether the passwords of new roles are in their files: else nobody may be given them.
  bool secrets_stand = true;
};

// Asks the servers for what is lacking; no step for what is there.  Changes nothing.
Result<std::vector<InitStep>> steps_to_prepare(InitServer& source, InitServer& target,
                                               const InitChoice& choice, const InitPeople& people);

}  // namespace lockstep
