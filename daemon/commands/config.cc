// reload; config print, schema, diff.
#include <fmt/format.h>

#include <boost/json.hpp>
#include <iostream>
#include <string_view>

#include "checkpoint/state_lock.h"
#include "config/effective.h"
#include "config/schema.h"
#include "daemon/commands/commands.h"
#include "daemon/control_client.h"
#include "daemon/reload.h"
#include "daemon/status_json.h"

namespace lockstep {
namespace {

namespace json = boost::json;

// The state directory is where it is looked for: one that was started with another is not found.
Result<LockOwner> running_daemon(const Manifest& manifest, const std::string& otherwise) {
  LOCKSTEP_ASSIGN(const auto owner, await_owner(manifest));
  if (!owner || owner->socket.empty())
    return fail(Reaction::Halt,
                fmt::format("no lockstep runs with state_dir {}: {}; one that was started with "
                            "another state_dir goes on with that: put it back into {} to ask it",
                            manifest.state_dir.value.string(), otherwise, manifest.path),
                ExitCode::Unreachable);
  return *owner;
}

// The keys of secrets that stand in the file and are not what the daemon goes by.
Result<std::vector<std::string>> changed_secrets(const Manifest& manifest, const LockOwner& owner) {
  std::vector<std::string> changed;
  json::object secrets;
  for (const auto& [key, secret] : literal_secrets(manifest)) secrets[key] = secret.reveal();
  if (secrets.empty()) return changed;
  const json::object wanted{{"secrets", std::move(secrets)}};
  LOCKSTEP_ASSIGN(const std::string answer,
                  ask_owner(owner, {"POST", kConfigPath, json::serialize(wanted)}));
  const json::value document = json::parse(answer);
  for (const json::value& key : document.at("changed").as_array())
    changed.emplace_back(key.as_string());
  return changed;
}

void print_change(const json::object& change) {
  const char* const why = change.contains("problem") ? "problem" : "stays";
  const std::string problem = text_of(change, why);
  const auto shown = [&](const char* key) {
    const std::string text = text_of(change, key);
    return text.empty() ? std::string("nothing") : text;
  };
  if (shown("before") == shown("after"))
    std::cout << text_of(change, "key");
  else
    std::cout << fmt::format("{}: {} -> {}", text_of(change, "key"), shown("before"),
                             shown("after"));
  std::cout << (problem == "-" ? "" : ": " + problem) << "\n";
}

Result<ExitCode> reload(const Manifest& manifest, const ReloadCommand& command) {
  LOCKSTEP_ASSIGN(const LockOwner owner,
                  running_daemon(manifest, "the next run reads " + command.manifest));
  const json::object wanted{{"reason", command.reason}};
  LOCKSTEP_ASSIGN(const ControlResponse answer,
                  ask_daemon(owner.socket, {"POST", kReloadPath, json::serialize(wanted)}));
  const json::value document = json::parse(answer.body);
  if (answer.status == 200) {
    const json::array& changed = document.at("changed").as_array();
    for (const json::value& change : changed) print_change(change.as_object());
    if (changed.empty()) std::cout << "nothing has changed\n";
    return ExitCode::Ok;
  }
  const json::value* const keys = document.as_object().if_contains("keys");
  if (keys == nullptr) return fail(refusal_of(answer));
  std::cout << "nothing was changed:\n";
  for (const json::value& key : keys->as_array()) print_change(key.as_object());
  return ExitCode::Config;
}

// The file against what the running daemon goes by.
Result<ExitCode> diff(const Manifest& manifest, const ConfigCommand& command) {
  LOCKSTEP_ASSIGN(const LockOwner owner,
                  running_daemon(manifest, "there is nothing to compare the file with"));
  LOCKSTEP_ASSIGN(const std::string answer, ask_owner(owner, {"GET", kConfigPath, ""}));
  std::vector<ConfigChange> changes =
      config_changes(json::parse(answer), effective_config(manifest));
  LOCKSTEP_ASSIGN(const std::vector<std::string> secrets, changed_secrets(manifest, owner));
  for (const std::string& key : secrets) changes.push_back({key, "***", "***", false});
  json::array list;
  for (const ConfigChange& change : changes) {
    const std::string next = change.hot ? "lockstep reload " + command.manifest : "a restart";
    json::object object{{"key", change.key},
                        {"running", change.before},
                        {"file", change.after},
                        {"hot", change.hot}};
    if (command.format == OutputFormat::Text)
      print_change({{"key", change.key},
                    {"before", change.before},
                    {"after", change.after},
                    {"problem", "counts after " + next}});
    list.push_back(std::move(object));
  }
  // What somebody has set counts instead of either.
  LOCKSTEP_ASSIGN(const std::string status, ask_owner(owner, {"GET", kStatusPath, ""}));
  const json::value told = json::parse(status);
  const json::array& set = told.at("set").as_array();
  if (command.format == OutputFormat::Json) {
    std::cout << json::serialize(json::object{{"changes", std::move(list)}, {"set", set}}) << "\n";
    return changes.empty() ? ExitCode::Ok : ExitCode::Different;
  }
  if (changes.empty())
    std::cout << "the running daemon goes by this file"
              << (set.empty() ? "" : ", but for what is set by hand") << "\n";
  for (const json::value& line : set)
    std::cout << "set by hand: " << std::string_view(line.as_string()) << "\n";
  return changes.empty() ? ExitCode::Ok : ExitCode::Different;
}

}  // namespace

ExitCode reload_command(const ReloadCommand& command) {
  const auto manifest = load_or_complain(command.manifest);
  if (!manifest) return ExitCode::Config;
  const auto reloaded = reload(*manifest, command);
  return reloaded ? *reloaded : complain(reloaded.error());
}

ExitCode config_command(const ConfigCommand& command) {
  if (command.verb == "schema") {
    std::cout << manifest_schema();
    return ExitCode::Ok;
  }
  const auto manifest = load_or_complain(command.manifest);
  if (!manifest) return ExitCode::Config;
  if (command.verb == "diff") {
    const auto compared = diff(*manifest, command);
    return compared ? *compared : complain(compared.error());
  }
  const json::object config = effective_config(*manifest);
  std::cout << (command.format == OutputFormat::Json ? json::serialize(config) + "\n"
                                                     : config_yaml(config));
  return ExitCode::Ok;
}

}  // namespace lockstep
