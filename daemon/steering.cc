#include "daemon/steering.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <utility>

#include "pipeline/base/number.h"

namespace lockstep {
namespace {

std::int64_t now_us() {
  return std::chrono::duration_cast<std::chrono::microseconds>(
             std::chrono::system_clock::now().time_since_epoch())
      .count();
}

std::string pause_name(Scope scope) { return "pause." + std::string(part_text(scope)); }

std::string scopes_text(const std::vector<Scope>& scopes) {
  std::string text;
  for (const Scope scope : scopes)
    text += (text.empty() ? "" : ", ") + std::string(part_text(scope));
  return text;
}

}  // namespace

Result<std::vector<Scope>> scopes_of(std::string_view text) {
  if (text.empty() || text == "all") return std::vector<Scope>(kScopes.begin(), kScopes.end());
  if (const auto scope = parse_part(text)) return std::vector<Scope>{*scope};
  return fail(Reaction::Halt,
              fmt::format("there is no scope {}: all, backfill, apply or reconcile", text),
              ExitCode::Usage);
}

Result<std::map<Scope, Pause>> stored_pauses(const CheckpointReader& checkpoint) {
  LOCKSTEP_ASSIGN(const auto stored, checkpoint.load_settings());
  std::map<Scope, Pause> pauses;
  for (const Scope scope : kScopes)
    if (const auto found = stored.find(pause_name(scope)); found != stored.end())
      pauses[scope] = {found->second.actor, found->second.value, found->second.at_us};
  return pauses;
}

std::uint64_t Steering::manifest_value(Limit limit) const {
  return limit == Limit::BackfillRows ? manifest_.backfill.rate_limit_rows_per_second
                                      : manifest_.reconcile.rows_per_second;
}

Status Steering::load() {
  const MutexLock lock(mutex_);
  LOCKSTEP_ASSIGN(const auto pauses, stored_pauses(store_.read()));
  for (const auto& [scope, pause] : pauses) control_.pause(scope, pause);
  LOCKSTEP_ASSIGN(const auto stored, store_.read().load_settings());
  settings_.clear();
  for (const Limit limit : kLimits) {
    const std::string name(limit_text(limit));
    ShownSetting shown{name, manifest_value(limit), manifest_value(limit), "", 0};
    if (const auto found = stored.find(name); found != stored.end()) {
      if (!parse_number(found->second.value, shown.value))
        return fail(Reaction::Halt, fmt::format("stored setting {} is \"{}\", which is no number",
                                                name, found->second.value));
      shown.actor = found->second.actor;
      shown.at_us = found->second.at_us;
    }
    control_.set(limit, shown.value);
    settings_.push_back(std::move(shown));
  }
  return {};
}

// First the log: what nobody can trace would be worse than a line about what failed.
Status Steering::note(const Order& order, const std::string& verb, const std::string& details) {
  const std::string what = order.reason.empty() ? details : details + ": " + order.reason;
  LOCKSTEP_TRY(store_.append_audit({now_us(), order.actor, verb, what}));
  tell_(fmt::format("{} {}, by {}", verb, what, order.actor));
  return {};
}

Status Steering::pause(const std::vector<Scope>& scopes, const Order& order) {
  const MutexLock lock(mutex_);
  LOCKSTEP_TRY(note(order, "pause", scopes_text(scopes)));
  for (const Scope scope : scopes) {
    const Pause pause{order.actor, order.reason, now_us()};
    LOCKSTEP_TRY(
        store_.save_setting(pause_name(scope), {pause.reason, pause.actor, pause.since_us}));
    control_.pause(scope, pause);
  }
  return {};
}

Result<std::vector<Scope>> Steering::resume(const std::vector<Scope>& scopes, const Order& order) {
  const MutexLock lock(mutex_);
  std::vector<Scope> paused;
  for (const Scope scope : scopes)
    if (control_.paused(scope)) paused.push_back(scope);
  if (paused.empty()) return paused;
  LOCKSTEP_TRY(note(order, "resume", scopes_text(paused)));
  for (const Scope scope : paused) {
    LOCKSTEP_TRY(store_.remove_setting(pause_name(scope)));
    control_.resume(scope);
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

std::vector<ShownSetting> Steering::settings() const {
  const MutexLock lock(mutex_);
  return settings_;
}

}  // namespace lockstep
