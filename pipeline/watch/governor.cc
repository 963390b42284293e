#include "pipeline/watch/governor.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

namespace lockstep {
namespace {

std::string reason_of(const Gauge& gauge) {
  return fmt::format("{} {:.4g}{} > {:.4g}{}", gauge.what, *gauge.value, gauge.unit, gauge.bound,
                     gauge.unit);
}

}  // namespace

bool Governor::due(Time now) const {
  const MutexLock lock(mutex_);
  return looked_ == Time{} || now - looked_ >= options_.every;
}

// What is not known says nothing: a server that does not answer is told elsewhere, and a gauge that
// a role may not read must not hold the copy for ever.
void Governor::look(const std::vector<Gauge>& gauges, Time now, std::int64_t wall_us) {
  std::vector<std::string> over;
  std::vector<std::string> reasons;
  std::vector<std::string> unknown;
  bool calm = true;
  for (const Gauge& gauge : gauges) {
    if (gauge.bound > 0 && !gauge.trouble.empty())
      unknown.push_back(gauge.what + ": " + gauge.trouble);
    if (gauge.bound <= 0 || !gauge.value) continue;
    if (*gauge.value > gauge.bound) {
      over.push_back(gauge.what);
      reasons.push_back(reason_of(gauge));
    }
    calm = calm && *gauge.value < options_.calm * gauge.bound;
  }
  const MutexLock lock(mutex_);
  if (now_.share < 1 && looked_ != Time{})
    for (const std::string& what : over_)
      now_.seconds[what] += std::chrono::duration<double>(now - looked_).count();
  looked_ = now;
  now_.unknown = std::move(unknown);
  if (!over.empty()) {
    now_.share = std::max(options_.least, now_.share / 2);
    now_.reasons = std::move(reasons);
    over_ = std::move(over);
    if (now_.since_us == 0) now_.since_us = wall_us;
    return;
  }
  if (!calm || now_.share >= 1) return;  // What it was slowed for stays the reason.
  now_.share = std::min(1.0, now_.share * 2);
  if (now_.share < 1) return;
  now_.reasons.clear();
  over_.clear();
  now_.since_us = 0;
}

double Governor::share() const {
  const MutexLock lock(mutex_);
  return now_.share;
}

Throttled Governor::throttled() const {
  const MutexLock lock(mutex_);
  return now_;
}

}  // namespace lockstep
