// RunStatus: what a run tells about itself; the control server renders it, tests read it.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "pipeline/apply/table_board.h"
#include "pipeline/model/change.h"
#include "pipeline/model/snapshot.h"

namespace lockstep {

struct RunTableStatus {
  std::string table;
  std::string target;
  TableStatus counts;
  std::uint64_t debts = 0;
  std::uint64_t quarantined = 0;
};

enum class Phase : std::uint8_t { Prepare, Backfill, Follow, Drain, Stopped };
std::string_view phase_text(Phase phase);

struct RunStatus {
  Phase phase = Phase::Prepare;
  bool synced = false;
  std::optional<double> lag_seconds;  // Nothing: unknown,
  double lag_unknown_seconds = 0;     // for so long.
  std::vector<std::pair<std::string, Position>> positions;
  bool proof_exact = false;
  // Of the last proof: what was committed at the source before it is on the target.
  std::optional<Lsn> proof_position;
  std::optional<double> proof_age_seconds;
  std::vector<std::string> waiting_for;
  std::vector<RunTableStatus> tables;
  std::string source_state;
  std::uint64_t queue_bytes = 0;
};

}  // namespace lockstep
