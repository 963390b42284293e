// WalForecast: when the log that the source keeps for our slot reaches its limit, if it goes on
// growing as it did in the last minutes.
#pragma once

#include <chrono>
#include <deque>
#include <optional>

namespace lockstep {

// What the source keeps of its log for us.
struct KeptWal {
  double mb = 0;
  std::optional<double> limit_mb;         // Of the manifest or the server; nothing: there is none.
  std::optional<double> full_in_seconds;  // Nothing: no limit, or it does not grow.
};

// One thread.
class WalForecast {
 public:
  using Time = std::chrono::steady_clock::time_point;

  // So much is kept at `now`.
  void add(double mb, Time now);
  // MiB a second; nothing: it was not watched for long enough.
  std::optional<double> growth() const;
  // As of the last add().
  KeptWal forecast(std::optional<double> limit_mb) const;

 private:
  struct Sample {
    Time at;
    double mb = 0;
  };

  std::deque<Sample> samples_;  // Of the last minutes, some seconds apart.
  double last_ = 0;
};

}  // namespace lockstep
