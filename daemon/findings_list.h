// The findings of a migration, as verbs list them: they lie in the state directory, which is read
// beside a daemon and without one.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "config/manifest.h"
#include "pipeline/base/result.h"
#include "pipeline/ports/verified.h"

namespace lockstep {

struct FindingsFilter {
  std::vector<std::uint64_t> ids;        // None: those that the other two choose.
  std::string table;                     // "": all.
  bool all = false;                      // Also those that are not open any more.
  RepairScope scope = RepairScope::All;  // Others are only counted, ...
  bool undone = true;                    // ... and, if false, those whose repair was taken back.
  bool with_rows = true;                 // They may be large, and many.
  std::uint64_t limit = 10'000;
};

struct FindingsList {
  std::vector<Finding> findings;  // By id.
  std::uint64_t total = 0;        // Also those beyond the limit.
  std::uint64_t left_out = 0;     // Not in the scope.
  std::uint64_t undone = 0;       // Left out, too.
};

// Halt, exit Usage: there is no finding with one of the ids.
Result<FindingsList> list_findings(const Manifest& manifest, const FindingsFilter& filter);

}  // namespace lockstep
