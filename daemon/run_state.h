// RunState: where a daemon is in its life, for the control socket: preparing, running, done.
#pragma once

#include <atomic>
#include <chrono>
#include <optional>
#include <string>
#include <vector>

#include "checkpoint/rocksdb_store.h"
#include "config/manifest.h"
#include "daemon/abort.h"
#include "daemon/aggregates/board.h"
#include "daemon/control_server.h"
#include "daemon/event_log.h"
#include "daemon/history.h"
#include "daemon/metrics/uncompared.h"
#include "daemon/prepare.h"
#include "daemon/reload.h"
#include "daemon/repair_json.h"
#include "daemon/resume_watch.h"
#include "daemon/steering_api.h"
#include "daemon/undoing.h"
#include "daemon/waits.h"
#include "pipeline/base/stop_flag.h"
#include "pipeline/base/sync.h"
#include "pipeline/run/runner.h"
#include "pipeline/watch/run_status.h"

namespace lockstep {

// Where the control socket takes {"table": "public.orders"}, {"scope": "apply"}, or {} for every
// stopped table and every pause.
inline constexpr const char* kResumePath = "/api/v1/resume";

// The tables of the status, or one of them: /api/v1/tables/public.orders.
inline constexpr const char* kTablesPath = "/api/v1/tables";
// 503 when a restart would help; 503 while the daemon does not do its work, with the reasons.
inline constexpr const char* kLivePath = "/livez";
inline constexpr const char* kReadyPath = "/readyz";

// Where the control socket takes a POST that asks the run to drain and end.
inline constexpr const char* kStopPath = "/api/v1/stop";

// Where the control socket takes {"table": "public.orders", "key_hash": "00ff.."} and answers
// {"transaction": N}, the last one that is remembered of the row; else null.
inline constexpr const char* kRowPath = "/api/v1/row";

// Safe for concurrent use: the main thread moves it on, the control thread asks.
class RunState {
 public:
  // All outlive it.  `store` takes the audit log.
  RunState(const Manifest& manifest, RocksdbStore& store, Steering& steering,
           AggregateBoard& aggregates)
      : manifest_(manifest), store_(store), steering_(steering), aggregates_(aggregates) {}

  // A run is about to be prepared: it finds what somebody asked to resume() so far.
  void preparing_anew();
  // prepare() waits for something, which it says again as often as it has tried in vain.
  void waiting(const std::string& reason);
  // Waits `time`.  Returns false once somebody asked to stop, or for an abort.
  bool wait(std::chrono::milliseconds time);
  bool aborted() const { return steering_.control().aborted(); }
  // Whether an abort broke off what was prepared or run last, though somebody may have resumed by
  // now and nobody asked to stop.
  bool take_abort();
  // Whether nothing runs, and nothing is prepared, for as long as an abort lasts.
  bool parked() const { return parked_.load(); }
  // On the main thread: returns once nobody wants an abort any more; false: somebody asked to stop.
  bool park();
  // What answers for the end of an abort, the manifest, what was told and what was counted; before
  // the first request.
  struct Parts {
    AbortWatch& abort;
    Reload& reload;
    EventLog& events;
    const Meters& meters;
    const History& history;
    std::string version;
  };
  void answer_by(const Parts& parts) { parts_.emplace(parts); }
  // REQUIRES: both live until finished().
  void running(Runner& runner, const Prepared& prepared);
  void finished(RunStatus last);

  // Asks the run to drain and end.
  void stop();
  bool stopping() const { return stopped_.raised(); }

  // Asks the run to drain and to be prepared again, which tries every stopped table again.
  void resume();
  // Whether that was asked for since the last call, and nobody asked to stop.
  bool take_resume();
  std::vector<StoppedTable> stopped_tables() const;
  // What stands in the way of stopped tables; for `status`.
  void explain(const ResumeWatch::Obstacles& obstacles);

  // A stopped table has another reason by now.  Not Ok: a daemon that is down will tell the old
  // one.
  Status restate(const StoppedTable& table);

  // The status as of now, with the tables that the run left out.
  RunStatus run_status() const {
    const MutexLock lock(mutex_);
    return status();
  }
  // The servers that the run which is under way knows; nothing: none is.
  struct Servers {
    SourceIdentity source;
    SourceIdentity target;
  };
  std::optional<Servers> servers() const;
  // Which of the daemon's runs is under way; 0: none is.
  std::uint64_t run() const;
  // Lets `act` use the Moment of that run.  Returns false once it is over.
  bool with_moment(std::uint64_t run, const std::function<void(Moment&)>& act);

