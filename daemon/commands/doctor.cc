// doctor: what somebody who helps from afar wants to know of a migration, in one file without
// secrets, keys and values of rows.
#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <array>
#include <boost/json.hpp>
#include <cerrno>
#include <cstring>
#include <iostream>
#include <string>

#include "checkpoint/checkpoint_reader.h"
#include "checkpoint/state_lock.h"
#include "config/effective.h"
#include "daemon/abort.h"
#include "daemon/commands/commands.h"
#include "daemon/control_client.h"
#include "daemon/control_server.h"
#include "daemon/event_log.h"
#include "daemon/findings_api.h"
#include "daemon/history.h"
#include "daemon/metrics/page.h"
#include "daemon/run_state.h"
#include "daemon/state_directory.h"
#include "daemon/status_json.h"
#include "daemon/steering_api.h"

namespace lockstep {
namespace {

namespace json = boost::json;

// As it is where it is JSON, else as text.
json::value document_of(const std::string& text) {
  boost::system::error_code no_json;
  json::value document = json::parse(text, no_json);
  return no_json ? json::value(text) : std::move(document);
}

// What the daemon tells; of what it does not tell, why not.
json::object ask_all(const LockOwner& owner) {
  const std::array<std::pair<const char*, std::string>, 7> asked{{
      {"ready", kReadyPath},
      {"settings", kSettingsPath},
      {"config", kConfigPath},
      {"events", std::string(kEventsPath) + "?limit=2000"},
      {"findings", kFindingsPath},
      {"history", kHistoryPath},
      {"metrics", kMetricsPath},
  }};
  json::object told;
  for (const auto& [name, path] : asked) {
    const auto answer = ask_daemon(owner.socket, {"GET", path, ""});
    told[name] = answer ? document_of(answer->body)
                        : json::value(json::object{{"missing", answer.error().message}});
  }
  return told;
}

// What lies in the state directory, of a migration of which nobody can be asked.
json::object read_all(const Manifest& manifest) {
  constexpr std::size_t kEventsMost = 2000;
  json::object told;
  const auto tell = [&](const char* name, const Result<std::string>& text) {
    told[name] =
        text ? document_of(*text) : json::value(json::object{{"missing", text.error().message}});
  };
  tell("history", fail(Reaction::Halt, "only a running daemon has it"));
  const auto opened =
      CheckpointReader::open(manifest.state_dir.value.string(), manifest.migration.value);
  const CheckpointReader* const checkpoint = opened && *opened ? &**opened : nullptr;
  const auto read = [&](const auto& of) -> Result<std::string> {
    if (!opened) return fail(opened.error());
    if (checkpoint == nullptr) return fail(Reaction::Halt, "the migration has never run");
    return of(*checkpoint);
  };
  tell("events", read([](const CheckpointReader& from) -> Result<std::string> {
         LOCKSTEP_ASSIGN(const auto events, from.load_told(0, kEventsMost));
         return events_json(events);
       }));
  tell("findings", read([](const CheckpointReader& from) -> Result<std::string> {
         return answer_findings(from, {"GET", kFindingsPath, ""}, {}).body;
       }));
  tell("settings", read([&](const CheckpointReader& from) -> Result<std::string> {
         LOCKSTEP_ASSIGN(const auto settings, Steering::stored_settings(manifest, from));
         return settings_json(settings);
       }));
  return told;
}

// A file of ours alone, which was not there.
Status write_new(const std::string& path, const std::string& text) {
  const int file = ::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
  bool written = file >= 0;
  for (std::size_t at = 0; written && at < text.size();) {
    const ssize_t size = ::write(file, text.data() + at, text.size() - at);
    written = size > 0;
    if (written) at += static_cast<std::size_t>(size);
  }
  const std::string why = written ? "" : std::strerror(errno);  // NOLINT(concurrency-mt-unsafe)
  if (file >= 0 && ::close(file) != 0) written = false;
  if (written) return {};
  return fail(Reaction::Halt,
              fmt::format("cannot write {}: {}; name another file with --out", path, why),
              ExitCode::Io);
}

}  // namespace

ExitCode doctor_command(const DoctorCommand& command) {
  const auto manifest = load_or_complain(command.manifest);
  if (!manifest) return ExitCode::Config;
  json::object bundle;
  bundle["version"] = version_text();
  bundle["manifest"] = effective_config(*manifest);
  const auto status = read_status(*manifest, false);
  bundle["status"] = status ? document_of(*status)
                            : json::value(json::object{{"missing", status.error().message}});
  const auto owner = find_owner(*manifest);
  if (!owner) return complain(owner.error());
  const bool listens = *owner && !(*owner)->socket.empty();
  bundle[listens ? "daemon" : "stored"] = listens ? ask_all(**owner) : read_all(*manifest);
  const std::string path = command.out.empty()
                               ? fmt::format("lockstep-{}.json", manifest->migration.value)
                               : command.out;
  if (const Status written = write_new(path, json::serialize(bundle) + "\n"); !written)
    return complain(written.error());
  std::cout << path << "\n";
  return ExitCode::Ok;
}

}  // namespace lockstep
