// Waits: what a verb that waits for the daemon waits for, and when it says so.
//
// Each line names the reason, for a pause with whoever ordered it and since when, and ends with the
// next step.
#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "pipeline/run/control.h"
#include "pipeline/watch/run_status.h"

namespace lockstep {

// A pause or an abort, and the command that ends it.  `name`: of what is held (run/control.h).
std::string held_text(std::string_view name, const Pause& pause, const std::string& manifest);

// What keeps the comparison of `tables` ("public.orders") from its end, the worst first; `status`:
// of the run that compares.  Empty: nothing does, it only takes its time.
std::vector<std::string> comparison_waits(const Pauses& pauses, const RunStatus& status,
                                          const std::vector<std::string>& tables,
                                          const std::string& manifest);
// What keeps rows from being read again and written.
std::vector<std::string> repair_waits(const Pauses& pauses, const std::string& manifest);
// "a; b"; of more than three lines the others are counted.
std::string joined_waits(const std::vector<std::string>& waits);

// An abort that still holds everything, whatever else was resumed; "": there is none.
std::string abort_left(const Pauses& pauses, const std::string& manifest);

// Halt, exit Temporary: an operator holds whatever writes rows of the target.
Status refuse_while_held(const Pauses& pauses, const std::string& manifest);

// What prepare() waits for, and since when.  A try may take as long as a server takes to refuse a
// connection: only one that lasts longer shows that the wait before it is over.
class PrepareWait {
 public:
  using Time = std::chrono::steady_clock::time_point;
  struct Shown {
    std::string reason;
    double seconds = 0;
  };

  void waits(const std::string& reason, Time now);  // Said again with each try in vain.
  void tries(Time now);                             // It has waited, and tries again.
  void clear() { reason_.clear(); }
  std::optional<Shown> shown(Time now) const;  // Nothing: it waits for nothing.

 private:
  std::string reason_;  // "": it waits for nothing.
  Time since_{};
  std::optional<Time> tries_;  // Since when; nothing: it waits.
};

// Says what is waited for: once, when that has lasted a second, then once a minute, and when it is
// something else.  A wait that is soon over is not told.
class WaitNotice {
 public:
  using Time = std::chrono::steady_clock::time_point;

  // Returns what is to be said now; "": `what` waits for nothing.
  std::optional<std::string> due(const std::string& what, Time now);
  // The same as of now, on standard error.
  void tell(const std::string& what);

 private:
  std::string last_;  // Without its numbers: a count that goes down is no news.
  Time since_{};      // It is waited for `last_`.
  std::optional<Time> told_;
};

}  // namespace lockstep
