// TableSweep: what of one table was compared on both sides, and when; for status and documents.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "pipeline/model/snapshot.h"

namespace lockstep {

// One of its ranges of keys.
struct SweptRange {
  std::optional<std::string> lower;  // Key cells; nothing: unbounded.
  std::optional<std::string> upper;
  Lsn position = 0;        // Every row of it was compared at this position of the source, or later,
  std::int64_t at_us = 0;  // and then; 0: it never was.
  std::uint64_t rows = 0;
  bool of_target = false;  // It lies in the target's order of keys, where that is another one.
};

// The counts up to `unverified` begin when somebody asks, else with the run.
struct TableSweep {
  std::uint64_t rows = 0;          // Of the source, compared.
  std::uint64_t digested = 0;      // Of these, by their servers: they were not read.
  std::uint64_t findings = 0;      // All, listed or not.
  std::uint64_t missing = 0;       // Of these, rows that the target lacks.
  std::uint64_t kept = 0;          // Are on the target only, where the manifest says so.
  std::uint64_t resolved = 0;      // Differed once, and were equal later.
  std::uint64_t repaired = 0;      // Are equal after we had them read again.
  std::uint64_t failed = 0;        // Were not, after that.
  std::uint64_t healed = 0;        // Were read again, since they had changed in no event.
  std::uint64_t source_bytes = 0;  // Of the rows that were read from it.
  std::uint64_t target_bytes = 0;
  std::uint64_t suspects = 0;            // Are looked at again.
  std::uint64_t unverified = 0;          // Were in doubt whenever they were looked at.
  std::uint64_t sample_matches = 0;      // Of keys that had just changed, of this run: equal,
  std::uint64_t sample_divergences = 0;  // and findings.
  // The least position of the source that its ranges were compared at; nothing: one never was.
  std::optional<Lsn> verified_through;
  std::int64_t oldest_us = 0;       // When the range was compared that waits longest; 0: never.
  std::uint64_t verified_rows = 0;  // Of the ranges that were compared.
  std::vector<SweptRange> ranges;   // Those that wait longest; others are counted.
  std::uint64_t ranges_total = 0;
  std::uint64_t open_findings = 0;  // Also of earlier sweeps.
  // Since then every comparison of the table found all rows equal, and all were compared; 0: no.
  std::int64_t clean_since_us = 0;
  // Why what is found waits for a person, though it is to be repaired by itself; else "".
  std::string repairs_wait;
  std::string no_digests;  // Why its servers do not digest its rows; "": they do.
  std::string left;        // Why it is not gone through; empty while it is, and after.
  bool over = false;       // What was asked for.
};

}  // namespace lockstep
