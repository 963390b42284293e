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
  if (*owner && !(*owner)->socket.empty()) bundle["daemon"] = ask_all(**owner);
  const std::string path = command.out.empty()
                               ? fmt::format("lockstep-{}.json", manifest->migration.value)
                               : command.out;
  if (const Status written = write_new(path, json::serialize(bundle) + "\n"); !written)
    return complain(written.error());
  std::cout << path << "\n";
  return ExitCode::Ok;
}

}  // namespace lockstep
