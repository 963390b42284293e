#include "daemon/history.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>

namespace lockstep {
namespace {

constexpr std::chrono::seconds kPointEvery{2};
constexpr std::size_t kPointsMax = 1800;   // An hour.
constexpr std::size_t kRatedMax = 300;     // Ten minutes.
constexpr std::size_t kRatedTogether = 5;  // Ten seconds.
// To copy a row costs about as much as so many of its bytes, besides its bytes.
constexpr double kRowCost = 256;

}  // namespace

void History::run() {
  while (!over_.raised()) {
    const auto now = std::chrono::system_clock::now().time_since_epoch();
    add(status_(), std::chrono::duration_cast<std::chrono::milliseconds>(now).count());
    over_.wait(kPointEvery);
  }
}

void History::add(const RunStatus& status, std::int64_t at_ms) {
  Point point{at_ms, status.lag_seconds};
  double total = 0;
  bool known = true;
  for (const RunTableStatus& table : status.tables) {
    // Tables differ in width: a rate of rows of one says little of the others.
    const double cost = kRowCost + row_bytes(table).value_or(0);
    point.rows += table.counts.rows_done;
    point.work += cost * static_cast<double>(table.counts.rows_done);
    point.events += table.counts.events_applied;
    // What has stopped is not on its way.
    if (!table.stopped.empty() && !table.counts.life.copied) {
      total += cost * static_cast<double>(table.counts.rows_done);
      continue;
    }
    const std::optional<double> expected = rows_expected(table);
    known = known && expected;
    total += cost * expected.value_or(0);
  }
  const MutexLock lock(mutex_);
  done_ = point.work;
  total_ = known && status.phase == Phase::Backfill ? total : 0;
  points_.push_back(point);
  if (points_.size() > kPointsMax) points_.pop_front();
}

// Work per second of each ten seconds of the last ten minutes, the slowest first.
std::vector<double> History::rates() const {
  std::vector<double> rates;
  const std::size_t begin = points_.size() > kRatedMax ? points_.size() - kRatedMax : 0;
  for (std::size_t at = begin; at + kRatedTogether < points_.size(); at += kRatedTogether) {
    const Point& from = points_[at];
    const Point& to = points_[at + kRatedTogether];
    if (to.work < from.work || to.at_ms <= from.at_ms) continue;  // Another run, or another time.
    rates.push_back((to.work - from.work) * 1000 / static_cast<double>(to.at_ms - from.at_ms));
  }
  std::ranges::sort(rates);
  return rates;
}

std::optional<Eta> History::eta_now() const {
  constexpr double kKnownFrom = 0.01;
  constexpr std::size_t kRatesMin = 3;
  if (total_ <= 0 || done_ >= total_ || done_ < kKnownFrom * total_) return std::nullopt;
  const std::vector<double> sorted = rates();
  if (sorted.size() < kRatesMin || sorted[sorted.size() / 2] <= 0) return std::nullopt;
  const double left = total_ - done_;
  const double slow = sorted[sorted.size() / 10];
  return Eta{left / sorted[sorted.size() / 2],
             slow > 0 ? std::optional(left / slow) : std::nullopt};
}

std::optional<Eta> History::eta() const {
  const MutexLock lock(mutex_);
  return eta_now();
}

std::string History::json() const {
  const MutexLock lock(mutex_);
  std::string text = fmt::format(R"({{"every_seconds":{},"points":[)", kPointEvery.count());
  for (const Point& point : points_)
    text += fmt::format("{}[{},{},{},{}]", &point == &points_.front() ? "" : ",", point.at_ms,
                        point.lag_seconds ? fmt::format("{:.3f}", *point.lag_seconds) : "null",
                        point.rows, point.events);
  text += "],\"eta\":";
  const std::optional<Eta> eta = eta_now();
  if (!eta) return text + "null}";
  return text + fmt::format(R"({{"p50_seconds":{:.0f},"p90_seconds":{}}}}})", eta->p50_seconds,
                            eta->p90_seconds ? fmt::format("{:.0f}", *eta->p90_seconds) : "null");
}

}  // namespace lockstep
