// stop, audit.
#include <fmt/format.h>

#include <boost/json.hpp>
#include <chrono>
#include <iostream>

#include "daemon/commands/commands.h"
#include "daemon/control_client.h"
#include "daemon/run_state.h"
#include "daemon/state_directory.h"
#include "daemon/status_json.h"
#include "daemon/waits.h"
#include "pipeline/base/stop_flag.h"

namespace lockstep {
namespace {

namespace json = boost::json;

constexpr std::chrono::milliseconds kEndedEvery{100};
constexpr std::chrono::seconds kEndMax{90};  // A drain is cut off long before.

// It ends all the same.
void say_what_is_not_noted(const std::string& answer) {
  const json::value document = json::parse(answer);
  if (const std::string why = text_of(document.as_object(), "not_noted"); why != "-")
    std::cerr << "lockstep: the order does not stand in the audit log: " << why << "\n";
}

Result<bool> stop(const Manifest& manifest) {
  LOCKSTEP_ASSIGN(const auto owner, await_owner(manifest));
  if (!owner || owner->socket.empty()) return false;
  const auto asked = ask_patiently(*owner, {"POST", kStopPath, "{}"});
  if (!asked && asked.error().code != kHasEnded) return fail(asked.error());
  if (asked) say_what_is_not_noted(*asked);
  const auto until = std::chrono::steady_clock::now() + kEndMax;
  StopFlag never;
  WaitNotice notice;
  for (;;) {
    LOCKSTEP_ASSIGN(const auto now, find_owner(manifest));
    if (!now || now->pid != owner->pid) return true;
    if (std::chrono::steady_clock::now() >= until)
      return fail(Reaction::Halt,
                  fmt::format("pid {} was asked to end and has not; next: lockstep status {}",
                              owner->pid, manifest.path),
                  ExitCode::Temporary);
    notice.tell(fmt::format("pid {} applies what it has read, and ends", owner->pid));
    never.wait(kEndedEvery);
  }
}

}  // namespace

ExitCode stop_command(const std::string& path) {
  const auto manifest = load_or_complain(path);
  if (!manifest) return ExitCode::Config;
  const auto stopped = stop(*manifest);
  if (!stopped) return complain(stopped.error());
  std::cout << (*stopped ? "lockstep has ended\n" : "lockstep does not run\n");
  return ExitCode::Ok;
}

ExitCode audit_command(const AuditCommand& command) {
  const auto manifest = load_or_complain(command.manifest);
  if (!manifest) return ExitCode::Config;
  const auto checkpoint = open_checkpoint(*manifest);
  if (!checkpoint) return complain(checkpoint.error());
  std::vector<AuditEntry> entries;
  if (*checkpoint) {
    auto loaded = (*checkpoint)->load_audit(command.limit);
    if (!loaded) return complain(loaded.error());
    entries = *std::move(loaded);
  }
  json::array list;
  for (const AuditEntry& entry : entries) {
    if (command.format == OutputFormat::Json)
      list.push_back({{"at", time_text(entry.at_us)},
                      {"by", entry.actor},
                      {"verb", entry.verb},
                      {"details", entry.details}});
    else
      std::cout << fmt::format("{}  {}  {}  {}\n", time_text(entry.at_us), entry.actor, entry.verb,
                               entry.details);
  }
  if (command.format == OutputFormat::Json)
    std::cout << json::serialize(json::object{{"audit", std::move(list)}}) << "\n";
  else if (entries.empty())
    std::cout << "nobody has ordered anything\n";
  return ExitCode::Ok;
}

}  // namespace lockstep
