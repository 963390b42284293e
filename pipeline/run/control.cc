#include "pipeline/run/control.h"

#include <fmt/chrono.h>
#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <ctime>
#include <utility>

namespace lockstep {
namespace {

constexpr std::string_view kTablePrefix = "table ";

template <typename Enum, std::size_t count>
std::optional<Enum> parse(const std::array<Enum, count>& all, std::string_view text,
                          std::string_view (*name)(Enum)) {
  const auto found = std::ranges::find(all, text, name);
  return found == all.end() ? std::nullopt : std::optional(*found);
}

}  // namespace

std::string_view part_text(Scope scope) {
  switch (scope) {
    case Scope::Backfill:
      return "backfill";
    case Scope::Apply:
      return "apply";
    case Scope::Reconcile:
      return "reconcile";
  }
  return "unknown";
}

std::optional<Scope> parse_part(std::string_view text) { return parse(kScopes, text, part_text); }

std::string held_table(std::string_view table) {
  return std::string(kTablePrefix) + std::string(table);
}

std::optional<std::string> table_of_held(std::string_view name) {
  if (!name.starts_with(kTablePrefix)) return std::nullopt;
  return std::string(name.substr(kTablePrefix.size()));
}

std::string pause_text(std::string_view name, const Pause& pause) {
  const auto since = static_cast<std::time_t>(pause.since_us / 1'000'000);
  return fmt::format("{} since {:%FT%TZ} by {}{}",
                     name == kAbort ? "all writes are aborted" : std::string(name) + " is paused",
                     fmt::gmtime(since), pause.actor,
                     pause.reason.empty() ? "" : ": " + pause.reason);
}

std::string_view limit_text(Limit limit) {
  switch (limit) {
    case Limit::BackfillRows:
      return "backfill.rate_limit_rows_per_second";
    case Limit::BackfillBytes:
      return "backfill.rate_limit_bytes_per_second";
    case Limit::ReconcileRows:
      return "reconcile.rows_per_second";
    case Limit::ReconcileBytes:
      return "reconcile.bytes_per_second";
    case Limit::Lag:
      return "throttle.lag_seconds";
    case Limit::ReplicaLag:
      return "throttle.replica_lag_seconds";
    case Limit::Sessions:
      return "throttle.active_sessions";
    case Limit::Transaction:
      return "throttle.transaction_ms";
    case Limit::RetainedWal:
      return "throttle.retained_wal_mb";
    case Limit::BreakerQuarantined:
      return "breakers.quarantined_rows";
    case Limit::BreakerUnequal:
      return "breakers.unequal_rows";
    case Limit::BreakerRefused:
      return "breakers.refused_tries";
  }
  return "unknown";
}

std::optional<Limit> parse_limit(std::string_view text) { return parse(kLimits, text, limit_text); }

void show_pauses(const Pauses& pauses, RunStatus& status) {
  constexpr std::string_view kHolds = "an operator: ";
  status.paused.clear();
  std::erase_if(status.waiting_for,
                [&](const std::string& line) { return line.starts_with(kHolds); });
  for (const auto& [name, pause] : pauses) {
    const auto table = table_of_held(name);
    status.paused.push_back({table ? "table" : name, table.value_or(""), pause.actor, pause.reason,
                             pause.since_us, ""});
    status.waiting_for.insert(status.waiting_for.begin(),
                              std::string(kHolds) + pause_text(name, pause));
    const bool writes = name == kAbort || name == part_text(Scope::Apply);
    status.synced = status.synced && !writes && !table;
  }
}

void Control::hold(std::string_view name, bool held) {
  if (name == kAbort) aborted_.store(held);
  if (const auto scope = parse_part(name)) flags_[index(*scope)].store(held);
}

void Control::pause(std::string_view name, Pause pause) {
  const MutexLock lock(mutex_);
  pauses_.insert_or_assign(std::string(name), std::move(pause));
  hold(name, true);
}

bool Control::resume(std::string_view name) {
  const MutexLock lock(mutex_);
  hold(name, false);
  const auto found = pauses_.find(name);
  if (found == pauses_.end()) return false;
  pauses_.erase(found);
  return true;
}

void Control::measured(std::vector<Gauge> gauges, std::chrono::steady_clock::time_point now) {
  const MutexLock lock(mutex_);
  gauges_ = std::move(gauges);
  measured_ = now;
}

void Control::measured(std::optional<KeptWal> kept) {
  const MutexLock lock(mutex_);
  kept_wal_ = kept;
}

std::optional<KeptWal> Control::kept_wal() const {
  const MutexLock lock(mutex_);
  return kept_wal_;
}

std::vector<Gauge> Control::gauges(std::chrono::steady_clock::time_point now) const {
  constexpr std::chrono::seconds kOld{10};
  const MutexLock lock(mutex_);
  std::vector<Gauge> gauges = gauges_;
  if (now - measured_ > kOld)
    for (Gauge& gauge : gauges) gauge.value.reset();
  return gauges;
}

Pauses Control::pauses() const {
  const MutexLock lock(mutex_);
  return pauses_;
}

std::map<std::string, Pause> Control::paused_tables() const {
  const MutexLock lock(mutex_);
  std::map<std::string, Pause> tables;
  for (const auto& [name, pause] : pauses_)
    if (auto table = table_of_held(name)) tables.emplace(*std::move(table), pause);
  return tables;
}

}  // namespace lockstep
