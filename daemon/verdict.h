// MigrationVerdict: how a migration does, in one word and one sentence, for whoever has only a
// moment.
//
//   RunStatus ──> verdict ──> status, top, the page
//
// The whole is never shown better than its worst part, and what is not known is not well.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "daemon/aggregates/result.h"
#include "pipeline/watch/run_status.h"

namespace lockstep {

enum class Mood : std::uint8_t {
  Well,     // Nothing to do, and proven.
  Busy,     // It does its work, and is not through.
  Held,     // Somebody holds it.
  Unknown,  // Nobody can tell.
  Trouble,  // Somebody has to do something.
};
std::string_view mood_text(Mood mood);  // "well", ...

struct MigrationVerdict {
  Mood mood = Mood::Unknown;
  std::string text;  // A sentence; it ends in the next step where there is one.
};

// `manifest`: its path, for next steps; `aggregates`: as they were taken last.  On any thread.
MigrationVerdict verdict_of(const RunStatus& status, std::string_view manifest,
                            const std::vector<AggregateResult>& aggregates = {});

// Why it does not do its work, as /readyz says; none: it does.  `runs`: a run is under way.
std::vector<std::string> not_ready(const RunStatus& status, bool runs);

}  // namespace lockstep
