// History: lag and throughput of the last hour, so that whoever looks at 3 a.m. sees how it came.
//
// In memory only: a restart begins anew, and says so by its first point.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "daemon/status_json.h"
#include "pipeline/base/stop_flag.h"
#include "pipeline/base/sync.h"
#include "pipeline/watch/run_status.h"

namespace lockstep {

// GET: {"every_seconds": 2, "points": [[at_ms, lag_seconds or null, rows copied, events applied]],
// "eta": {"p50_seconds", "p90_seconds"} or null}, oldest first; rows are those of the target's
// copy, events count from the beginning of the run; both are null where nobody knows them, as while
// a run is prepared.
inline constexpr const char* kHistoryPath = "/api/v1/history";

// Rows of a copy, and about how many bytes they have at the source.
struct CopyWork {
  double rows = 0;
  double bytes = 0;

  void add(double more, double row_bytes) {
    rows += more;
    bytes += more * row_bytes;
  }
};

// What a row and a byte cost, in any unit.
struct CopyCost {
  double row = 0;
  double byte = 0;

  double of(const CopyWork& work) const { return row * work.rows + byte * work.bytes; }
};

// Safe for concurrent use; run() on a thread of its own.
class History {
 public:
  explicit History(std::function<RunStatus()> status) : status_(std::move(status)) {}

  // Until stop(): takes a point every two seconds.
  void run();
  void stop() { over_.raise(); }
  // `at_ms`: since 1970.
  void add(const RunStatus& status, std::int64_t at_ms);
  std::string json() const;

  // Nothing: there is nothing to copy, less than 1 % is done, or a table's size is not known.
  std::optional<Eta> eta() const;

 private:
  struct Point {
    std::int64_t at_ms = 0;
    std::optional<double> lag_seconds;
    bool known = false;  // What follows.
    std::uint64_t rows = 0;
    std::uint64_t events = 0;
    CopyWork done{};
  };

  std::optional<Eta> eta_now() const REQUIRES(mutex_);
  std::vector<double> rates(const CopyCost& cost) const REQUIRES(mutex_);

  const std::function<RunStatus()> status_;
  StopFlag over_;
  mutable Mutex mutex_;
  std::deque<Point> points_ GUARDED_BY(mutex_);
  CopyWork total_ GUARDED_BY(mutex_);  // Of all tables; nothing: not known.
};

}  // namespace lockstep
