// Control: what somebody has told a run to hold or to limit while it goes on.
//
//   control socket, manifest ──> Control ──> steps of the Assembly, which ask it each time
//
// It outlives runs: one that is prepared anew within its process goes on as it was told.  Whoever
// tells it stores that first (daemon/steering.h).
#pragma once

#include <array>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "pipeline/base/sync.h"
#include "pipeline/watch/governor.h"
#include "pipeline/watch/run_status.h"

namespace lockstep {

// Parts of a run that can be held.
enum class Scope : std::uint8_t {
  Backfill,   // Reading and writing chunks.
  Apply,      // Every write of the lanes: changes, chunk rows that go through them, debts.
  Reconcile,  // Reading both sides to compare them, also for a heal.
};
inline constexpr std::array kScopes{Scope::Backfill, Scope::Apply, Scope::Reconcile};
// "backfill", ...
std::string_view part_text(Scope scope);
std::optional<Scope> parse_part(std::string_view text);

// What is held has a name: that of a part, "table public.orders", or kAbort: everything that
// writes.
inline constexpr std::string_view kAbort = "abort";
std::string held_table(std::string_view table);
// The table of such a name; nothing: it names no table.
std::optional<std::string> table_of_held(std::string_view name);

struct Pause {
  std::string actor;  // "uid 1000"
  std::string reason;
  std::int64_t since_us = 0;  // Microseconds since 1970.
};
using Pauses = std::map<std::string, Pause, std::less<>>;  // By the name of what is held.

// For people: "apply is paused since 2026-11-27T04:00:00Z by uid 0: release 17".
std::string pause_text(std::string_view name, const Pause& pause);

// Numbers that may change while it runs; 0: no limit.
enum class Limit : std::uint8_t {
  BackfillRows,  // Read per second.
  BackfillBytes,
  ReconcileRows,
  ReconcileBytes,
  // Bounds of the governor (watch/governor.h).
  Lag,          // Of the stream, in seconds.
  ReplicaLag,   // Of the slowest standby of either side, in seconds.
  Sessions,     // That are active on the target, but for ours.
  Transaction,  // Of our lanes, in milliseconds.
  RetainedWal,  // Of the source, for our slot, in MiB.
  // Of breakers: rows, or tries, within ten minutes.
  BreakerQuarantined,
  BreakerUnequal,
  BreakerRefused,
};
inline constexpr std::array kLimits{
    Limit::BackfillRows, Limit::BackfillBytes,      Limit::ReconcileRows,  Limit::ReconcileBytes,
    Limit::Lag,          Limit::ReplicaLag,         Limit::Sessions,       Limit::Transaction,
    Limit::RetainedWal,  Limit::BreakerQuarantined, Limit::BreakerUnequal, Limit::BreakerRefused};
// The manifest's name: "backfill.rate_limit_rows_per_second".
std::string_view limit_text(Limit limit);
std::optional<Limit> parse_limit(std::string_view text);

// Safe for concurrent use.
class Control {
 public:
  void pause(std::string_view name, Pause pause);
  // Returns whether it was paused.
  bool resume(std::string_view name);
  // An abort holds every part.
  bool paused(Scope scope) const { return flags_[index(scope)].load() || aborted(); }
  bool aborted() const { return aborted_.load(); }
  Pauses pauses() const;
  // Of tables, by the table's name.
  std::map<std::string, Pause> paused_tables() const;

  void set(Limit limit, std::uint64_t value) {
    limits_[index(limit)].store(value, std::memory_order_relaxed);
  }
  std::uint64_t get(Limit limit) const {
    return limits_[index(limit)].load(std::memory_order_relaxed);
  }

  // What the servers bear, as somebody has just measured it; gauges() of long ago are not known.
  void measured(std::vector<Gauge> gauges, std::chrono::steady_clock::time_point now);
  std::vector<Gauge> gauges(std::chrono::steady_clock::time_point now) const;
  // Likewise what the source keeps of its log for us; nothing: it is not known.
  void measured(std::optional<KeptWal> kept);
  std::optional<KeptWal> kept_wal() const;

 private:
  template <typename Enum>
  static std::size_t index(Enum value) {
    return static_cast<std::size_t>(value);
  }

  void hold(std::string_view name, bool held);

  // Sequentially consistent: whoever orders and whoever begins to write see each other
  // (under_way.h).
  std::array<std::atomic<bool>, kScopes.size()> flags_{};
  std::atomic<bool> aborted_{false};
  // Hints: nothing else depends on their order.
  std::array<std::atomic<std::uint64_t>, kLimits.size()> limits_{};
  mutable Mutex mutex_;
  Pauses pauses_ GUARDED_BY(mutex_);
  std::vector<Gauge> gauges_ GUARDED_BY(mutex_);
  std::optional<KeptWal> kept_wal_ GUARDED_BY(mutex_);
  std::chrono::steady_clock::time_point measured_ GUARDED_BY(mutex_){};
};

// What is held cannot be waited for, and while nothing is applied nothing is known to be equal.
// In place of what `status` shows of pauses, which may be of a run that is over.
void show_pauses(const Pauses& pauses, RunStatus& status);

}  // namespace lockstep
