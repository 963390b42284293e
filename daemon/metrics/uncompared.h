// Uncompared: since when tables could have been compared, and some row of them never was.
#pragma once

#include <cstdint>
#include <map>
#include <string>

#include "pipeline/base/sync.h"
#include "pipeline/watch/run_status.h"

namespace lockstep {

// Safe for concurrent use.
class Uncompared {
 public:
  using Since = std::map<std::string, std::int64_t>;  // Microseconds since 1970, by table.

  // Returns those of a run that goes on, as of `now_us`: it counts from the first look that found
  // the table copied.  A table that is copied again begins anew.
  Since look(const RunStatus& status, std::int64_t now_us);

 private:
  Mutex mutex_;
  Since since_ GUARDED_BY(mutex_);
};

}  // namespace lockstep
