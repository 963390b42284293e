// Governor: slows the copy and the comparison, never the stream, while something that matters more
// is under pressure.
//
//   lag, our transactions ──┐
//   pressure.h (servers) ───┴─> Governor ──> share of the time ──> Pacer, Sweep; reasons ──> status
//
// A gauge that is over its bound halves the share at each look; once every gauge is well below its
// bound the share doubles.  In between it stays, so that the load which it lets through does not
// switch it on and off.
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "pipeline/base/sync.h"

namespace lockstep {

// Something measured, and what it may be.
struct Gauge {
  std::string what;             // For people: "stream lag", "active sessions of the target".
  std::string unit;             // " s", " MiB", "".
  std::optional<double> value;  // Nothing: not known.
  double bound = 0;             // 0: it may be anything.
  std::string trouble{};        // Why it is not known.
};

// Why the copy and the comparison are slowed down right now.
struct Throttled {
  double share = 1;  // Of the time that they may work.
  std::vector<std::string> reasons;
  std::vector<std::string> unknown;  // What has a bound and could not be measured, and why.
  std::int64_t since_us = 0;         // 0: they are not.
  // In this run, in all, by Gauge::what: how long it was the reason.
  std::map<std::string, double> seconds;
};

struct GovernorOptions {
  std::chrono::milliseconds every{500};
  double least = 1.0 / 64;
  double calm = 0.8;  // Of a bound: below that the share grows again.
};

// Safe for concurrent use.
class Governor {
 public:
  using Time = std::chrono::steady_clock::time_point;

  explicit Governor(GovernorOptions options = {}) : options_(options) {}

  // Whether the next look is due.
  bool due(Time now) const;
  // `wall_us`: the same moment for people.
  void look(const std::vector<Gauge>& gauges, Time now, std::int64_t wall_us);

  double share() const;
  Throttled throttled() const;

 private:
  const GovernorOptions options_;
  mutable Mutex mutex_;
  Throttled now_ GUARDED_BY(mutex_);
  std::vector<std::string> over_ GUARDED_BY(mutex_);  // Gauge::what of the reasons.
  Time looked_ GUARDED_BY(mutex_){};
};

}  // namespace lockstep
