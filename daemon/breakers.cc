#include "daemon/breakers.h"

#include <fmt/format.h>

#include <utility>

namespace lockstep {
namespace {

constexpr std::chrono::seconds kCountEvery{1};
constexpr std::chrono::minutes kRiseWindow{10};

}  // namespace

std::uint64_t Breakers::count(const RunStatus& status, Limit limit) {
  std::uint64_t rows = 0;
  for (const RunTableStatus& table : status.tables) {
    if (limit == Limit::BreakerQuarantined) rows += table.quarantined;
    if (limit == Limit::BreakerUnequal && table.sweep) rows += table.sweep->open_findings;
  }
  return rows;
}

// How many more there are than at each look of the window; those that were settled make it no less,
// else many that come and go would never be too many.
std::uint64_t Breakers::risen(Counted& counted, std::uint64_t rows, Time now) const {
  if (counted.known && rows > counted.last) counted.rises.push_back({now, rows - counted.last});
  counted.known = true;
  counted.last = rows;
  while (!counted.rises.empty() && now - counted.rises.front().at > kRiseWindow)
    counted.rises.pop_front();
  std::uint64_t all = 0;
  for (const Rise& rise : counted.rises) all += rise.rows;
  return all;
}

void Breakers::look(Time now) {
  const RunStatus status = ports_.status();
  if (status.tables.empty()) return;  // Nobody counts.
  for (Counted& counted : counted_) {
    // Whoever resumes it has seen what came until then.
    if (control_.paused(Scope::Apply)) counted.rises.clear();
    const std::uint64_t rows = risen(counted, count(status, counted.limit), now);
    const std::uint64_t most = control_.get(counted.limit);
    if (most == 0 || rows <= most || control_.paused(Scope::Apply)) continue;
    // What cannot be stored is tried again at the next look; the same disk keeps lanes from
    // writing.
    if (ports_.trip(fmt::format("{} {} within ten minutes, more than {} = {}", rows, counted.what,
                                limit_text(counted.limit), most)))
      counted.rises.clear();
  }
}

void Breakers::run() {
  while (!over_.raised()) {
    look(std::chrono::steady_clock::now());
    over_.wait(kCountEvery);
  }
}

}  // namespace lockstep
