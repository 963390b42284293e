// Abort: the kill switch.  Once it has an answer nothing is written to the target any more, until
// somebody resumes, whatever becomes of the process.
//
//   order (stored) ──> Control: every part stands ──> the run is left without a drain
//        └──────────> AbortWatch: ends our sessions on the target: what was in flight rolls back
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>

#include "config/manifest.h"
#include "pipeline/base/result.h"
#include "pipeline/base/stop_flag.h"
#include "pipeline/base/sync.h"

namespace lockstep {

// POST {"reason": "wrong database"} orders it; either answers {"ended": false, "waits_for": ".."}
// until nothing can be written any more.
inline constexpr const char* kAbortPath = "/api/v1/abort";

// Ends the sessions of the migration on its target.  Retry: some may still be there.
Status end_our_sessions(const Manifest& manifest);

// run() on a thread of its own; the rest is safe for concurrent use.
//
// A statement that the main thread or a lane waits for on the target ends with its session, so the
// run comes to its end however long that would have taken.
class AbortWatch {
 public:
  struct Ports {
    std::function<bool()> aborted;  // Somebody has ordered it, and nobody has resumed since.
    std::function<bool()> parked;   // Nothing runs, and nothing is prepared.
  };

  // Borrows `manifest`.
  AbortWatch(const Manifest& manifest, Ports ports)
      : manifest_(manifest), ports_(std::move(ports)) {}

  void run();
  void stop() { over_.raise(); }
  // Somebody has ordered an abort: what was known of an earlier one does not count.
  void order();
  // Has it look at once.
  void wake() { over_.wake(); }
  // What an abort still waits for; "": nothing can be written any more.
  std::string waits_for() const;

 private:
  void look();

  const Manifest& manifest_;
  const Ports ports_;
  StopFlag over_;
  mutable Mutex mutex_;
  std::uint64_t orders_ GUARDED_BY(mutex_) = 1;  // The first may stem from an earlier process.
  std::uint64_t ended_ GUARDED_BY(mutex_) = 0;   // The last order that has come to its end.
  std::string trouble_ GUARDED_BY(mutex_);       // Of the last look.
};

}  // namespace lockstep
