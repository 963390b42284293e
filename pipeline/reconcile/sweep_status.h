// SweepStatus: what a sweep has compared and found, as commands and documents show it.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "pipeline/model/table.h"
#include "pipeline/model/table_sweep.h"
#include "pipeline/ports/verified.h"

namespace lockstep {

struct SweepStatus {
  std::uint64_t sweep = 0;  // Counts them; 0: there was none.
  bool running = false;     // What somebody asked for.
  bool continuous = false;
  std::string waits;      // Why the continuous comparison does not go on right now; else "".
  std::string held_back;  // Which repairs wait for the budget; else "".
  std::vector<std::pair<TableId, TableSweep>> tables;  // As of now.
  std::vector<std::pair<TableId, TableSweep>> asked;   // Of what somebody asked for last.
  std::vector<Finding> findings;                       // Likewise; without the rows.
};

}  // namespace lockstep
