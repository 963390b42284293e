// The page at /metrics: one snapshot of the daemon, in Prometheus' text format.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "daemon/aggregates/result.h"
#include "daemon/metrics/uncompared.h"
#include "pipeline/ports/meters.h"
#include "pipeline/run/control.h"
#include "pipeline/watch/run_status.h"

namespace lockstep {

inline constexpr const char* kMetricsPath = "/metrics";
inline constexpr const char* kMetricsType = "text/plain; version=0.0.4; charset=utf-8";

// Tables beyond these are shown as one, "other".
inline constexpr std::size_t kMetricTablesMax = 200;

struct MetricsSnapshot {
  std::string migration;
  std::string version;
  bool ready = false;    // As /readyz says.
  bool running = false;  // Else nothing but counts, pauses and phase is known.
  const RunStatus& status;
  const Control& control;
  const Meters& meters;
  std::vector<AggregateResult> aggregates;
  std::optional<std::chrono::seconds> reconcile_every;  // Nothing: not again and again.
  std::int64_t now_us = 0;         // When it was taken; microseconds since 1970.
  Uncompared::Since uncompared{};  // Of a run that compares all the time.
};

// What is not known is left out, and is never 0.
std::string metrics_text(const MetricsSnapshot& snapshot);

}  // namespace lockstep
