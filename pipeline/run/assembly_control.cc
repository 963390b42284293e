// What somebody has told the run, and what the servers bear, carried out by the Assembly's steps.
#include <algorithm>
#include <cstdlib>
#include <iterator>
#include <utility>

#include "pipeline/run/assembly.h"

namespace lockstep {
namespace {

constexpr std::chrono::minutes kFindingsEvery{1};
constexpr std::chrono::seconds kLookAtFindings{1};
constexpr std::chrono::seconds kStuckAfter{2};
constexpr std::chrono::seconds kLocksEvery{1};
constexpr std::chrono::seconds kHoldersKept{15};  // More than a lane waits before it tries again.

}  // namespace

// A table that an operator holds stops like one in trouble: nothing of it is written, its position
// stays in front of its first change, and the others go on (I8).  It is let go by the next run.
void Assembly::hold_tables() {
  const std::map<std::string, Pause> paused = ports_.control.paused_tables();
  if (paused.empty()) return;
  for (const TableMap* table : tables_)
    if (const auto found = paused.find(table->text()); found != paused.end()) {
      board_.pause(table->id, pause_text(held_table(found->first), found->second));
      under_way_.holds_table(found->first);
    }
}

Pacer::Pace Assembly::pace() const {
  return {ports_.control.get(Limit::BackfillRows), ports_.control.get(Limit::BackfillBytes),
          governor_.share()};
}

// What matters more than the copy and the comparison: the stream, our own transactions, and what
// the servers bear.
void Assembly::govern() {
  const auto now = ports_.clock.now();
  if (!governor_.due(now)) return;
  const Control& control = ports_.control;
  const auto bound = [&](Limit limit) { return static_cast<double>(control.get(limit)); };
  std::int64_t longest = 0;
  for (auto& took : transaction_us_)
    longest = std::max(longest, took.exchange(0, std::memory_order_relaxed));
  std::vector<Gauge> gauges{
      {"stream lag", " s", supervisor_.stream_lag_seconds(), bound(Limit::Lag)},
      {"our transactions on the target", " ms", static_cast<double>(longest) / 1000,
       bound(Limit::Transaction)}};
  std::ranges::move(control.gauges(now), std::back_inserter(gauges));
  const bool was = governor_.share() < 1;
  governor_.look(gauges, now, ports_.clock.wall_us());
  const Throttled throttled = governor_.throttled();
  if (!was && throttled.share < 1) ports_.events.throttled(throttled.reasons.front());
  if (was && throttled.share >= 1) ports_.events.at_full_speed();
}

// A lane that waits for somebody's lock on the target says so only every lock_timeout, and not
// whose it is.
Status Assembly::look_for_locks() {
  constexpr const char* kPart = "lanes";
  const auto now = ports_.clock.now();
  const bool stuck = std::ranges::any_of(stuck_since_, [&](const auto& since) {
    const std::chrono::steady_clock::duration begun(since.load(std::memory_order_relaxed));
    return begun.count() != 0 && now.time_since_epoch() - begun > kStuckAfter;
  });
  // Between two tries of a lane nobody waits.
  if (!stuck || now - holders_seen_ > kHoldersKept)
    ports_.events.told(kPart, {}, health_.tell(kPart, {}, now));
  if (!stuck || now < next_locks_) return {};
  next_locks_ = now + kLocksEvery;
  LOCKSTEP_ASSIGN(const std::vector<std::string> holders, ports_.ledger.lock_holders());
  if (holders.empty()) return {};
  holders_seen_ = now;
  std::string reason = "wait for a lock on the target, which is held by ";
  for (const std::string& holder : holders) reason += (&holder == &holders[0] ? "" : "; ") + holder;
  reason += "; next: have that end, or end it: SELECT pg_terminate_backend(pid)";
  ports_.events.told(kPart, reason, health_.tell(kPart, reason, now));
  return {};
}

// When there are more or fewer of them than at the last line of the table; of each not more than
// once a minute.
void Assembly::tell_findings() {
  const auto now = ports_.clock.now();
  if (now < next_findings_) return;
  next_findings_ = now + kLookAtFindings;
  const bool tells_more = now >= next_diverged_;
  const bool tells_fewer = now >= next_equal_;
  for (const auto& [table, open] : sweep_.open_findings()) {
    std::uint64_t& told = told_findings_[table];
    if (open > told && tells_more) {
      ports_.events.diverged(tables_[table]->text(), open);
      next_diverged_ = now + kFindingsEvery;
    } else if (open < told && tells_fewer) {
      ports_.events.equal_again(tables_[table]->text(), told - open, open);
      next_equal_ = now + kFindingsEvery;
    } else {
      continue;
    }
    told = open;
  }
}

// Of the source's, which it was asked for after `from_us`, and ours.
void Assembly::compare_clocks(std::int64_t from_us) {
  constexpr std::int64_t kToldUs = 1'000'000;
  if (ports_.probe.clock_us() == 0) return;
  source_clock_.told(ports_.probe.clock_us(), from_us, ports_.clock.wall_us());
  const std::int64_t ahead_us = source_clock_.ahead_us();
  const bool differ = std::abs(ahead_us) > kToldUs;
  if (differ && !clocks_differ_) ports_.events.clocks_differ(static_cast<double>(ahead_us) / 1e6);
  if (differ || std::abs(ahead_us) < kToldUs / 2) clocks_differ_ = differ;
}

}  // namespace lockstep
