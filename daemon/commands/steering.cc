// pause, resume, settings, get, set: what an operator tells a migration, running or not.
#include <fmt/format.h>

#include <boost/json.hpp>
#include <chrono>
#include <iostream>
#include <optional>

#include "checkpoint/state_lock.h"
#include "daemon/actor.h"
#include "daemon/commands/commands.h"
#include "daemon/control_client.h"
#include "daemon/run_state.h"
#include "daemon/status_json.h"
#include "daemon/steering_api.h"
#include "daemon/waits.h"
#include "pipeline/base/number.h"
#include "pipeline/base/stop_flag.h"

namespace lockstep {
namespace {

namespace json = boost::json;

constexpr std::chrono::milliseconds kInForceEvery{20};
constexpr std::chrono::seconds kInForceWithin{60};

// Asks the running daemon; nothing when none runs.
Result<std::optional<std::string>> ask_running(const Manifest& manifest,
                                               const ControlRequest& request) {
  LOCKSTEP_ASSIGN(const auto owner, await_owner(manifest));
  if (!owner || owner->socket.empty()) return std::optional<std::string>();
  auto answer = ask_patiently(*owner, request);
  if (!answer && answer.error().code == kHasEnded) return std::optional<std::string>();
  if (!answer) return fail(std::move(answer).error());
  return std::optional(*std::move(answer));
}

// The same order on the checkpoint, for the next run.
Result<std::string> order_offline(const Manifest& manifest, ControlRequest request) {
  LOCKSTEP_ASSIGN(const StoredSteering stored, open_steering(manifest));
  Steering& steering = *stored.steering;
  request.actor = own_actor();
  if (request.path != kResumePath) {
    ControlResponse answer = answer_steering(steering, request);
    if (answer.status == 200) return std::move(answer.body);
    return fail(refusal_of(answer));
  }
  const json::value wanted = json::parse(request.body);
  LOCKSTEP_ASSIGN(const auto names, resume_held(steering, wanted.as_object(), request.actor));
  if (const std::string table = text_of(wanted.as_object(), "table");
      names.empty() && table != "-" && !steering.selects(table))
    return fail(Reaction::Halt,
                fmt::format("there is no table {}: see lockstep status {}", table, manifest.path),
                ExitCode::Usage);
  json::array scopes;
  for (const std::string& name : names) scopes.emplace_back(name);
  const std::string left = abort_left(steering.control().pauses(), manifest.path);
  return json::serialize(
      json::object{{"scopes", std::move(scopes)},
                   {"aborted", left.empty() ? json::value(nullptr) : json::value(left)}});
}

Result<std::string> order(const Manifest& manifest, const ControlRequest& request) {
  LOCKSTEP_ASSIGN(auto answer, ask_running(manifest, request));
  if (answer) return *std::move(answer);
  auto done = order_offline(manifest, request);
  if (done || done.error().exit != ExitCode::Temporary) return done;
  LOCKSTEP_ASSIGN(answer, ask_running(manifest, request));  // A daemon has begun meanwhile.
  return answer ? Result<std::string>(*std::move(answer)) : done;
}

std::string list_text(const json::object& document, std::string_view key) {
  std::string text;
  if (const json::value* const list = document.if_contains(key))
    for (const json::value& one : list->as_array())
      text += (text.empty() ? "" : ", ") + std::string(one.as_string());
  return text;
}

std::string text_or_nothing(const json::object& document, std::string_view key) {
  const std::string text = text_of(document, key);
  return text == "-" ? "" : text;
}

// Of a command line: "NAME=1000", "NAME=manifest".
Result<json::object> parse_values(const std::vector<std::string>& values) {
  json::object parsed;
  for (const std::string& text : values) {
    const std::size_t equals = text.find('=');
    std::uint64_t number = 0;
    const bool manifest = equals != text.npos && text.substr(equals + 1) == "manifest";
    if (equals == text.npos ||
        (!manifest && !parse_number(std::string_view(text).substr(equals + 1), number)))
      return fail(Reaction::Halt,
                  text + " is not NAME=VALUE with a number, or `manifest` for what that says",
                  ExitCode::Usage);
    parsed[text.substr(0, equals)] = manifest ? json::value(nullptr) : json::value(number);
  }
  return parsed;
}

// What of the pauses of a document keeps the one that was ordered from being in force; nothing:
// somebody has ended that one.
std::optional<std::string> pause_waits(const json::value& document, const PauseCommand& command) {
  const bool all = command.scope.empty() || command.scope == "all";
  std::optional<std::string> waits;
  for (const json::value& value : document.at("paused").as_array()) {
    const json::object& held = value.as_object();
    const std::string scope = text_of(held, "scope");
    const bool ours = !command.table.empty() ? text_of(held, "table") == command.table
                      : all                  ? parse_part(scope).has_value()
                                             : scope == command.scope;
    if (!ours) continue;
    const std::string one = text_or_nothing(held, "waits_for");
    if (!waits) waits.emplace();
    if (!one.empty() && !waits->contains(one)) *waits += (waits->empty() ? "" : "; ") + one;
  }
  return waits;
}

// Until nothing is under way any more that began before the order.
Status await_force(const Manifest& manifest, const PauseCommand& command, std::string answer) {
  const auto until = std::chrono::steady_clock::now() + kInForceWithin;
  StopFlag never;
  WaitNotice notice;
  for (;;) {
    const auto waits = pause_waits(json::parse(answer), command);
    if (!waits)
      return fail(Reaction::Halt,
                  "somebody has ended the pause meanwhile; next: lockstep audit " + manifest.path,
                  ExitCode::Temporary);
    if (waits->empty()) return {};
    if (std::chrono::steady_clock::now() >= until)
      return fail(Reaction::Halt,
                  fmt::format("the pause is ordered and stays so, but waits for {}; next: lockstep "
                              "status {} says whose lock that waits for; lockstep abort {} ends it",
                              *waits, manifest.path, manifest.path),
                  ExitCode::Temporary);
    notice.tell(*waits);
    never.wait(kInForceEvery);
    LOCKSTEP_ASSIGN(auto now, ask_running(manifest, {"GET", kPausePath, ""}));
    if (!now) return {};  // Nobody runs it any more: the next run begins with the pause.
    answer = *std::move(now);
  }
}

std::string setting_line(const json::object& one) {
  const bool is_set = !one.at("by").is_null();
  return fmt::format(
      "{} = {}{}\n", text_of(one, "name"), text_of(one, "value"),
      is_set ? fmt::format("  (manifest: {}; set by {} at {})", text_of(one, "manifest"),
                           text_of(one, "by"), text_of(one, "since"))
             : "  (as the manifest says)");
}

ExitCode print_settings(const SettingsCommand& command, const std::string& document) {
  if (command.format == OutputFormat::Json && command.name.empty()) {
    std::cout << document << "\n";
    return ExitCode::Ok;
  }
  bool found = command.name.empty();
  const json::value parsed = json::parse(document);
  for (const json::value& entry : parsed.at("settings").as_array()) {
    const json::object& one = entry.as_object();
    if (!command.name.empty() && text_of(one, "name") != command.name) continue;
    found = true;
    std::cout << (command.format == OutputFormat::Json ? json::serialize(one) + "\n"
                                                       : setting_line(one));
  }
  if (found) return ExitCode::Ok;
  std::cerr << fmt::format("lockstep: there is no setting {}: see lockstep settings {}\n",
                           command.name, command.manifest);
  return ExitCode::Usage;
}

}  // namespace

ExitCode pause_command(const PauseCommand& command) {
  const auto manifest = load_or_complain(command.manifest);
  if (!manifest) return ExitCode::Config;
  json::object wanted{{"reason", command.reason}};
  if (command.table.empty())
    wanted["scope"] = command.scope;
  else
    wanted["table"] = command.table;
  const auto answer = order(*manifest, {"POST", kPausePath, json::serialize(wanted)});
  if (!answer) return complain(answer.error());
  if (const Status ended = await_force(*manifest, command, *answer); !ended)
    return complain(ended.error());
  std::cout << (!command.table.empty()   ? "table " + command.table
                : command.scope == "all" ? "everything"
                                         : command.scope)
            << " is held, also over restarts, until lockstep resume " << command.manifest
            << (command.table.empty() ? "" : " --table '" + command.table + "'") << "\n";
  return ExitCode::Ok;
}

ExitCode resume_command(const ResumeCommand& command) {
  const auto manifest = load_or_complain(command.manifest);
  if (!manifest) return ExitCode::Config;
  json::object wanted{{"reason", command.reason}};
  if (!command.table.empty()) wanted["table"] = command.table;
  if (!command.scope.empty()) wanted["scope"] = command.scope;
  const auto answer = order(*manifest, {"POST", kResumePath, json::serialize(wanted)});
  if (!answer) return complain(answer.error());
  const json::value document = json::parse(*answer);
  const std::string scopes = list_text(document.as_object(), "scopes");
  const std::string tables = list_text(document.as_object(), "resumed");
  const std::string aborted = text_or_nothing(document.as_object(), "aborted");
  if (!scopes.empty())
    std::cout << (aborted.empty() ? "goes on: " : "not paused any more: ") << scopes << "\n";
  if (!aborted.empty()) std::cout << "nothing goes on: " << aborted << "\n";
  if (!tables.empty())
    std::cout << "tried again: " << tables << "; lockstep status " << command.manifest
              << " says how that went\n";
  if (!scopes.empty() || !tables.empty()) return ExitCode::Ok;
  if (!aborted.empty()) return ExitCode::Incomplete;
  if (!command.table.empty())
    return complain(runs_not(fmt::format("table {} is not paused; next: lockstep run {} tries "
                                         "every stopped table again",
                                         command.table, command.manifest))
                        .error());
  std::cout << (document.as_object().contains("resumed")
                    ? "nothing is paused, and no table has stopped\n"
                    : "nothing is paused; lockstep does not run: lockstep run " + command.manifest +
                          " tries every stopped table again\n");
  return ExitCode::Ok;
}

ExitCode settings_command(const SettingsCommand& command) {
  const auto manifest = load_or_complain(command.manifest);
  if (!manifest) return ExitCode::Config;
  ControlRequest request{"GET", kSettingsPath, ""};
  if (!command.values.empty()) {
    auto values = parse_values(command.values);
    if (!values) return complain(values.error());
    const json::object wanted{{"values", *std::move(values)}, {"reason", command.reason}};
    request = {"PATCH", kSettingsPath, json::serialize(wanted)};
  }
  const auto answer = order(*manifest, request);
  return answer ? print_settings(command, *answer) : complain(answer.error());
}

}  // namespace lockstep
