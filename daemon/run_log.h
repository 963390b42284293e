// RunLog: what a daemon says of itself while nothing changes: progress, what it waits for, all of
// its status now and then.
//
// Used on the main thread, by prepare's patience and by the supervisor's progress.
#pragma once

#include <chrono>
#include <string>

#include "daemon/status_json.h"
#include "pipeline/ports/events.h"
#include "pipeline/watch/run_status.h"

namespace lockstep {

// One thread.
class RunLog {
 public:
  using Time = std::chrono::steady_clock::time_point;

  // Borrows `events`.
  RunLog(Events& events, Told told) : events_(events), told_of_(std::move(told)) {}

  // Something is waited for before the run begins: told when it is news, and once a minute.
  void waiting(const std::string& reason, Time now);
  // A progress line; once a minute what the run waits for, every ten minutes the whole status.
  void progress(const RunStatus& status, Time now);

 private:
  Events& events_;
  const Told told_of_;
  std::string reason_;
  Time told_{};
  Time idle_since_{};  // When the run last waited for nothing, or that was told.
  Time shown_{};       // When the whole status was.
};

}  // namespace lockstep
