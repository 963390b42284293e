// Events: what the program tells its operators; one call per kind of event, nothing else logs.
//
// A terminal gets logfmt lines, anything else JSON lines.  The message is a fixed sentence, data
// are fields; no column values and no secrets ever pass here.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "pipeline/base/health.h"

namespace spdlog {
class logger;
}

namespace lockstep {

enum class LogFormat { Logfmt, Json };

// Safe for concurrent use.
class Events {
 public:
  // Writes to standard error.  `manifest`: its path, for the commands that are to be given next.
  Events(LogFormat format, std::string migration, std::string manifest);
  virtual ~Events();
  Events(const Events&) = delete;
  Events& operator=(const Events&) = delete;

  using Fields = std::vector<std::pair<std::string_view, std::string>>;
  struct Told {
    std::string_view level;  // "info", "warn", "error".
    std::string_view message;
    const Fields& fields;
  };
  // Called with each event but progress and whole_status(), after it was written, on the thread
  // that told it.  Before the first event.
  void listen(std::function<void(const Told&)> listener) { listener_ = std::move(listener); }

  // INFO: a phase began or ended, an operator's command was carried out.
  void started(std::string_view version, std::uint64_t epoch);
  void prepared(std::size_t tables, std::size_t streams);
  // `backfill.snapshot: exported`: under which snapshots tables are copied from now on, and why.
  void copying(std::string_view how);
  void backfill_done(std::string_view table, std::uint64_t rows);
  // The table's chunks are all read again (I15).
  void copied_again(std::string_view table, std::string_view why);
  void partition_copied(std::string_view table, std::string_view partition);
  // Rows of it have changed in no event: all are compared, and those that differ are read again.
  void heals(std::string_view table, std::string_view why);
  void healed(std::string_view table);
  void newcomer(std::string_view table);
  // The run goes on as it is; somebody should know.
  void target_warning(std::string_view table, std::string_view what);
  // Everything is planned anew within this process.
  void planned_again(std::string_view table, std::string_view why);
  void synced(std::string_view proof);
  void draining(std::string_view why);
  // ERROR: an orderly end took longer than `limit`.
  void cut_off(std::chrono::milliseconds limit);
  void ended(std::string_view how, int exit_code);
  // INFO: the progress line of 05-operations.md, already rendered.
  void progress(std::string_view line);
  // INFO: every ten minutes, as `status --format json` prints it.
  void whole_status(std::string_view document);
  // WARN: SIGHUP came; what it has changed, or why nothing.
  void reloaded(std::string_view what);
  // WARN: survived; logged when the reason changes, and once a minute.
  void waiting(std::string_view part, std::string_view reason);
  void resumed(std::string_view part);
  // One of the two, or nothing.
  void told(std::string_view part, std::string_view reason, Health::News news);
  // An operator's order: "pause apply: release 17, by uid 0".
  void steered(std::string_view what);
  void table_paused(std::string_view table, std::string_view why);
  // WARN: the source's clock is so many seconds ahead of ours; less than 0: behind.
  void clocks_differ(double ahead_seconds);
  // WARN: the copy and the comparison are slowed down.
  void throttled(std::string_view why);
  void at_full_speed();  // After that.
  // After a resync; `lost`: what was in no event.
  void stream_begins_anew(std::string_view lost);
  // Nothing counts as compared with the target any more; `why`: it may have lost something.
  void target_went_back(std::string_view why);
  // Of `events` since the last line; the row of each is read again.  `what`: of the last one.
  void unreadable(std::string_view table, std::string_view what, std::uint64_t events);
  // More rows than before are set aside; `rows`: all of the table's.
  void quarantined(std::string_view table, std::uint64_t rows);
  // So many damaged records of ranges and findings were thrown away; `what`: is wrong with the
  // first.
  void forgotten(std::size_t records, std::string_view what);
  // More rows than before are not equal on both sides; `rows`: all of the table's.
  void diverged(std::string_view table, std::uint64_t rows);
  // So many of these are equal again, whoever made them so; `left`: those that are not.
  void equal_again(std::string_view table, std::uint64_t rows, std::uint64_t left);
  // ERROR: needs a human.
  void table_stopped(std::string_view table, std::string_view reason);
  void halted(std::string_view part, std::string_view reason);

 protected:
  explicit Events(std::string manifest = {});     // For those who write elsewhere.
  static std::string_view level_text(int level);  // "info", "warn", "error".

 private:
  virtual void write(int level, std::string_view message, const Fields& fields);
  void tell(int level, std::string_view message, const Fields& fields);

  const LogFormat format_ = LogFormat::Json;
  const std::string migration_;
  const std::string manifest_;
  std::function<void(const Told&)> listener_;
  std::shared_ptr<spdlog::logger> logger_;  // spdlog hands out shared loggers only.
};

}  // namespace lockstep
