#include <fmt/format.h>

#include <boost/json.hpp>
#include <iostream>

#include "checkpoint/state_lock.h"
#include "daemon/commands/commands.h"
#include "daemon/control_client.h"
#include "daemon/run_state.h"
#include "daemon/status_json.h"

namespace lockstep {
namespace {

namespace json = boost::json;

Result<std::string> ask_to_resume(const Manifest& manifest, const ResumeCommand& command) {
  LOCKSTEP_ASSIGN(const auto owner, read_lock_owner(manifest.state_dir.value.string()));
  if (!owner || owner->socket.empty())
    return fail(Reaction::Halt,
                fmt::format("lockstep does not run: lockstep run {} tries every stopped table "
                            "again",
                            command.manifest),
                ExitCode::Unreachable);
  json::object wanted;
  if (!command.table.empty()) wanted["table"] = command.table;
  LOCKSTEP_ASSIGN(const ControlResponse answer,
                  ask_daemon(owner->socket, {"POST", kResumePath, json::serialize(wanted)}));
  boost::system::error_code broken;
  const json::value parsed = json::parse(answer.body, broken);
  const json::object* document = broken ? nullptr : parsed.if_object();
  if (answer.status != 200 || document == nullptr)
    return fail(Reaction::Halt,
                fmt::format("{}: {}", command.table.empty() ? "resume" : command.table,
                            document == nullptr ? answer.body : text_of(*document, "title")),
                ExitCode::Usage);
  return text_of(*document, "resumed");
}

}  // namespace

ExitCode resume_command(const ResumeCommand& command) {
  const auto manifest = load_or_complain(command.manifest);
  if (!manifest) return ExitCode::Config;
  const auto resumed = ask_to_resume(*manifest, command);
  if (!resumed) return complain(resumed.error());
  std::cout << "tried again: " << *resumed << "; lockstep status " << command.manifest
            << " says how that went\n";
  return ExitCode::Ok;
}

}  // namespace lockstep
