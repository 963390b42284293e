#include <boost/json.hpp>
#include <iostream>

#include "daemon/aggregates/result.h"
#include "daemon/commands/commands.h"
#include "daemon/state_directory.h"

namespace lockstep {
namespace {

Result<std::vector<AggregateResult>> last_results(const Manifest& manifest) {
  LOCKSTEP_ASSIGN(const auto checkpoint, open_checkpoint(manifest));
  if (!checkpoint) return results_of(manifest, {});
  LOCKSTEP_ASSIGN(const auto note, checkpoint->load_note(kAggregatesNote));
  return results_of(manifest, parse_results(note.value_or("")));
}

}  // namespace

ExitCode aggregates_command(const AggregatesCommand& command) {
  const auto manifest = load_or_complain(command.manifest);
  if (!manifest) return ExitCode::Config;
  const auto results = last_results(*manifest);
  if (!results) return complain(results.error());
  if (command.format == OutputFormat::Json)
    std::cout << boost::json::serialize(boost::json::object{{"aggregates", results_json(*results)}})
              << "\n";
  else
    std::cout << results_text(*results, command.manifest);
  return exit_of(*results);
}

}  // namespace lockstep
