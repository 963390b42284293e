// top: how a migration does, on one screen that redraws each second until Ctrl-C; lines in a pipe.
#include <fmt/chrono.h>
#include <fmt/format.h>

#include <boost/json.hpp>
#include <chrono>
#include <ctime>
#include <iostream>

#include "checkpoint/state_lock.h"
#include "daemon/commands/commands.h"
#include "daemon/control_client.h"
#include "daemon/event_log.h"
#include "daemon/history.h"
#include "daemon/terminal.h"
#include "daemon/top_screen.h"

namespace lockstep {
namespace {

namespace json = boost::json;

constexpr std::chrono::seconds kEvery{1};
constexpr std::chrono::seconds kEveryWithout{10};
constexpr int kLineEvery = 10;  // Looks, while the mood stays.

// What the daemon answers; null: no daemon tells.
json::value ask(const Manifest& manifest, const std::string& path) {
  const auto owner = read_lock_owner(manifest.state_dir.value.string());
  if (!owner || !*owner || (*owner)->socket.empty()) return nullptr;
  const auto text = ask_owner(**owner, {"GET", path, ""});
  boost::system::error_code broken;
  json::value answer = text ? json::parse(*text, broken) : json::value();
  return broken ? json::value() : std::move(answer);
}

Result<ExitCode> show(const Manifest& manifest) {
  const Ending ending;
  const bool terminal = Screen::is_there();
  std::optional<Screen> screen;
  std::string mood;
  for (int look = 0;; ++look) {
    LOCKSTEP_ASSIGN(const std::string document, read_status(manifest, false));
    const json::object status = json::parse(document).as_object();
    const json::value history = ask(manifest, kHistoryPath);
    if (terminal) {
      if (!screen) screen.emplace();
      const json::value events = ask(manifest, std::string(kEventsPath) + "?limit=20");
      screen->draw(top_screen(status, history, events, Screen::size()));
    } else {
      const std::string now = json::serialize(status.at("verdict").at("mood"));
      if (now != std::exchange(mood, now) || look % kLineEvery == 0)
        std::cout << fmt::format("{:%Y-%m-%dT%H:%M:%S}Z ", fmt::gmtime(std::time(nullptr)))
                  << top_line(status, history) << std::endl;
    }
    // Without a daemon each look asks the target itself.
    if (ending.wait(history.is_null() ? kEveryWithout : kEvery)) return ExitCode::Ok;
  }
}

}  // namespace

ExitCode top_command(const std::string& path) {
  const auto manifest = load_or_complain(path);
  if (!manifest) return ExitCode::Config;
  const auto ended = show(*manifest);
  return ended ? *ended : complain(ended.error());
}

}  // namespace lockstep
