#include "daemon/breakers.h"

#include <fmt/format.h>

#include <utility>

namespace lockstep {
namespace {

constexpr std::chrono::seconds kCountEvery{1};
constexpr std::chrono::minutes kRiseWindow{10};
constexpr std::chrono::seconds kSettles{3};

}  // namespace

std::uint64_t Breakers::count(const RunStatus& status, Limit limit) {
  std::uint64_t rows = 0;
  for (const RunTableStatus& table : status.tables) {
    if (limit == Limit::BreakerQuarantined) rows += table.quarantined.value_or(0);
    if (limit == Limit::BreakerUnequal && table.sweep) rows += table.sweep->open_findings;
  }
  return rows;
}

// How many came within the window; those that were settled make it no less, else many that come and
// go would never be too many.
std::uint64_t Breakers::risen(Counted& counted, Time now) {
  while (!counted.rises.empty() && now - counted.rises.front().at > kRiseWindow)
    counted.rises.pop_front();
  std::uint64_t all = 0;
  for (const Rise& rise : counted.rises) all += rise.rows;
  return all;
}

void Breakers::look(Time now) {
  look_at_rows(now);
  for (TryBreaker& breaker : tries_) breaker.look(now);
}

// A run needs a moment to know what was there before it, and longer while a server is away: such
// rows are no rise.
void Breakers::look_at_rows(Time now) {
  const RunStatus status = ports_.status();
  const std::uint64_t run = ports_.run();
  if (std::exchange(run_, run) != run || run == 0 || !status.looked || !status.trouble.empty())
    counts_from_ = now + kSettles;
  // Whoever resumes apply has seen what came until then.
  const bool settles = now < counts_from_ || control_.paused(Scope::Apply);
  for (Counted& counted : counted_) {
    if (settles) counted.rises.clear();
    const std::uint64_t before = counted.last;
    counted.last = count(status, counted.limit);
    if (settles) continue;
    if (counted.last > before) counted.rises.push_back({now, counted.last - before});
    const std::uint64_t rows = risen(counted, now);
    const std::uint64_t most = control_.get(counted.limit);
    if (most == 0 || rows <= most) continue;
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
