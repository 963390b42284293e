#include "daemon/try_breaker.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

namespace lockstep {
namespace {

constexpr std::chrono::minutes kFailWindow{10};
constexpr std::chrono::seconds kFirstWait{30};
constexpr std::chrono::seconds kLastWait{600};
constexpr std::chrono::minutes kProvesItself{1};
constexpr std::size_t kSqlstateSize = 5;

// Of an SQLSTATE: neither a broken connection (08) nor a server that starts or ends (57P).
bool is_refusal(std::string_view code) {
  return code.size() == kSqlstateSize && !code.starts_with("08") && !code.starts_with("57P");
}

}  // namespace

std::uint64_t refused_tries(const Meters& meters, std::span<const Worker> workers) {
  std::uint64_t tries = 0;
  for (const auto& [names, count] : meters.retries.values())
    if (std::ranges::find(workers, names.first, worker_text) != workers.end() &&
        is_refusal(names.second))
      tries += count;
  return tries;
}

bool TryBreaker::paused_by_us() const {
  const Pauses pauses = control_.pauses();
  const auto found = pauses.find(part_text(scope_));
  return found != pauses.end() && found->second.actor == kProbingBreaker;
}

// What cannot be stored is tried again at the next look.
void TryBreaker::open(Time now, std::string why) {
  const std::chrono::seconds wait =
      wait_.count() == 0 ? kFirstWait : std::min(wait_ * 2, kLastWait);
  if (!ports_.pause(fmt::format("{}; the next probe is in {} s", why, wait.count()))) return;
  state_ = State::Open;
  wait_ = wait;
  next_ = now + wait;
  rises_.clear();
}

void TryBreaker::half_open(Time now) {
  if (!ports_.resume()) return;
  state_ = State::HalfOpen;
  next_ = now + kProvesItself;
}

void TryBreaker::close() {
  state_ = State::Closed;
  wait_ = std::chrono::seconds(0);
  rises_.clear();
}

// Of the last ten minutes.
std::uint64_t TryBreaker::risen(Time now, std::uint64_t more) {
  if (more > 0) rises_.push_back({now, more});
  while (!rises_.empty() && now - rises_.front().at > kFailWindow) rises_.pop_front();
  std::uint64_t all = 0;
  for (const Rise& rise : rises_) all += rise.tries;
  return all;
}

void TryBreaker::look(Time now) {
  const std::uint64_t before = std::exchange(last_, ports_.refused());
  const std::uint64_t more = last_ - before;
  const std::uint64_t most = control_.get(Limit::BreakerRefused);
  if (state_ == State::Closed && paused_by_us()) {  // By an earlier process.
    state_ = State::Open;
    wait_ = kFirstWait;
    next_ = now + wait_;
  }
  switch (state_) {
    case State::Open:
      if (!paused_by_us()) return close();  // A person has decided.
      if (now >= next_ || most == 0) half_open(now);
      return;
    case State::HalfOpen:
      if (control_.paused(scope_) || most == 0) return close();
      if (more > 0) return open(now, fmt::format("{} failed at a probe", tries_));
      if (now >= next_) close();
      return;
    case State::Closed:
      if (control_.paused(scope_)) return rises_.clear();
      if (const std::uint64_t refused = risen(now, more); most > 0 && refused > most)
        open(now, fmt::format("{} {} failed within ten minutes, more than {} = {}", refused, tries_,
                              limit_text(Limit::BreakerRefused), most));
  }
}

}  // namespace lockstep
