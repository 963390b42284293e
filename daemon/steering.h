// Steering: what an operator tells a migration to hold or to limit, stored before it counts, so
// that it outlives every end of the process; who said it, when, and why stands in the audit log.
//
//   pause, resume, set ──> Steering ──> checkpoint, Control ──> steps of the run
//
// The verbs use one of the running daemon, over its socket, or one of their own on the checkpoint.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "checkpoint/rocksdb_store.h"
#include "config/manifest.h"
#include "pipeline/base/result.h"
#include "pipeline/base/sync.h"
#include "pipeline/run/control.h"

namespace lockstep {

inline constexpr std::uint64_t kLimitMax = 1'000'000'000;  // As in the manifest.

// Who asks, and why, for the audit log and for `status`.
struct Order {
  std::string actor;
  std::string reason;
};

// A limit as `settings` shows it.
struct ShownSetting {
  std::string name;
  std::uint64_t value = 0;
  std::uint64_t manifest = 0;  // What it is when nobody has set it.
  std::string actor;           // Who did; "": nobody.
  std::int64_t at_us = 0;
};

// Safe for concurrent use.
class Steering {
 public:
  // Called with what was done, as one sentence, once it is stored.
  using Tell = std::function<void(const std::string& what)>;

  // Both outlive it.  REQUIRES: load() before anything else.
  Steering(const Manifest& manifest, RocksdbStore& store, Tell tell)
      : manifest_(manifest), store_(store), tell_(std::move(tell)) {}
  // The manifest's limits, and what was stored earlier.
  Status load();

  const Control& control() const { return control_; }
  void measured(std::optional<KeptWal> kept) { control_.measured(kept); }
  // What the servers bear, as LoadWatch has measured it.
  void measured(std::vector<Gauge> gauges, std::chrono::steady_clock::time_point now) {
    control_.measured(std::move(gauges), now);
  }

  // What is held is named as for Control.
  Status pause(const std::vector<std::string>& names, const Order& order);
  // Holds everything, also where that cannot be stored: the error of that, and then it holds for as
  // long as this process lives.
  Status abort(const Order& order);
  // As pause(), but what somebody holds stays his, unless he is `over`.
  Status pause_free(const std::vector<std::string>& names, const Order& order,
                    std::string_view over = {});
  // Returns those that were paused.  `by`: only what this actor has paused; "": whoever has.
  Result<std::vector<std::string>> resume(const std::vector<std::string>& names, const Order& order,
                                          std::string_view by = {});
  // Nothing: as the manifest says.  REQUIRES: it is kLimitMax at most.
  Status set(Limit limit, std::optional<std::uint64_t> value, const Order& order);

  // What the manifest says is this from now on; what somebody has set stays.
  Status reload(const Manifest& manifest, const Order& order);

  std::vector<ShownSetting> settings() const;
  // The same as it is stored, of a migration that nobody runs.
  static Result<std::vector<ShownSetting>> stored_settings(const Manifest& manifest,
                                                           const CheckpointReader& checkpoint);
  // Those that are not as the manifest says, for people, with who set them and how to undo that.
  std::vector<std::string> set_by_hand() const;

  // Whether the manifest selects a table of this name, which the source may lack.
  bool selects(std::string_view table) const;

 private:
  Status note(const Order& order, const std::string& verb, const std::string& details);
  Status hold(const std::vector<std::string>& names, const Order& order) REQUIRES(mutex_);
  static std::uint64_t manifest_value(const Manifest& manifest, Limit limit);

  const Manifest& manifest_;
  RocksdbStore& store_;
  const Tell tell_;
  Control control_;
  mutable Mutex mutex_;  // One order at a time.
  std::vector<ShownSetting> settings_ GUARDED_BY(mutex_);
};

// "all" names every scope.  Error: no such scope; those there are are named.
Result<std::vector<std::string>> scopes_of(std::string_view text);

// Halt, exit Temporary: somebody has aborted all writes, and nobody has resumed since.
Status refuse_while_aborted(const CheckpointReader& checkpoint, const std::string& manifest);

// What is stored, for a status without a daemon.
Result<Pauses> stored_pauses(const CheckpointReader& checkpoint);

// Steering of a migration that nobody runs, for the next run to find; owns its state directory
// meanwhile.
struct StoredSteering {
  std::unique_ptr<RocksdbStore> store;
  std::unique_ptr<Steering> steering;
};

// Halt, exit Temporary: somebody runs it.
Result<StoredSteering> open_steering(const Manifest& manifest);

}  // namespace lockstep
