#include "daemon/validate/validate.h"

#include <iostream>
#include <utility>

#include "daemon/commands/commands.h"

namespace lockstep {

ExitCode validate_command(const ValidateCommand& command) {
  Parsed parsed = load_manifest(command.manifest);
  Findings findings(command.manifest, std::move(parsed.problems));
  // Mistakes of the file do not end it: the servers may have more to say, all of it in one run.
  const auto& manifest = parsed.manifest ? parsed.manifest : parsed.draft;
  if (manifest) {
    check_manifest(*manifest, findings);
    if (!command.offline) check_servers(*manifest, findings);
  }
  const bool unreachable = findings.unreachable();
  const std::vector<Problem> problems = std::move(findings).take();
  if (command.format == OutputFormat::Json) {
    std::cout << problems_json(problems) << "\n";
  } else {
    for (const Problem& problem : problems) std::cout << problem.print() << "\n";
  }
  if (unreachable) return ExitCode::Unreachable;
  const bool denied = command.deny_warnings && !problems.empty();
  return denied || has_errors(problems) ? ExitCode::Config : ExitCode::Ok;
}

}  // namespace lockstep
