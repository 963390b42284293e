// Times that a sweep remembers, when somebody sets the wall clock back.
#include "pipeline/reconcile/sweep.h"

namespace lockstep {

void Sweep::Table::move_back(std::int64_t by_us) {
  ranges.move_back(by_us);
  for (auto& [hash, suspect] : suspects) suspect.seen_us = moved_back(suspect.seen_us, by_us);
  for (auto& [hash, finding] : open) finding.looked_us = moved_back(finding.looked_us, by_us);
  for (std::int64_t* at_us : {&filled_us, &unrest_us, &clean_since_us, &trouble_us, &left_us})
    *at_us = moved_back(*at_us, by_us);
}

// What was noted by the old time would lie in the future, and nothing be due until then.  It keeps
// its age.  A clock that is set forward makes everything older than it is, which costs a look.
void Sweep::follow_clock() {
  constexpr std::int64_t kSetBackUs = 1'000'000;  // Less may be a clock that is being slowed down.
  const auto now = shared_.clock.now();
  const std::int64_t now_us = shared_.clock.wall_us();
  const auto passed = std::chrono::duration_cast<std::chrono::microseconds>(now - clock_seen_);
  const std::int64_t back_us = clock_seen_us_ + passed.count() - now_us;
  if (clock_seen_us_ != 0 && back_us > kSetBackUs)
    for (auto& table : tables_) table->move_back(back_us);
  clock_seen_ = now;
  clock_seen_us_ = now_us;
}

}  // namespace lockstep
