// LoadWatch: measures what both servers bear besides us, for the governor
// (pipeline/watch/governor.h).
//
// Only what has a bound is asked for, once a second, each server by a connection of its own.  What
// our role may not see is not known, and is said.
#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "config/manifest.h"
#include "connectors/postgres/wire/connection.h"
#include "daemon/steering.h"
#include "pipeline/base/stop_flag.h"
#include "pipeline/watch/wal_forecast.h"

namespace lockstep {

// What standbys and subscribers were last known to be behind, in seconds, and whether some of it
// could not be seen; but for ourselves, and for whoever reads `our_slot`: a connector confirms what
// it has read only from time to time.
std::string replica_lag_sql(std::string_view our_slot);

// run() on a thread of its own, stop() from any.
class LoadWatch {
 public:
  // Both outlive it.
  LoadWatch(const Manifest& manifest, Steering& steering);

  void run();
  void stop() { over_.raise(); }

 private:
  // A number of one server; its bound.
  struct Question {
    std::string what;
    std::string unit;
    bool on_source = false;
    std::string sql;  // One row: the number, and whether some of it could not be seen.
    double bound = 0;
  };

  std::vector<Question> questions() const;
  void look();
  void look_at_wal();
  Gauge measure(const Question& question);

  const Manifest& manifest_;
  Steering& steering_;
  PostgresConnection source_;
  PostgresConnection target_;
  WalForecast forecast_;
  StopFlag over_;
};

}  // namespace lockstep
