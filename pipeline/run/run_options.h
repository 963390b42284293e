// RunOptions and RunPorts: what a run is told, and what it talks to.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "pipeline/apply/lane.h"
#include "pipeline/backfill/debts.h"
#include "pipeline/backfill/planner.h"
#include "pipeline/backfill/scanner.h"
#include "pipeline/base/rules.h"
#include "pipeline/ports/checkpoint.h"
#include "pipeline/ports/clock.h"
#include "pipeline/ports/digests.h"
#include "pipeline/ports/events.h"
#include "pipeline/ports/ledger.h"
#include "pipeline/ports/meters.h"
#include "pipeline/ports/probe.h"
#include "pipeline/ports/proof.h"
#include "pipeline/ports/reader.h"
#include "pipeline/ports/source.h"
#include "pipeline/ports/target.h"
#include "pipeline/ports/verified.h"
#include "pipeline/reconcile/sweep.h"
#include "pipeline/run/control.h"
#include "pipeline/watch/run_status.h"
#include "pipeline/watch/shape_watch.h"
#include "pipeline/watch/supervisor.h"

namespace lockstep {

struct RunOptions {
  std::uint32_t lanes = 1;
  std::uint64_t epoch = 0;
  bool until_synced = false;
  bool until_compared = false;   // Ends once every table was gone through by a sweep.
  bool tables_left_out = false;  // Of the manifest: the run cannot be complete.
  Xid snapshot_floor = 0;        // Visibility's floor.
  std::vector<Xid> unseen;       // U, where the checkpoint proved it current.
  std::vector<ProgressRow> progress;
  std::string shared_stream;  // The one stream of all tables; "": each has streams of its own.
  std::vector<ChunkMark> marks;
  std::vector<std::pair<TableId, Position>> horizons;
  std::vector<KnownFiles> files;  // By TableId: what its chunks were read from.
  PlannerOptions planner;
  ScannerOptions scanner;
  DebtReaderOptions debts;
  SupervisorOptions supervisor;
  SweepOptions sweep;
  std::size_t queue_bytes_max = 8 << 20;     // Per lane.
  std::size_t taken_bytes_max = 8 << 20;     // By a lane from its queue, at a time.
  std::size_t item_changes_max = 500;        // In one item of a lane's queue.
  std::size_t batch_rows_max = 4000;         // In one transaction of a lane.
  std::size_t recent_entries_max = 200'000;  // Per lane.
  std::chrono::milliseconds acknowledge_every{1000};
  std::chrono::milliseconds probe_every{500};
  std::chrono::milliseconds drain_limit{30'000};
  std::function<void()> on_end{};  // The run ends: its threads are about to be waited for.
  std::chrono::milliseconds stand_limit{2000};  // A lane waits for a Moment, at most.
  // SupervisorPorts::hold_stream; on the main thread.
  std::function<bool(std::string_view why)> hold_stream;
  // SupervisorPorts::newcomers; on the main thread.
  std::function<Result<std::vector<std::string>>()> newcomers;
  // SupervisorPorts::plan_again; on the main thread.
  std::function<void()> plan_again;
  // What else is to be over before a run that is to be compared ends; may be empty.
  std::function<bool()> compared_too;
  // Called on the main thread: every second at first, later every 5 s, then every 30 s.
  std::function<void(const RunStatus&)> on_progress;
};

// Of a run that somebody stopped: one that was to end by itself has not done what it was asked for.
inline ExitCode stopped_code(bool ends_itself) {
  return ends_itself && rule_on(Rule::StopIsNotSynced) ? ExitCode::Incomplete : ExitCode::Ok;
}

struct ScanPorts {
  std::unique_ptr<ChunkReader> reader;
  std::unique_ptr<Target> target;
};

// Connections of a sweep, and what it keeps; all outlive the Assembly.
struct ComparePorts {
  DigestReader& source;
  DigestReader& target;
  OwedKeys& owed;  // Of the target's connection.
  VerifiedStore& store;
};

// What a run talks to.  References outlive the Assembly.
struct RunPorts {
  ChangeSource& source;
  SourceProbe& probe;         // The probe thread's.
  SourceProbe& marker_probe;  // The supervisor's.
  StreamProof& proof;
  Ledger& ledger;
  CheckpointStore& checkpoint;
  const Clock& clock;
  Events& events;
  std::vector<std::unique_ptr<Target>> lane_targets;
  std::vector<ScanPorts> scans;
  ComparePorts compare;
  const Control& control;
  Meters& meters;
};

}  // namespace lockstep
