#include "daemon/steering.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <chrono>
#include <iterator>
#include <utility>

#include "config/selection.h"
#include "daemon/status_json.h"
#include "pipeline/base/number.h"

namespace lockstep {
namespace {

std::int64_t now_us() {
  return std::chrono::duration_cast<std::chrono::microseconds>(
             std::chrono::system_clock::now().time_since_epoch())
      .count();
}

constexpr std::string_view kPausePrefix = "pause.";

std::string pause_name(std::string_view name) {
  return std::string(kPausePrefix) + std::string(name);
}

}  // namespace

Result<std::vector<std::string>> scopes_of(std::string_view text) {
  std::vector<std::string> names;
  for (const Scope scope : kScopes)
    if (text.empty() || text == "all" || text == part_text(scope))
      names.emplace_back(part_text(scope));
  if (!names.empty()) return names;
  return fail(Reaction::Halt,
              fmt::format("there is no scope {}: all, backfill, apply or reconcile", text),
              ExitCode::Usage);
}

Status refuse_while_aborted(const CheckpointReader& checkpoint, const std::string& manifest) {
  LOCKSTEP_ASSIGN(const Pauses pauses, stored_pauses(checkpoint));
  const auto abort = pauses.find(kAbort);
  if (abort == pauses.end()) return {};
  return fail(Reaction::Halt,
              pause_text(abort->first, abort->second) + ": lockstep resume " + manifest + " first",
              ExitCode::Temporary);
}

Result<Pauses> stored_pauses(const CheckpointReader& checkpoint) {
  LOCKSTEP_ASSIGN(const auto stored, checkpoint.load_settings());
  Pauses pauses;
  for (const auto& [name, setting] : stored)
    if (name.starts_with(kPausePrefix))
      pauses.insert_or_assign(name.substr(kPausePrefix.size()),
                              Pause{setting.actor, setting.value, setting.at_us});
  return pauses;
}

std::uint64_t Steering::manifest_value(const Manifest& manifest, Limit limit) {
  switch (limit) {
    case Limit::BackfillRows:
      return manifest.backfill.rate_limit_rows_per_second;
    case Limit::BackfillBytes:
      return manifest.backfill.rate_limit_bytes_per_second;
    case Limit::ReconcileRows:
      return manifest.reconcile.rows_per_second;
    case Limit::ReconcileBytes:
      return manifest.reconcile.bytes_per_second;
    case Limit::Lag:
      return manifest.throttle.lag_seconds;
    case Limit::ReplicaLag:
      return manifest.throttle.replica_lag_seconds;
    case Limit::Sessions:
      return manifest.throttle.active_sessions;
    case Limit::Transaction:
      return manifest.throttle.transaction_ms;
    case Limit::RetainedWal:
      return manifest.throttle.retained_wal_mb;
    case Limit::BreakerQuarantined:
      return manifest.breakers.quarantined_rows;
    case Limit::BreakerUnequal:
      return manifest.breakers.unequal_rows;
    case Limit::BreakerRefused:
      return manifest.breakers.refused_tries;
  }
  return 0;
}

Result<std::vector<ShownSetting>> Steering::stored_settings(const Manifest& manifest,
                                                            const CheckpointReader& checkpoint) {
  LOCKSTEP_ASSIGN(const auto stored, checkpoint.load_settings());
  std::vector<ShownSetting> settings;
  for (const Limit limit : kLimits) {
    const std::string name(limit_text(limit));
    const std::uint64_t value = manifest_value(manifest, limit);
    ShownSetting shown{name, value, value, "", 0};
    if (const auto found = stored.find(name); found != stored.end()) {
      if (!parse_number(found->second.value, shown.value))
        return fail(Reaction::Halt, fmt::format("stored setting {} is \"{}\", which is no number",
                                                name, found->second.value));
      shown.actor = found->second.actor;
      shown.at_us = found->second.at_us;
    }
    settings.push_back(std::move(shown));
  }
  return settings;
}

Status Steering::load() {
  const MutexLock lock(mutex_);
  LOCKSTEP_ASSIGN(const auto pauses, stored_pauses(store_.read()));
  for (const auto& [name, pause] : pauses) control_.pause(name, pause);
  LOCKSTEP_ASSIGN(settings_, stored_settings(manifest_, store_.read()));
  for (const Limit limit : kLimits)
    control_.set(limit, settings_.at(static_cast<std::size_t>(limit)).value);
  return {};
}

// First the log: what nobody can trace would be worse than a line about what failed.
Status Steering::note(const Order& order, const std::string& verb, const std::string& details) {
  const std::string what = order.reason.empty() ? details : details + ": " + order.reason;
  LOCKSTEP_TRY(store_.append_audit({now_us(), order.actor, verb, what}));
  tell_(fmt::format("{} {}, by {}", verb, what, order.actor));
  return {};
}

Status Steering::hold(const std::vector<std::string>& names, const Order& order) {
  LOCKSTEP_TRY(note(order, "pause", fmt::format("{}", fmt::join(names, ", "))));
  for (const std::string& name : names) {
    const Pause pause{order.actor, order.reason, now_us()};
    LOCKSTEP_TRY(
        store_.save_setting(pause_name(name), {pause.reason, pause.actor, pause.since_us}));
    control_.pause(name, pause);
  }
  return {};
}

Status Steering::pause(const std::vector<std::string>& names, const Order& order) {
  const MutexLock lock(mutex_);
  return hold(names, order);
}

// Whoever needs it must not be kept from it by a disk that is full.
Status Steering::abort(const Order& order) {
  const MutexLock lock(mutex_);
  const std::string name(kAbort);
  const Status stored = hold({name}, order);
  if (stored) return {};
  control_.pause(name, {order.actor, order.reason, now_us()});
  tell_(fmt::format("pause {}, by {}; it is not stored: {}", name, order.actor,
                    stored.error().message));
  return stored;
}

Status Steering::pause_free(const std::vector<std::string>& names, const Order& order,
                            std::string_view over) {
  const MutexLock lock(mutex_);
  const Pauses held = control_.pauses();
  std::vector<std::string> free;
  std::ranges::copy_if(names, std::back_inserter(free), [&](const std::string& name) {
    const auto found = held.find(name);
    return found == held.end() || found->second.actor == over;
  });
  return free.empty() ? Status() : hold(free, order);
}

Result<std::vector<std::string>> Steering::resume(const std::vector<std::string>& names,
                                                  const Order& order, std::string_view by) {
  const MutexLock lock(mutex_);
  const Pauses held = control_.pauses();
  std::vector<std::string> paused;
  std::ranges::copy_if(names, std::back_inserter(paused), [&](const std::string& name) {
    const auto found = held.find(name);
    return found != held.end() && (by.empty() || found->second.actor == by);
  });
  if (paused.empty()) return paused;
  LOCKSTEP_TRY(note(order, "resume", fmt::format("{}", fmt::join(paused, ", "))));
  for (const std::string& name : paused) {
    LOCKSTEP_TRY(store_.remove_setting(pause_name(name)));
    control_.resume(name);
  }
  return paused;
}

Status Steering::set(Limit limit, std::optional<std::uint64_t> value, const Order& order) {
  const std::string name(limit_text(limit));
  CHECK(value.value_or(0) <= kLimitMax);
  const MutexLock lock(mutex_);
  const std::string text = value ? std::to_string(*value) : "as the manifest says";
  LOCKSTEP_TRY(note(order, "set", name + "=" + text));
  ShownSetting& shown = *std::ranges::find(settings_, name, &ShownSetting::name);
  const std::int64_t now = now_us();
  if (value)
    LOCKSTEP_TRY(store_.save_setting(name, {text, order.actor, now}));
  else
    LOCKSTEP_TRY(store_.remove_setting(name));
  shown = {name, value.value_or(shown.manifest), shown.manifest, value ? order.actor : "",
           value ? now : 0};
  control_.set(limit, shown.value);
  return {};
}

bool Steering::selects(std::string_view table) const {
  const ListedTable listed{table_of(table), std::nullopt};
  return !select_tables(manifest_, {&listed, 1}).tables.empty();
}

Status Steering::reload(const Manifest& manifest, const Order& order) {
  const MutexLock lock(mutex_);
  std::string changed;
  for (const Limit limit : kLimits) {
    const ShownSetting& shown = settings_.at(static_cast<std::size_t>(limit));
    if (const std::uint64_t value = manifest_value(manifest, limit); value != shown.manifest)
      changed += fmt::format("{}{}={}{}", changed.empty() ? "" : ", ", shown.name, value,
                             shown.actor.empty() ? "" : fmt::format(" (stays {})", shown.value));
  }
  LOCKSTEP_TRY(note(order, "reload", changed));
  for (const Limit limit : kLimits) {
    ShownSetting& shown = settings_.at(static_cast<std::size_t>(limit));
    shown.manifest = manifest_value(manifest, limit);
    if (!shown.actor.empty()) continue;
    shown.value = shown.manifest;
    control_.set(limit, shown.value);
  }
  return {};
}

std::vector<std::string> Steering::set_by_hand() const {
  std::vector<std::string> lines;
  for (const ShownSetting& one : settings())
    if (!one.actor.empty() && one.value != one.manifest)
      lines.push_back(fmt::format(
          "{0} = {1} (the manifest says {2}) since {3} by {4}; undo: lockstep set {5} {0}=manifest",
          one.name, one.value, one.manifest, time_text(one.at_us), one.actor, manifest_.path));
  return lines;
}

std::vector<ShownSetting> Steering::settings() const {
  const MutexLock lock(mutex_);
  return settings_;
}

Result<StoredSteering> open_steering(const Manifest& manifest) {
  StoreOptions options;
  options.directory = manifest.state_dir.value.string();
  options.identity.migration = manifest.migration.value;
  StoredSteering stored;
  LOCKSTEP_ASSIGN(stored.store, RocksdbStore::open(options));
  stored.steering = std::make_unique<Steering>(manifest, *stored.store, [](const std::string&) {});
  LOCKSTEP_TRY(stored.steering->load());
  return stored;
}

}  // namespace lockstep
