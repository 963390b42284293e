// The metrics that the daemon shows at /metrics: their names, types, labels and what they say.
//
// docs/metrics.md is made of it, and nothing is shown that does not stand in it.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

namespace lockstep {

enum class MetricKind : std::uint8_t { Counter, Gauge, Histogram };

struct MetricInfo {
  std::string_view name;
  MetricKind kind = MetricKind::Gauge;
  std::string_view labels;  // "table, op"; besides `migration`, which each has.
  std::string_view help;
};

std::span<const MetricInfo> metric_catalog();
// REQUIRES: it stands there.
const MetricInfo& metric_info(std::string_view name);

// The table of docs/metrics.md.
std::string catalog_markdown();

}  // namespace lockstep
