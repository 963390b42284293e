#include "pipeline/run/control.h"

#include <fmt/chrono.h>
#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <ctime>
#include <utility>

namespace lockstep {
namespace {

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

std::string pause_text(Scope scope, const Pause& pause) {
  const auto since = static_cast<std::time_t>(pause.since_us / 1'000'000);
  return fmt::format("{} is paused since {:%FT%TZ} by {}{}", part_text(scope), fmt::gmtime(since),
                     pause.actor, pause.reason.empty() ? "" : ": " + pause.reason);
}

std::string_view limit_text(Limit limit) {
  switch (limit) {
    case Limit::BackfillRows:
      return "backfill.rate_limit_rows_per_second";
    case Limit::ReconcileRows:
      return "reconcile.rows_per_second";
  }
  return "unknown";
}

std::optional<Limit> parse_limit(std::string_view text) { return parse(kLimits, text, limit_text); }

void show_pauses(const std::map<Scope, Pause>& pauses, RunStatus& status) {
  for (const auto& [scope, pause] : pauses) {
    status.paused.push_back(
        {std::string(part_text(scope)), pause.actor, pause.reason, pause.since_us});
    status.waiting_for.insert(status.waiting_for.begin(),
                              "an operator: " + pause_text(scope, pause));
    status.synced = status.synced && scope != Scope::Apply;
  }
}

void Control::pause(Scope scope, Pause pause) {
  const MutexLock lock(mutex_);
  pauses_[scope] = std::move(pause);
  flags_[index(scope)].store(true, std::memory_order_release);
}

bool Control::resume(Scope scope) {
  const MutexLock lock(mutex_);
  flags_[index(scope)].store(false, std::memory_order_release);
  return pauses_.erase(scope) > 0;
}

std::map<Scope, Pause> Control::pauses() const {
  const MutexLock lock(mutex_);
  return pauses_;
}

}  // namespace lockstep
