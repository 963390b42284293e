// Renders what a sweep has compared and found: the contract's JSON, and text for people.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "config/manifest.h"
#include "daemon/aggregates/result.h"
#include "daemon/prepare.h"
#include "pipeline/base/result.h"
#include "pipeline/reconcile/sweep_status.h"

namespace lockstep {

// Where the control socket takes {"table": "public.orders"}, or {} for all; GET answers a document.
inline constexpr const char* kReconcilePath = "/api/v1/reconcile";

// `reconcile --format json` of 08-manifest.md, with "sweep" and "running" besides, and each key as
// the bytes of its cells in hex: a daemon asks no server about types.  `aggregates`: those that
// were taken for it; `waits`: what keeps it from its end.
std::string sweep_json(const SweepStatus& status, const std::vector<const TableMap*>& tables,
                       const std::vector<LeftOut>& left_out,
                       const std::vector<AggregateResult>& aggregates,
                       const std::vector<std::string>& waits = {});

// The document, or a status with values, with keys as the source writes them, of findings and, with
// `ranges`, of bounds.
// Waits for the source; a key that it does not tell stays as it is.
std::string with_key_texts(const std::string& document, const Manifest& manifest, bool ranges);

// The document for people, several lines; `manifest`: its path, for the next steps.
std::string sweep_text(const std::string& document, const std::string& manifest);

// The tables that `name` selects, "schema.table" or "" for all.  Halt, exit Usage: there is none.
Result<std::vector<TableId>> tables_to_compare(const std::vector<const TableMap*>& tables,
                                               const std::string& name,
                                               const std::string& manifest);

// What a document says.
struct SweepOutcome {
  std::uint64_t sweep = 0;
  bool running = false;
  ExitCode exit = ExitCode::Failed;  // 0 equal, 2 findings, 3 incomplete.
  std::string waits;                 // What keeps it from its end, for people; "": nothing.
};
Result<SweepOutcome> sweep_outcome(const std::string& document);

}  // namespace lockstep
