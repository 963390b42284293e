#include "daemon/verdict.h"

#include <fmt/format.h>

#include <algorithm>
#include <functional>
#include <optional>
#include <utility>
#include <vector>

#include "daemon/status_json.h"

namespace lockstep {
namespace {

constexpr std::size_t kTablesShown = 2;
constexpr double kSilentMax = 15;
constexpr double kLagMax = 5;  // What a migration promises (README).

using Found = std::optional<MigrationVerdict>;

std::vector<std::string> tables_that(const RunStatus& status,
                                     const std::function<bool(const RunTableStatus&)>& are) {
  std::vector<std::string> names;
  for (const RunTableStatus& table : status.tables)
    if (are(table)) names.push_back(table.table);
  return names;
}

// "3 rows of public.a, public.b are"; nothing: there are none.
std::optional<std::string> rows_that_are(
    const RunStatus& status, const std::function<std::uint64_t(const RunTableStatus&)>& count) {
  std::uint64_t rows = 0;
  for (const RunTableStatus& table : status.tables) rows += count(table);
  if (rows == 0) return std::nullopt;
  const auto names =
      tables_that(status, [&](const RunTableStatus& table) { return count(table) > 0; });
  return fmt::format("{} of {} {}", rows == 1 ? "1 row" : fmt::format("{} rows", rows),
                     some_of(names, kTablesShown), rows == 1 ? "is" : "are");
}

// "apply is held since 2026-11-27T04:00:00Z by uid 0: release 17".
std::string held_text(const PausedScope& held) {
  const std::string what = held.scope == "abort"   ? "every write"
                           : held.scope == "table" ? "table " + held.table
                                                   : held.scope;
  return fmt::format("{} is held since {} by {}{}{}", what, time_text(held.since_us), held.actor,
                     held.reason.empty() ? "" : ": ", held.reason);
}

// Nobody looks, so that nothing is known of now, however well the last run ended.
Found not_running(const RunStatus& status, std::string_view) {
  if (status.phase != Phase::Stopped) return std::nullopt;
  std::string text = status.waiting_for.empty() ? "nothing runs" : status.waiting_for.front();
  if (!status.last_run.empty()) text += "; the last run ended synced: " + status.last_run;
  return MigrationVerdict{Mood::Unknown, std::move(text)};
}

Found aborted(const RunStatus& status, std::string_view manifest) {
  for (const PausedScope& held : status.paused) {
    if (held.scope != "abort") continue;
    if (!status.abort_waits_for.empty())
      return MigrationVerdict{
          Mood::Trouble, fmt::format("all writes are aborted since {} by {}, and have not ended: "
                                     "waiting for {}",
                                     time_text(held.since_us), held.actor, status.abort_waits_for)};
    return MigrationVerdict{
        Mood::Held,
        fmt::format("{}; once its reason is gone: lockstep resume {}", held_text(held), manifest)};
  }
  return std::nullopt;
}

// A server that is away while it prepares is as bad as one that goes away later.
Found not_prepared(const RunStatus& status, std::string_view) {
  constexpr double kPreparesMax = 60;
  if (status.phase != Phase::Prepare || status.prepare_waits_seconds < kPreparesMax)
    return std::nullopt;
  return MigrationVerdict{
      Mood::Trouble,
      fmt::format("it cannot begin for {:.0f} s: waiting for {}; next: MigrationNotReady in "
                  "docs/runbook.md",
                  status.prepare_waits_seconds,
                  status.waiting_for.empty() ? "the servers" : status.waiting_for.front())};
}

// While it drains nobody looks.
Found silent(const RunStatus& status, std::string_view) {
  if (status.silent_seconds < kSilentMax || status.phase == Phase::Drain) return std::nullopt;
  return MigrationVerdict{Mood::Unknown, fmt::format("the supervisor has said nothing for {:.0f} s",
                                                     status.silent_seconds)};
}

Found stopped(const RunStatus& status, std::string_view manifest) {
  const auto names = tables_that(status, [](const RunTableStatus& table) {
    return !table.stopped.empty() && !table.counts.life.paused;
  });
  if (names.empty()) return std::nullopt;
  std::string which = some_of(names, kTablesShown);
  if (names.size() == 1)
    which +=
        ": " + std::ranges::find(status.tables, names.front(), &RunTableStatus::table)->stopped;
  return MigrationVerdict{Mood::Trouble,
                          fmt::format("{} of {} tables stopped: {}; next: lockstep status {}",
                                      names.size(), status.tables.size(), which, manifest)};
}

// Who holds a lock says more than the lanes that fail for it.
Found broken(const RunStatus& status, std::string_view) {
  if (status.trouble.empty()) return std::nullopt;
  const auto lock = std::ranges::find_if(
      status.trouble, [](const std::string& line) { return line.starts_with("lanes: "); });
  if (lock != status.trouble.end()) return MigrationVerdict{Mood::Trouble, *lock};
  return MigrationVerdict{Mood::Trouble, status.trouble.front() +
                                             "; it is tried again; next: MigrationNotReady in "
                                             "docs/runbook.md"};
}

Found unequal(const RunStatus& status, std::string_view manifest) {
  const auto rows = rows_that_are(status, [](const RunTableStatus& table) {
    return table.sweep ? table.sweep->open_findings : 0;
  });
  if (!rows) return std::nullopt;
  return MigrationVerdict{
      Mood::Trouble,
      fmt::format("{} not equal on both sides; next: lockstep findings list {}", *rows, manifest)};
}

Found set_aside(const RunStatus& status, std::string_view manifest) {
  const auto rows = rows_that_are(
      status, [](const RunTableStatus& table) { return table.quarantined.value_or(0); });
  if (!rows) return std::nullopt;
  return MigrationVerdict{
      Mood::Trouble,
      fmt::format("{} set aside; next: lockstep quarantine list {}", *rows, manifest)};
}

// At its limit the server drops what our slot needs.
Found log_full(const RunStatus& status, std::string_view) {
  constexpr double kSoon = 4 * 3600;
  if (!status.kept_wal || !status.kept_wal->full_in_seconds) return std::nullopt;
  const double left = *status.kept_wal->full_in_seconds;
  if (left >= kSoon) return std::nullopt;
  return MigrationVerdict{
      Mood::Trouble, fmt::format("the source's log for us reaches its limit in {:.0f} min; next: "
                                 "MigrationSourceWalFull in docs/runbook.md",
                                 left / 60)};
}

Found differing(const std::vector<AggregateResult>& aggregates, std::string_view manifest) {
  std::vector<std::string> names;
  for (const AggregateResult& one : aggregates)
    if (one.state == AggregateState::Different) names.push_back(one.name);
  if (names.empty()) return std::nullopt;
  return MigrationVerdict{
      Mood::Trouble,
      fmt::format("{} of {} aggregates differ: {}; next: lockstep aggregates {}", names.size(),
                  aggregates.size(), some_of(names, kTablesShown), manifest)};
}

// Whoever held it had a reason.
Found held(const RunStatus& status, std::string_view manifest) {
  if (status.paused.empty()) return std::nullopt;
  const PausedScope& first = status.paused.front();
  const std::size_t more = status.paused.size() - 1;
  const std::string what =
      first.scope == "table" ? fmt::format("--table '{}'", first.table) : "--scope " + first.scope;
  return MigrationVerdict{
      Mood::Held, fmt::format("{}{}{}; once its reason is gone: lockstep resume {} {}",
                              held_text(first), more > 0 ? fmt::format(" (and {} more)", more) : "",
                              first.waits_for.empty() ? "" : ", and waits for " + first.waits_for,
                              manifest, what)};
}

Found copying(const RunStatus& status, std::string_view) {
  if (status.phase == Phase::Prepare)
    return MigrationVerdict{Mood::Busy,
                            status.waiting_for.empty()
                                ? "it prepares"
                                : "it prepares: waiting for " + status.waiting_for.front()};
  if (status.phase == Phase::Drain) return MigrationVerdict{Mood::Busy, "it drains, and then ends"};
  if (status.phase != Phase::Backfill) return std::nullopt;
  const auto left =
      tables_that(status, [](const RunTableStatus& table) { return !table.counts.life.copied; });
  return MigrationVerdict{Mood::Busy, fmt::format("it copies: {} of {} tables are left",
                                                  left.size(), status.tables.size())};
}

// What somebody holds explains that much is behind only where nothing can be written.  While tables
// are copied the stream may be held on purpose, and begins to tell of itself a moment after them.
Found behind(const RunStatus& status, std::string_view) {
  constexpr double kBegins = 60;
  const bool copies = status.phase == Phase::Backfill;
  if (!copies && status.phase != Phase::Follow) return std::nullopt;
  if (std::ranges::find(status.paused, "apply", &PausedScope::scope) != status.paused.end())
    return std::nullopt;
  const std::string waits =
      status.waiting_for.empty() ? "" : ": waiting for " + status.waiting_for.front();
  if (!status.lag_seconds && copies && (status.stream_held || status.lag_unknown_seconds < kBegins))
    return std::nullopt;
  if (!status.lag_seconds)
    return MigrationVerdict{
        Mood::Unknown,
        fmt::format("the lag has not been known for {:.0f} s{}; next: MigrationLagUnknown in "
                    "docs/runbook.md",
                    status.lag_unknown_seconds, waits)};
  if (*status.lag_seconds > kLagMax)
    return MigrationVerdict{Mood::Trouble, fmt::format("the lag is {:.1f} s, more than {:.0f} s{}",
                                                       *status.lag_seconds, kLagMax, waits)};
  // A lag of nothing rests on a word of the source, as a proof does.
  if (status.proof && status.proof->age_seconds > kLagMax && status.paused.empty())
    return MigrationVerdict{Mood::Unknown, fmt::format("nothing has been proven for {:.0f} s{}",
                                                       status.proof->age_seconds, waits)};
  return std::nullopt;
}

// How long ago the oldest of the comparisons of all tables was, where all were compared.
std::string compared(const RunStatus& status) {
  std::int64_t oldest = 0;
  for (const RunTableStatus& table : status.tables) {
    if (!table.sweep || !table.sweep->verified_through) return "not every row was compared yet";
    oldest = oldest == 0 ? table.sweep->oldest_us : std::min(oldest, table.sweep->oldest_us);
  }
  if (oldest == 0) return "nothing was compared";
  return "every row was compared since " + time_text(oldest);
}

MigrationVerdict following(const RunStatus& status) {
  if (status.synced && status.proof)
    return {Mood::Well,
            fmt::format("all that was committed until {:.1f} s ago is on the target ({} proof); {}",
                        status.proof->age_seconds, status.proof->exact ? "exact" : "near",
                        compared(status))};
  return {Mood::Busy, status.waiting_for.empty()
                          ? "it follows; not proven yet"
                          : "it follows; waiting for " + status.waiting_for.front()};
}

}  // namespace

std::string_view mood_text(Mood mood) {
  switch (mood) {
    case Mood::Well:
      return "well";
    case Mood::Busy:
      return "busy";
    case Mood::Held:
      return "held";
    case Mood::Unknown:
      return "unknown";
    case Mood::Trouble:
      return "trouble";
  }
  return "unknown";
}

// The worst first.
MigrationVerdict verdict_of(const RunStatus& status, std::string_view manifest,
                            const std::vector<AggregateResult>& aggregates) {
  for (const auto look : {not_running, aborted, not_prepared, silent, stopped, broken, unequal})
    if (Found found = look(status, manifest)) return *std::move(found);
  if (Found found = differing(aggregates, manifest)) return *std::move(found);
  for (const auto look : {set_aside, log_full, behind, held, copying})
    if (Found found = look(status, manifest)) return *std::move(found);
  return following(status);
}

// What an operator holds, and a lag, are none of its faults.  Of a run that nobody has looked at
// yet nothing is known.
std::vector<std::string> not_ready(const RunStatus& status, bool runs) {
  const bool preparing = status.phase != Phase::Aborted && (!runs || !status.looked);
  std::vector<std::string> reasons = preparing ? status.waiting_for : status.trouble;
  if (preparing && reasons.empty()) reasons.emplace_back("it is still preparing");
  if (status.phase == Phase::Drain) reasons.emplace_back("it is asked to end");
  return reasons;
}

}  // namespace lockstep
