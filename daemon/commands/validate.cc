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
  std::optional<Summary> summary;
  if (manifest) {
    check_manifest(*manifest, findings);
    check_this_host(*manifest, findings);
    if (!command.offline) summary = check_servers(*manifest, findings);
  }
  const bool unreachable = !findings.away().empty();
  const std::vector<Problem> problems = std::move(findings).take();
  if (command.format == OutputFormat::Json) {
    boost::json::object document = problems_json(problems);
    if (summary) document["summary"] = summary->json();
    std::cout << boost::json::serialize(document) << "\n";
  } else {
    for (const Problem& problem : problems) std::cout << problem.print() << "\n";
    if (summary) std::cout << summary->print();
    if (!command.offline && !has_errors(problems))
      std::cout << "nothing stands in the way: lockstep run " << command.manifest << "\n";
  }
  if (unreachable) return ExitCode::Unreachable;
  const bool denied = command.deny_warnings && !problems.empty();
  return denied || has_errors(problems) ? ExitCode::Config : ExitCode::Ok;
}

}  // namespace lockstep
