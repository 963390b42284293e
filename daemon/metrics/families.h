// MetricFamilies: what one answer of /metrics is put together of.
#pragma once

#include <prometheus/metric_family.h>

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "pipeline/ports/meters.h"

namespace lockstep {

// Used by one thread.  REQUIRES of each name: metric_catalog() has it.
class MetricFamilies {
 public:
  using Labels = std::vector<std::pair<std::string, std::string>>;

  // `migration` becomes a label of each.
  explicit MetricFamilies(std::string migration) : migration_(std::move(migration)) {}

  // Nothing: it is not known, and left out.
  void add(std::string_view name, std::optional<double> value, Labels labels = {});
  void add(std::string_view name, const Counter& counter, Labels labels = {}) {
    add(name, static_cast<double>(counter.value()), std::move(labels));
  }
  void add(std::string_view name, const Histogram& histogram);

  // In Prometheus' text format, in the catalog's order.
  std::string text() const;

 private:
  prometheus::ClientMetric& next(std::string_view name, Labels labels);

  const std::string migration_;
  std::map<std::string_view, prometheus::MetricFamily> families_;
};

}  // namespace lockstep
