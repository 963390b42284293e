#include "daemon/history.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <chrono>

namespace lockstep {
namespace {

constexpr std::chrono::seconds kPointEvery{2};
constexpr std::size_t kPointsMax = 1800;   // An hour.
constexpr std::size_t kRatedMax = 300;     // Ten minutes.
constexpr std::size_t kRatedTogether = 5;  // Ten seconds.
// What the time of a copy may go by: tables differ in width, so that a rate of rows of one says
// little of the others.  A row costs about as much as 256 of its bytes, besides its bytes, unless a
// limit in rows or in bytes is what holds the copy up; the rates tell which.
constexpr std::array kCosts{CopyCost{256, 1}, CopyCost{1, 0}, CopyCost{0, 1}};
constexpr double kClearlySteadier = 0.8;

double at_share(const std::vector<double>& sorted, double share) {
  return sorted[static_cast<std::size_t>(share * static_cast<double>(sorted.size() - 1))];
}

// How far apart the rates lie.
double spread(const std::vector<double>& sorted) {
  return (at_share(sorted, 0.9) - at_share(sorted, 0.1)) / at_share(sorted, 0.5);
}

}  // namespace

void History::run() {
  while (!over_.raised()) {
    const auto now = std::chrono::system_clock::now().time_since_epoch();
    add(status_(), std::chrono::duration_cast<std::chrono::milliseconds>(now).count());
    over_.wait(kPointEvery);
  }
}

void History::add(const RunStatus& status, std::int64_t at_ms) {
  // Nobody counts while a run is prepared: what earlier processes have copied is not known yet.
  const bool counted = status.phase != Phase::Prepare && !status.tables.empty() &&
                       std::ranges::all_of(status.tables, &RunTableStatus::counted);
  Point point{at_ms, status.lag_seconds, counted};
  CopyWork total;
  bool known = counted;
  for (const RunTableStatus& table : status.tables) {
    const double width = row_bytes(table).value_or(0);
    point.rows += table.counts.rows_done;
    point.done.add(static_cast<double>(table.counts.rows_done), width);
    point.events += table.counts.events_applied;
    // What has stopped is not on its way.
    if (!table.stopped.empty() && !table.counts.life.copied) {
      total.add(static_cast<double>(table.counts.rows_done), width);
      continue;
    }
    const std::optional<double> expected = rows_expected(table);
    known = known && expected;
    total.add(expected.value_or(0), width);
  }
  const MutexLock lock(mutex_);
  total_ = known && status.phase == Phase::Backfill ? total : CopyWork{};
  points_.push_back(point);
  if (points_.size() > kPointsMax) points_.pop_front();
}

// Work per second of each ten seconds of the last ten minutes, the slowest first.
std::vector<double> History::rates(const CopyCost& cost) const {
  std::vector<double> rates;
  const std::size_t begin = points_.size() > kRatedMax ? points_.size() - kRatedMax : 0;
  for (std::size_t at = begin; at + kRatedTogether < points_.size(); at += kRatedTogether) {
    const Point& from = points_[at];
    const Point& to = points_[at + kRatedTogether];
    if (!from.known || !to.known || to.rows < from.rows || to.at_ms <= from.at_ms)
      continue;  // Another run, or another time.
    rates.push_back((cost.of(to.done) - cost.of(from.done)) * 1000 /
                    static_cast<double>(to.at_ms - from.at_ms));
  }
  std::ranges::sort(rates);
  return rates;
}

std::optional<Eta> History::eta_now() const {
  constexpr double kKnownFrom = 0.01;
  constexpr std::size_t kRatesMin = 3;
  std::optional<Eta> eta;
  double steadiest = 0;
  for (const CopyCost& cost : kCosts) {
    const double done = points_.empty() ? 0 : cost.of(points_.back().done);
    const double total = cost.of(total_);
    if (total <= 0 || done >= total || done < kKnownFrom * total) continue;
    const std::vector<double> sorted = rates(cost);
    if (sorted.size() < kRatesMin || at_share(sorted, 0.5) <= 0) continue;
    const double apart = spread(sorted);
    if (eta && apart >= kClearlySteadier * steadiest) continue;
    steadiest = apart;
    const double slow = at_share(sorted, 0.1);
    eta = Eta{(total - done) / at_share(sorted, 0.5),
              slow > 0 ? std::optional((total - done) / slow) : std::nullopt};
  }
  return eta;
}

std::optional<Eta> History::eta() const {
  const MutexLock lock(mutex_);
  return eta_now();
}

std::string History::json() const {
  const MutexLock lock(mutex_);
  std::string text = fmt::format(R"({{"every_seconds":{},"points":[)", kPointEvery.count());
  for (const Point& point : points_)
    text += fmt::format("{}[{},{},{}]", &point == &points_.front() ? "" : ",", point.at_ms,
                        point.lag_seconds ? fmt::format("{:.3f}", *point.lag_seconds) : "null",
                        point.known ? fmt::format("{},{}", point.rows, point.events) : "null,null");
  text += "],\"eta\":";
  const std::optional<Eta> eta = eta_now();
  if (!eta) return text + "null}";
  return text + fmt::format(R"({{"p50_seconds":{:.0f},"p90_seconds":{}}}}})", eta->p50_seconds,
                            eta->p90_seconds ? fmt::format("{:.0f}", *eta->p90_seconds) : "null");
}

}  // namespace lockstep
