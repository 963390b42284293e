#include "daemon/reset.h"

#include <fmt/format.h>

#include <iostream>

#include "daemon/commands/commands.h"

namespace lockstep {

ExitCode reset_command(const ResetCommand& command) {
  const auto manifest = load_or_complain(command.manifest);
  if (!manifest) return ExitCode::Config;
  const auto steps = plan_reset(*manifest);
  if (!steps) return complain(steps.error());
  if (steps->empty()) {
    std::cout << "nothing of migration " << manifest->migration.value << " is there\n";
    return ExitCode::Ok;
  }
  ExitCode worst = ExitCode::Ok;
  for (const ResetStep& step : *steps) {
    if (!command.yes) {
      std::cout << "would " << step.what << "\n    " << step.by_hand << "\n";
      continue;
    }
    const Status done = step.carry_out();
    if (done) {
      std::cout << "done: " << step.what << "\n";
      continue;
    }
    if (worst == ExitCode::Ok) worst = done.error().exit;
    std::cout << fmt::format("NOT done: {}: {}\n    as who may do it: {}\n", step.what,
                             done.error().message, step.by_hand);
  }
  if (!command.yes)
    std::cout << "nothing was changed: lockstep reset " << command.manifest << " --yes does it\n";
  else
    std::cout << "the target's tables keep their rows: empty them before the migration begins "
                 "anew\n";
  return worst;
}

}  // namespace lockstep
