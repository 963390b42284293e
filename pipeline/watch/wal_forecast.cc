#include "pipeline/watch/wal_forecast.h"

#include <algorithm>

namespace lockstep {
namespace {

using Seconds = std::chrono::duration<double>;

constexpr std::chrono::seconds kApart{5};
constexpr std::chrono::minutes kWindow{10};
constexpr std::chrono::seconds kLeast{30};  // Of watching, before anything is said.

}  // namespace

void WalForecast::add(double mb, Time now) {
  last_ = mb;
  if (!samples_.empty() && now - samples_.back().at < kApart) return;
  samples_.push_back({now, mb});
  while (now - samples_.front().at > kWindow) samples_.pop_front();
}

// The line of least squares: what is kept jumps up and down by a file of the log.
std::optional<double> WalForecast::growth() const {
  if (samples_.empty() || samples_.back().at - samples_.front().at < kLeast) return std::nullopt;
  const auto n = static_cast<double>(samples_.size());
  const auto time = [&](const Sample& one) {
    return Seconds(one.at - samples_.front().at).count();
  };
  double sum_t = 0;
  double sum_mb = 0;
  for (const Sample& one : samples_) {
    sum_t += time(one);
    sum_mb += one.mb;
  }
  double products = 0;
  double squares = 0;
  for (const Sample& one : samples_) {
    const double t = time(one) - sum_t / n;
    products += t * (one.mb - sum_mb / n);
    squares += t * t;
  }
  return products / squares;
}

KeptWal WalForecast::forecast(std::optional<double> limit_mb) const {
  KeptWal kept{last_, limit_mb, std::nullopt};
  const std::optional<double> rate = growth();
  if (!limit_mb || !rate || *rate <= 0) return kept;
  kept.full_in_seconds = std::max(0.0, (*limit_mb - last_) / *rate);
  return kept;
}

}  // namespace lockstep
