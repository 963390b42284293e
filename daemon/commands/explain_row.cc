#include <iostream>

#include "daemon/commands/commands.h"
#include "daemon/row_json.h"

namespace lockstep {

ExitCode explain_row_command(const ExplainRowCommand& command) {
  const auto manifest = load_or_complain(command.manifest);
  if (!manifest) return ExitCode::Config;
  const auto answer = explain_row(*manifest, command.question);
  if (!answer) return complain(answer.error());
  std::cout << (command.format == OutputFormat::Json ? answer->document + "\n"
                                                     : row_text(answer->document));
  return answer->exit;
}

}  // namespace lockstep
