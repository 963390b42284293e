// SweepStatus: what a sweep has compared and found, as commands and documents show it.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "pipeline/model/snapshot.h"
#include "pipeline/model/table.h"

namespace lockstep {

enum class FindingKind : std::uint8_t { MissingInTarget, ExtraInTarget, Differing };
// "missing_in_target", ...
std::string_view kind_text(FindingKind kind);

// A row that differed under fresh snapshots again and again, with nothing under way (V6).
struct Finding {
  TableId table = 0;
  std::string key;  // Cells, in the source's form.
  FindingKind kind = FindingKind::Differing;
  std::vector<std::string> columns;  // Of Differing: as the source calls them.
  std::int64_t seen_us = 0;          // First seen, microseconds since 1970.
};

struct TableSweep {
  std::uint64_t rows = 0;        // Of the source, compared.
  std::uint64_t findings = 0;    // All, listed or not.
  std::uint64_t resolved = 0;    // Differed once, and were equal later.
  std::uint64_t suspects = 0;    // Are looked at again.
  std::uint64_t unverified = 0;  // Were in doubt whenever they were looked at.
  // The least position of the source that its ranges were compared at; nothing: none was.
  std::optional<Lsn> verified_through;
  std::string left;  // Why it is not gone through; empty while it is, and after.
  bool over = false;
};

struct SweepStatus {
  std::uint64_t sweep = 0;  // Counts them; 0: there was none.
  bool running = false;
  std::vector<std::pair<TableId, TableSweep>> tables;
  std::vector<Finding> findings;
};

}  // namespace lockstep
