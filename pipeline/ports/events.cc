#include "pipeline/ports/events.h"

#include <fmt/format.h>
#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>

#include <array>

#include "pipeline/base/utf8.h"

namespace lockstep {
namespace {

// A JSON string, quotes included.
std::string json_text(std::string_view text) {
  std::string out = "\"";
  for (const char c : valid_utf8(std::string(text))) {
    if (c == '"' || c == '\\') {
      out.push_back('\\');
      out.push_back(c);
    } else if (static_cast<unsigned char>(c) < 0x20) {
      out += fmt::format("\\u{:04x}", static_cast<unsigned>(c));
    } else {
      out.push_back(c);
    }
  }
  return out + "\"";
}

// logfmt: bare when it is one plain word.
std::string logfmt_text(std::string_view text) {
  const bool plain = !text.empty() && text.find_first_of(" =\"\\\n\t") == std::string_view::npos;
  return plain ? std::string(text) : json_text(text);
}

constexpr std::array<std::string_view, 7> kLevels = {"trace", "debug", "info",   "warn",
                                                     "error", "fatal", "unknown"};

}  // namespace

Events::Events(LogFormat format, std::string migration, std::string manifest)
    : format_(format),
      migration_(std::move(migration)),
      manifest_(std::move(manifest)),
      logger_(std::make_shared<spdlog::logger>("lockstep",
                                               std::make_shared<spdlog::sinks::stderr_sink_mt>())) {
  logger_->set_pattern(format == LogFormat::Json ? "%v" : "%Y-%m-%dT%H:%M:%S.%e%z %v");
  logger_->flush_on(spdlog::level::info);
}

Events::Events(std::string manifest) : manifest_(std::move(manifest)) {}
Events::~Events() = default;

std::string_view Events::level_text(int level) { return kLevels[static_cast<std::size_t>(level)]; }

void Events::write(int level, std::string_view message, const Fields& fields) {
  const std::string_view name = level_text(level);
  std::string line;
  if (format_ == LogFormat::Json) {
    const auto now = std::chrono::system_clock::now().time_since_epoch();
    const auto ms = std::chrono::duration_cast<std::chrono::milliseconds>(now).count();
    line = fmt::format(R"({{"ts_ms":{},"level":"{}","migration":{},"msg":{})", ms, name,
                       json_text(migration_), json_text(message));
    for (const auto& [key, value] : fields)
      line += fmt::format(R"(,"{}":{})", key, json_text(value));
    line += "}";
  } else {
    line = fmt::format("level={} msg={}", name, logfmt_text(message));
    for (const auto& [key, value] : fields) line += fmt::format(" {}={}", key, logfmt_text(value));
  }
  logger_->log(static_cast<spdlog::level::level_enum>(level), line);
}

void Events::tell(int level, std::string_view message, const Fields& fields) {
  write(level, message, fields);
  if (listener_) listener_({level_text(level), message, fields});
}

void Events::started(std::string_view version, std::uint64_t epoch) {
  tell(spdlog::level::info, "started",
       {{"version", std::string(version)}, {"epoch", std::to_string(epoch)}});
}
void Events::prepared(std::size_t tables, std::size_t streams) {
  tell(spdlog::level::info, "prepared",
       {{"tables", std::to_string(tables)}, {"streams", std::to_string(streams)}});
}
void Events::copying(std::string_view how) {
  tell(spdlog::level::info, "how tables are copied", {{"how", std::string(how)}});
}
void Events::backfill_done(std::string_view table, std::uint64_t rows) {
  tell(spdlog::level::info, "backfill of a table is done",
       {{"table", std::string(table)}, {"rows", std::to_string(rows)}});
}
void Events::copied_again(std::string_view table, std::string_view why) {
  tell(spdlog::level::warn, "a table is copied again",
       {{"table", std::string(table)}, {"why", std::string(why)}});
}
void Events::partition_copied(std::string_view table, std::string_view partition) {
  tell(spdlog::level::warn, "a partition that was attached with rows is copied",
       {{"table", std::string(table)}, {"partition", std::string(partition)}});
}
void Events::heals(std::string_view table, std::string_view why) {
  tell(spdlog::level::warn, "a table is compared, and what differs is read again",
       {{"table", std::string(table)}, {"why", std::string(why)}});
}
void Events::healed(std::string_view table) {
  tell(spdlog::level::info, "a table is healed", {{"table", std::string(table)}});
}
void Events::newcomer(std::string_view table) {
  tell(spdlog::level::warn, "a table came after this run had begun: start lockstep again",
       {{"table", std::string(table)}});
}
void Events::target_warning(std::string_view table, std::string_view what) {
  tell(spdlog::level::warn, "a table of the target does more than hold rows",
       {{"table", std::string(table)}, {"what", std::string(what)}});
}
void Events::planned_again(std::string_view table, std::string_view why) {
  tell(spdlog::level::warn, "the run is planned again",
       {{"table", std::string(table)}, {"why", std::string(why)}});
}
void Events::synced(std::string_view proof) {
  tell(spdlog::level::info, "synced", {{"proof", std::string(proof)}});
}
void Events::draining(std::string_view why) {
  tell(spdlog::level::info, "draining", {{"why", std::string(why)}});
}
void Events::ended(std::string_view how, int exit_code) {
  tell(spdlog::level::info, "ended",
       {{"how", std::string(how)}, {"exit", std::to_string(exit_code)}});
}
void Events::progress(std::string_view line) {
  write(spdlog::level::info, "progress", {{"line", std::string(line)}});
}
void Events::whole_status(std::string_view document) {
  write(spdlog::level::info, "status", {{"document", std::string(document)}});
}
void Events::reloaded(std::string_view what) {
  tell(spdlog::level::warn, "SIGHUP: the manifest was read again", {{"what", std::string(what)}});
}
void Events::waiting(std::string_view part, std::string_view reason) {
  tell(spdlog::level::warn, "waiting",
       {{"part", std::string(part)}, {"reason", std::string(reason)}});
}
void Events::unreadable(std::string_view table, std::string_view what, std::uint64_t events) {
  tell(spdlog::level::warn, "an event cannot be read: its row is read again from the source",
       {{"table", std::string(table)},
        {"what", std::string(what)},
        {"events", std::to_string(events)}});
}
void Events::quarantined(std::string_view table, std::uint64_t rows) {
  tell(spdlog::level::warn, "rows that the target refuses are set aside: see lockstep quarantine",
       {{"table", std::string(table)},
        {"rows", std::to_string(rows)},
        {"next", "lockstep quarantine list " + manifest_}});
}
void Events::diverged(std::string_view table, std::uint64_t rows) {
  tell(spdlog::level::warn, "rows are not equal on both sides: see lockstep findings list",
       {{"table", std::string(table)},
        {"rows", std::to_string(rows)},
        {"next", fmt::format("lockstep findings list {} --table '{}'", manifest_, table)}});
}
void Events::equal_again(std::string_view table, std::uint64_t rows, std::uint64_t left) {
  tell(spdlog::level::info, "rows that were not equal are equal again",
       {{"table", std::string(table)},
        {"rows", std::to_string(rows)},
        {"left", std::to_string(left)},
        {"which", fmt::format("lockstep findings list {} --table '{}' --all", manifest_, table)}});
}
void Events::forgotten(std::size_t records, std::string_view what) {
  tell(spdlog::level::warn,
       "what was compared or found is forgotten in part, and compared anew: records were damaged",
       {{"records", std::to_string(records)}, {"first", std::string(what)}});
}
void Events::cut_off(std::chrono::milliseconds limit) {
  tell(spdlog::level::err,
       "the end took too long: what the target has not committed is read again at the next start",
       {{"limit_ms", std::to_string(limit.count())}});
}
void Events::resumed(std::string_view part) {
  tell(spdlog::level::info, "going on", {{"part", std::string(part)}});
}
void Events::told(std::string_view part, std::string_view reason, Health::News news) {
  if (news == Health::News::Waits) waiting(part, reason);
  if (news == Health::News::GoesOn) resumed(part);
}
void Events::steered(std::string_view what) {
  tell(spdlog::level::warn, "an operator's order", {{"order", std::string(what)}});
}
void Events::table_paused(std::string_view table, std::string_view why) {
  tell(spdlog::level::warn, "a table is paused; the others go on",
       {{"table", std::string(table)}, {"why", std::string(why)}});
}
void Events::clocks_differ(double ahead_seconds) {
  tell(spdlog::level::warn,
       "the clocks of the source and of this machine differ: the lag goes by the source's",
       {{"source_ahead_seconds", fmt::format("{:.1f}", ahead_seconds)},
        {"next", "have NTP set both; what is said to be of a time here goes by ours"}});
}
void Events::throttled(std::string_view why) {
  tell(spdlog::level::warn, "the copy and the comparison are slowed down",
       {{"why", std::string(why)}});
}
void Events::at_full_speed() {
  tell(spdlog::level::info, "the copy and the comparison are at full speed again", {});
}
void Events::stream_begins_anew(std::string_view lost) {
  tell(spdlog::level::warn, "the stream begins anew, and every table is compared",
       {{"lost", std::string(lost)}});
}
void Events::target_went_back(std::string_view why) {
  tell(spdlog::level::warn,
       "the target was restored or has failed over: nothing counts as compared with it any more",
       {{"why", std::string(why)},
        {"next", "a continuous comparison compares all of it; else run lockstep reconcile"}});
}
void Events::table_stopped(std::string_view table, std::string_view reason) {
  tell(spdlog::level::err, "a table stopped; the others go on",
       {{"table", std::string(table)}, {"reason", std::string(reason)}});
}
void Events::halted(std::string_view part, std::string_view reason) {
  tell(spdlog::level::err, "halted; the target is untouched from here on",
       {{"part", std::string(part)}, {"reason", std::string(reason)}});
}

}  // namespace lockstep
