#include "daemon/journal.h"

#include <fmt/format.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <syslog.h>
#include <systemd/sd-journal.h>
#include <unistd.h>

#include <cstdlib>
#include <iostream>
#include <utility>
#include <vector>

#include "pipeline/model/row.h"

namespace lockstep {
namespace {

int priority(std::string_view level) {
  return level == "error" ? LOG_ERR : level == "warn" ? LOG_WARNING : LOG_INFO;
}

// Names of an entry's fields are of capitals, digits and underscores, and begin with a letter.
std::string field_name(std::string_view key) {
  std::string name;
  for (const char c : key)
    name.push_back(c >= 'a' && c <= 'z' ? static_cast<char>(c - 'a' + 'A') : c);
  return name;
}

}  // namespace

JournalEvents::JournalEvents(std::string migration, std::string manifest)
    : Events(std::move(manifest)), migration_(std::move(migration)) {}

bool JournalEvents::listens() {
  const char* const stream = std::getenv("JOURNAL_STREAM");
  struct stat ours{};
  return stream != nullptr && fstat(STDERR_FILENO, &ours) == 0 &&
         fmt::format("{}:{}", ours.st_dev, ours.st_ino) == stream;
}

std::string JournalEvents::message_id(std::string_view message) {
  const Hash128 hash = hash128(message, 0);
  return fmt::format("{:016x}{:016x}", hash.high, hash.low);
}

void JournalEvents::write(int level, std::string_view message, const Fields& fields) {
  std::string text(message);
  for (const auto& [key, value] : fields) text += fmt::format(" {}={}", key, value);
  std::vector<std::string> entry{
      "MESSAGE=" + text, fmt::format("PRIORITY={}", priority(level_text(level))),
      "SYSLOG_IDENTIFIER=lockstep", "MESSAGE_ID=" + message_id(message), "MIGRATION=" + migration_};
  for (const auto& [key, value] : fields) entry.push_back(field_name(key) + "=" + value);
  std::vector<iovec> parts;
  parts.reserve(entry.size());
  for (std::string& part : entry) parts.push_back({part.data(), part.size()});
  // A journal that takes nothing must not lose the sentence: standard error leads there, too.
  if (sd_journal_sendv(parts.data(), static_cast<int>(parts.size())) < 0) std::cerr << text + "\n";
}

std::unique_ptr<Events> open_events(const std::string& migration, const std::string& manifest) {
  if (JournalEvents::listens()) return std::make_unique<JournalEvents>(migration, manifest);
  return std::make_unique<Events>(
      ::isatty(STDERR_FILENO) == 1 ? LogFormat::Logfmt : LogFormat::Json, migration, manifest);
}

}  // namespace lockstep
