// events: what lockstep has told, whether it runs or not, and what it tells from now on.
#include <fmt/format.h>

#include <boost/json.hpp>
#include <iostream>

#include "daemon/commands/commands.h"
#include "daemon/control_client.h"
#include "daemon/event_log.h"
#include "daemon/state_directory.h"
#include "daemon/status_json.h"

namespace lockstep {
namespace {

namespace json = boost::json;

void print_event(const json::object& event, OutputFormat format) {
  if (format == OutputFormat::Json) {
    // Whoever follows reads line by line.
    std::cout << json::serialize(event) << '\n' << std::flush;
    return;
  }
  std::cout << fmt::format("{}  {:<5}  {}", text_of(event, "at"), text_of(event, "level"),
                           text_of(event, "message"));
  for (const auto& [name, value] : event.at("fields").as_object())
    std::cout << fmt::format("  {}={}", std::string(name), std::string(value.as_string()));
  std::cout << '\n' << std::flush;
}

Result<std::string> stored_events(const Manifest& manifest, std::size_t limit) {
  LOCKSTEP_ASSIGN(const auto checkpoint, open_checkpoint(manifest));
  if (!checkpoint) return events_json({});
  LOCKSTEP_ASSIGN(const auto events, checkpoint->load_told(0, limit));
  return events_json(events);
}

Status show(const Manifest& manifest, const EventsCommand& command) {
  LOCKSTEP_ASSIGN(const auto owner, await_owner(manifest));
  const bool running = owner && !owner->socket.empty();
  if (command.follow && !running)
    return runs_not("nothing will be told; next: lockstep run " + manifest.path);
  const std::string path = fmt::format("{}?limit={}", kEventsPath, command.limit);
  LOCKSTEP_ASSIGN(const std::string answer, running ? ask_owner(*owner, {"GET", path, ""})
                                                    : stored_events(manifest, command.limit));
  const json::value document = json::parse(answer);
  std::uint64_t last = 0;
  for (const json::value& event : document.at("events").as_array()) {
    print_event(event.as_object(), command.format);
    last = event.at("id").to_number<std::uint64_t>();
  }
  if (!command.follow) return {};
  return follow_daemon(
      owner->socket, fmt::format("{}?after={}", kEventsPath, last),
      [&](const std::string& data) { print_event(json::parse(data).as_object(), command.format); });
}

}  // namespace

ExitCode events_command(const EventsCommand& command) {
  const auto manifest = load_or_complain(command.manifest);
  if (!manifest) return ExitCode::Config;
  const Status shown = show(*manifest, command);
  return shown ? ExitCode::Ok : complain(shown.error());
}

}  // namespace lockstep
