// RunStatus: what a run tells about itself; the control server renders it, tests read it.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "pipeline/apply/table_board.h"
#include "pipeline/model/change.h"
#include "pipeline/model/snapshot.h"
#include "pipeline/model/table_sweep.h"
#include "pipeline/watch/governor.h"
#include "pipeline/watch/wal_forecast.h"

namespace lockstep {

struct RunTableStatus {
  std::string table;
  std::string target;
  TableStatus counts;
  bool counted = true;  // Somebody knows how far it is; else `counts` says nothing of that.
  std::string stopped;  // Why, once the bookkeeping has it; empty while it goes on.
  std::optional<std::uint64_t> debts{};  // Nothing: not known.
  std::optional<std::uint64_t> quarantined{};
  std::optional<TableSweep> sweep;  // Nothing: nobody compares it.
};

enum class Phase : std::uint8_t { Prepare, Backfill, Follow, Drain, Aborted, Stopped };
inline constexpr std::array kPhases{Phase::Prepare, Phase::Backfill, Phase::Follow,
                                    Phase::Drain,   Phase::Aborted,  Phase::Stopped};
std::string_view phase_text(Phase phase);

// What an operator holds.
struct PausedScope {
  std::string scope;  // "backfill", "apply", "reconcile"; "table"; "abort": everything that writes.
  std::string table;  // Of "table".
  std::string actor;
  std::string reason;
  std::int64_t since_us = 0;
  std::string waits_for{};  // Until nothing of it is under way any more; "": it is in force.
};

// What was committed at the source before a moment is on the target.
struct Proof {
  Lsn position = 0;       // Of the source's log, at that moment.
  bool exact = false;     // V3: not only nearly.
  bool complete = false;  // No table had stopped, no row was quarantined.
  std::int64_t at_us = 0;
  double age_seconds = 0;
};

struct RunStatus {
  Phase phase = Phase::Prepare;
  bool synced = false;  // Proven, and nothing that is known contradicts the proof.
  // Age of the oldest change that is committed at the source and not on the target; nothing:
  // unknown, for so long.
  std::optional<double> lag_seconds;
  double lag_unknown_seconds = 0;
  std::vector<std::pair<std::string, Position>> positions;
  std::optional<Proof> proof;  // The last one, unless rows are owed since.
  std::vector<std::string> waiting_for;
  std::vector<std::string> trouble;  // Of these, what keeps a part from its work.
  bool looked = false;               // The supervisor of this run has looked at least once.
  double silent_seconds = 0;         // Since it last looked, or since the run began.
  double prepare_waits_seconds = 0;  // Since prepare() first waited for something; 0: it does not.
  std::string abort_waits_for;       // What an abort still waits for; "": nothing can be written.
  bool stream_held = false;          // On purpose, until tables are copied: so no lag is known.
  std::vector<RunTableStatus> tables;
  std::string source_state;
  std::string last_run;               // Of a run that is over and ended synced: what was proven.
  std::uint64_t queue_bytes = 0;      // What waits for the lanes,
  std::uint64_t queue_bytes_max = 0;  // of as much.
  // How long the lane that is worst off has been at a step that it does not get done, however often
  // it tries; 0: none is.  Nothing: apply is held, or nothing runs.
  std::optional<double> stuck_seconds;
  std::vector<PausedScope> paused;
  Throttled throttled;
  std::optional<KeptWal> kept_wal;  // Nothing: it is not known.
  std::string foreign_writers;  // Why those of the target cannot be told apart; "": they can (V9).
  std::string reconcile;        // "continuous", "waits: ..", "off"; empty: not known.
};

}  // namespace lockstep
