// healthcheck: asks the daemon of a migration whether it does its work; for images without a shell.
#include <iostream>

#include "daemon/commands/commands.h"
#include "daemon/control_client.h"
#include "daemon/run_state.h"
#include "daemon/state_directory.h"

namespace lockstep {

ExitCode healthcheck_command(const std::string& path) {
  const auto manifest = load_or_complain(path);
  if (!manifest) return ExitCode::Config;
  const auto owner = find_owner(*manifest);
  if (!owner) return complain(owner.error());
  if (!*owner || (*owner)->socket.empty())
    return complain(runs_not("next: lockstep run " + path).error());
  const auto answer = ask_daemon((*owner)->socket, {"GET", kReadyPath, ""});
  if (!answer) return complain(answer.error());
  std::cout << answer->body << "\n";
  return answer->status == 200 ? ExitCode::Ok : ExitCode::Failed;
}

}  // namespace lockstep
