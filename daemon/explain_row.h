// explain_row: all that is known of one row: both servers, the target's bookkeeping, the state
// directory, and the running daemon.
#pragma once

#include <string>

#include "config/manifest.h"
#include "daemon/quarantine.h"
#include "pipeline/base/result.h"

namespace lockstep {

struct RowQuestion {
  std::string table;  // "public.orders", as status names it.
  std::string key;    // As parse_row_key() takes it.
  ShowValues values = ShowValues::No;
};

struct RowAnswer {
  ExitCode exit = ExitCode::Incomplete;  // Ok equal, Different, Incomplete: not to be told.
  std::string document;                  // JSON.
};

// Reads only.  Waits for both servers; where both sides differ, for the daemon's proof that nothing
// is under way, less than a second.
// Halt, exit Usage: there is no such table, or the key does not fit it.
Result<RowAnswer> explain_row(const Manifest& manifest, const RowQuestion& question);

}  // namespace lockstep