  // Why only a restart would help: nobody has looked after the run for a long time.  "": nothing
  // speaks for one.
  std::string stuck() const;

  // What the run that finished() was waiting for, such as tables that came later.
  std::string unfinished() const;

  ControlResponse answer(const ControlRequest& request);

 private:
  RunStatus status() const REQUIRES(mutex_);
  RunStatus between_runs() const REQUIRES(mutex_);
  std::optional<ControlResponse> refused(const ControlRequest& request) const;
  // The reason why a table stopped, and the next step.
  std::string explained(const RunTableStatus& table) const REQUIRES(mutex_);
  RunStatus shown_status() const;
  ControlResponse preparing() const REQUIRES(mutex_);
  std::vector<std::string> waits_of(const SweepStatus& sweep) const REQUIRES(mutex_);
  std::string repairs_state() const REQUIRES(mutex_);

  // One resource of the control socket.
  struct Route {
    std::string_view path;
    std::string_view methods;  // "GET, POST"
    ControlResponse (RunState::*answer)(const ControlRequest&);
  };
  static const std::vector<Route>& routes();
  ControlResponse answer_status(const ControlRequest& request);
  ControlResponse answer_tables(const ControlRequest& request);
  ControlResponse answer_settings(const ControlRequest& request);
  ControlResponse answer_reload(const ControlRequest& request);
  ControlResponse answer_events(const ControlRequest& request);
  ControlResponse answer_findings(const ControlRequest& request);
  ControlResponse answer_rows_set_aside(const ControlRequest& request);
  ControlResponse answer_openapi(const ControlRequest& request);
  ControlResponse answer_live(const ControlRequest& request);
  ControlResponse answer_ready(const ControlRequest& request);
  ControlResponse answer_metrics(const ControlRequest& request);
  ControlResponse answer_history(const ControlRequest& request);
  ControlResponse answer_page(const ControlRequest& request);
  ControlResponse answer_proof(const ControlRequest& request);
  ControlResponse answer_row(const ControlRequest& request);
  ControlResponse answer_pause(const ControlRequest& request);
  ControlResponse answer_resume(const ControlRequest& request);
  ControlResponse answer_resync(const ControlRequest& request);
  ControlResponse answer_abort(const ControlRequest& request);
  ControlResponse answer_stop(const ControlRequest& request);
  ControlResponse answer_reconcile(const ControlRequest& request);
  Result<WantedRepairs> wanted_repairs(const RepairRequest& request) const;
  ControlResponse answer_repair(const ControlRequest& request);
  ControlResponse answer_mark(const ControlRequest& request);
  ControlResponse answer_undo_write(const UndoWrite& write);

  const Manifest& manifest_;
  RocksdbStore& store_;              // Safe for concurrent use.
  Steering& steering_;               // Likewise.
  AggregateBoard& aggregates_;       // Likewise.
  Uncompared uncompared_;            // Likewise.
  Undoing undoing_;                  // Likewise.
  std::optional<Parts> parts_;       // Likewise.
  StopFlag stopped_;                 // Somebody asked to stop.
  std::atomic<bool> parked_{false};  // In one order with Control::aborted(): see park().
  mutable Mutex mutex_;
  Runner* runner_ GUARDED_BY(mutex_) = nullptr;
  std::uint64_t runs_ GUARDED_BY(mutex_) = 0;  // So many were begun.
  std::vector<LeftOut> left_out_ GUARDED_BY(mutex_);
  const Prepared* prepared_ GUARDED_BY(mutex_) = nullptr;  // The runner's.
  RunStatus last_ GUARDED_BY(mutex_);
  // While nothing runs: since when it is prepared, and what for that waits.
  std::chrono::steady_clock::time_point preparing_ GUARDED_BY(mutex_) =
      std::chrono::steady_clock::now();
  PrepareWait prepare_wait_ GUARDED_BY(mutex_);
  bool resume_ GUARDED_BY(mutex_) = false;
  bool broken_off_ GUARDED_BY(mutex_) = false;         // By an abort.
  bool aggregates_wanted_ GUARDED_BY(mutex_) = false;  // By the last request to compare.
  std::vector<TableId> asked_of_ GUARDED_BY(mutex_);   // Tables of that request, of this run,
  std::uint64_t asked_after_ GUARDED_BY(mutex_) = 0;   // which came after so many of it.
  ResumeWatch::Obstacles obstacles_ GUARDED_BY(mutex_);
};

}  // namespace lockstep
