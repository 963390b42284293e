// RunState: where a daemon is in its life, for the control socket: preparing, running, done.
#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <vector>

#include "checkpoint/rocksdb_store.h"
#include "config/manifest.h"
#include "daemon/control_server.h"
#include "daemon/prepare.h"
#include "pipeline/base/bounded_queue.h"
#include "pipeline/base/sync.h"
#include "pipeline/run/runner.h"
#include "pipeline/watch/run_status.h"

namespace lockstep {

// Safe for concurrent use: the main thread moves it on, the control thread asks.
class RunState {
 public:
  // Both outlive it.  `store` takes the audit log.
  RunState(const Manifest& manifest, RocksdbStore& store) : manifest_(manifest), store_(store) {}

  // prepare() waits for something.
  void waiting(const std::string& reason);
  // Waits `time`.  Returns false once somebody asked to stop.
  bool wait(std::chrono::milliseconds time);
  // REQUIRES: `runner` lives until finished().
  void running(Runner& runner, const std::vector<LeftOut>& left_out);
  void finished(RunStatus last);

  // Asks the run to drain and end.
  void stop();

  ControlResponse answer(const ControlRequest& request);

 private:
  RunStatus status() const REQUIRES(mutex_);

  const Manifest& manifest_;
  RocksdbStore& store_;            // Safe for concurrent use.
  BoundedQueue<char> stopped_{1};  // Closed once somebody asked to stop.
  mutable Mutex mutex_;
  Runner* runner_ GUARDED_BY(mutex_) = nullptr;
  std::vector<LeftOut> left_out_ GUARDED_BY(mutex_);
  RunStatus last_ GUARDED_BY(mutex_);
};

}  // namespace lockstep
