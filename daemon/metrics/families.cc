#include "daemon/metrics/families.h"

#include <prometheus/text_serializer.h>

#include <limits>

#include "daemon/metrics/catalog.h"

namespace lockstep {
namespace {

prometheus::MetricType type_of(MetricKind kind) {
  switch (kind) {
    case MetricKind::Counter:
      return prometheus::MetricType::Counter;
    case MetricKind::Gauge:
      return prometheus::MetricType::Gauge;
    case MetricKind::Histogram:
      return prometheus::MetricType::Histogram;
  }
  return prometheus::MetricType::Untyped;
}

}  // namespace

prometheus::ClientMetric& MetricFamilies::next(std::string_view name, Labels labels) {
  const MetricInfo& info = metric_info(name);
  const auto [found, fresh] = families_.try_emplace(info.name);
  prometheus::MetricFamily& family = found->second;
  if (fresh) {
    family.name = info.name;
    family.help = info.help;
    family.type = type_of(info.kind);
  }
  prometheus::ClientMetric& metric = family.metric.emplace_back();
  metric.label.push_back({"migration", migration_});
  for (auto& [label, value] : labels) metric.label.push_back({std::move(label), std::move(value)});
  return metric;
}

void MetricFamilies::add(std::string_view name, std::optional<double> value, Labels labels) {
  if (!value) return;
  prometheus::ClientMetric& metric = next(name, std::move(labels));
  (metric_info(name).kind == MetricKind::Counter ? metric.counter.value : metric.gauge.value) =
      *value;
}

void MetricFamilies::add(std::string_view name, const Histogram& histogram) {
  const Histogram::Sums sums = histogram.read();
  prometheus::ClientMetric& metric = next(name, {});
  metric.histogram.sample_count = sums.up_to.back();
  metric.histogram.sample_sum = sums.sum;
  for (std::size_t i = 0; i < sums.up_to.size(); ++i)
    metric.histogram.bucket.push_back(
        {sums.up_to[i],
         i < sums.bounds.size() ? sums.bounds[i] : std::numeric_limits<double>::infinity()});
}

std::string MetricFamilies::text() const {
  std::vector<prometheus::MetricFamily> ordered;
  for (const MetricInfo& info : metric_catalog())
    if (const auto found = families_.find(info.name); found != families_.end())
      ordered.push_back(found->second);
  return prometheus::TextSerializer().Serialize(ordered);
}

}  // namespace lockstep
