#include <fmt/format.h>

#include <filesystem>
#include <iostream>

#include "checkpoint/state_lock.h"
#include "daemon/commands/commands.h"
#include "daemon/control_client.h"
#include "daemon/offline_status.h"
#include "daemon/status_json.h"

namespace lockstep {
namespace {

// The status document: the running daemon's, else what the target and the state directory say.
Result<std::string> read_status(const Manifest& manifest) {
  LOCKSTEP_ASSIGN(const auto owner, read_lock_owner(manifest.state_dir.value.string()));
  if (owner && !owner->socket.empty()) {
    auto answer = ask_daemon(owner->socket, {"GET", "/api/v1/status", ""});
    if (answer && answer->status == 200) return answer->body;
    if (answer)
      return fail(Reaction::Halt,
                  fmt::format("the daemon (pid {}) answered {}", owner->pid, answer->status),
                  ExitCode::Failed);
    // It owns the directory and has not bound its socket yet, or is just ending.
    if (std::filesystem::exists(owner->socket)) return std::unexpected(std::move(answer).error());
    RunStatus starting;
    starting.waiting_for = {fmt::format("the daemon (pid {}) starts or ends", owner->pid)};
    return status_json(manifest.migration.value, starting);
  }
  return offline_status(manifest);
}

}  // namespace

ExitCode status_command(const StatusCommand& command) {
  const auto manifest = load_or_complain(command.manifest);
  if (!manifest) return ExitCode::Config;
  const auto document = read_status(*manifest);
  if (!document) return complain(document.error());
  std::cout << (command.format == OutputFormat::Json ? *document + "\n" : status_text(*document));
  if (command.exit_code && !status_is_synced(*document)) return ExitCode::Incomplete;
  return ExitCode::Ok;
}

}  // namespace lockstep
