#include <fmt/format.h>

#include <algorithm>
#include <boost/json.hpp>
#include <chrono>
#include <iostream>
#include <optional>

#include "checkpoint/state_lock.h"
#include "daemon/commands/commands.h"
#include "daemon/control_client.h"
#include "daemon/offline_status.h"
#include "daemon/state_directory.h"
#include "daemon/status_json.h"
#include "daemon/sweep_json.h"
#include "daemon/terminal.h"
#include "daemon/waits.h"
#include "pipeline/base/stop_flag.h"

namespace lockstep {
namespace {

constexpr std::chrono::seconds kFreshMax{60};
constexpr std::chrono::milliseconds kFreshEvery{200};
constexpr std::chrono::seconds kWatchEvery{2};
constexpr std::chrono::seconds kStatusMax{5};  // A daemon that lives has it at hand.

// Whether an operator holds what a proof needs: to wait for it makes no sense.
bool is_held(const std::string& document) {
  const boost::json::value status = boost::json::parse(document);
  return std::ranges::any_of(status.at("paused").as_array(), [](const boost::json::value& one) {
    const std::string scope = text_of(one.as_object(), "scope");
    return scope == kAbort || scope == part_text(Scope::Apply);
  });
}

// Waits until the daemon has proven something that began after this call.
Result<std::string> read_fresh_status(const LockOwner& owner, const std::string& path,
                                      const ControlRequest& asked_for) {
  using std::chrono::steady_clock;
  const auto begun = steady_clock::now();
  StopFlag never;
  WaitNotice notice;
  LOCKSTEP_TRY(ask_owner(owner, {"POST", kProofPath, ""}));
  for (;;) {
    LOCKSTEP_ASSIGN(std::string document, ask_owner(owner, asked_for));
    const std::chrono::duration<double> waited = steady_clock::now() - begun;
    const std::optional<double> age = proof_age(document);
    if (age && *age <= waited.count()) return document;
    if (waited >= kFreshMax || is_held(document)) return not_proven(document);
    notice.tell("a proof that begins now, a minute at most; next: lockstep status " + path);
    never.wait(kFreshEvery);
  }
}

// What cannot be asked for a moment is said in its place.
ExitCode watch_status(const Manifest& manifest, const StatusCommand& command) {
  const Ending ending;
  std::optional<Screen> screen;
  if (Screen::is_there() && command.format == OutputFormat::Text) screen.emplace();
  do {
    const auto document = read_status(manifest, false);
    const bool text = command.format == OutputFormat::Text;
    if (!document && !screen)
      complain(document.error());
    else if (!screen)
      std::cout << (text ? status_text(*document, command.manifest) : *document) << '\n'
                << std::flush;
    else
      screen->draw(
          fitted(document ? status_text(*document, command.manifest) : document.error().message,
                 Screen::size()));
  } while (!ending.wait(kWatchEvery));
  return ExitCode::Ok;
}

}  // namespace

Result<std::string> read_status(const Manifest& manifest, bool fresh, ShowValues values) {
  LOCKSTEP_ASSIGN(const auto owner, find_owner(manifest));
  if (owner && !owner->socket.empty()) {
    const ControlRequest request{
        "GET", std::string(kStatusPath) + (values == ShowValues::Yes ? "?values=1" : ""), ""};
    auto document = fresh ? read_fresh_status(*owner, manifest.path, request)
                          : ask_owner(*owner, request, kStatusMax);
    if (document || document.error().reaction != Reaction::Retry) return document;
    // It owns the directory and does not listen yet (the file may be one that was killed left), or
    // is just ending.
    if (document.error().code != kNobodyListens) return document;
    RunStatus starting;
    starting.waiting_for = {fmt::format("the daemon (pid {}) starts or ends", owner->pid)};
    return status_json({manifest.migration.value, manifest.path}, starting);
  }
  return offline_status(manifest);
}

ExitCode status_command(const StatusCommand& command) {
  const auto manifest = load_or_complain(command.manifest);
  if (!manifest) return ExitCode::Config;
  if (command.watch) return watch_status(*manifest, command);
  const auto values = command.show_values ? ShowValues::Yes : ShowValues::No;
  auto document = read_status(*manifest, command.fresh, values);
  if (!document) return complain(document.error());
  if (command.show_values) document = with_key_texts(*document, *manifest, true);
  std::cout << (command.format == OutputFormat::Json ? *document + "\n"
                                                     : status_text(*document, command.manifest));
  if (command.exit_code && !status_is_synced(*document)) return ExitCode::Incomplete;
  return ExitCode::Ok;
}

}  // namespace lockstep
