// Renders a run's status: the contract's JSON, a table for people, and the progress line.
#pragma once

#include <array>
#include <boost/json/fwd.hpp>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "daemon/aggregates/result.h"
#include "daemon/show_values.h"
#include "pipeline/model/table.h"
#include "pipeline/watch/run_status.h"

namespace lockstep {

// How long the copy takes from now on, if it goes on at a rate of the last ten minutes.
struct Eta {
  double p50_seconds = 0;             // At the middle rate.
  std::optional<double> p90_seconds;  // At one that nine of ten passed; nothing: it stood still.
};

// What a status does not know by itself.
struct Told {
  std::string migration;
  std::string manifest;  // Its path, for next steps.
  std::optional<Eta> eta{};
  // Settings that are not as the manifest says: "reconcile.rows_per_second = 1 (the manifest says
  // 0), since .. by uid 0".
  std::vector<std::string> set{};
  ShowValues values = ShowValues::No;  // Bounds of ranges as they are.
};

// `status --format json` of 08-manifest.md, one document.
std::string status_json(const Told& told, const RunStatus& status,
                        const std::vector<AggregateResult>& aggregates = {});

// "public.a, public.b and 7 more".
std::string some_of(const std::vector<std::string>& names, std::size_t most = 5);

// "pending", "backfill", "following", "healing", "paused", "stopped"; "unknown" where no daemon
// runs and the target does not answer.
std::string_view table_state(const RunTableStatus& table);
inline constexpr std::array<std::string_view, 6> kTableStates{"pending", "backfill", "following",
                                                              "healing", "paused",   "stopped"};
// Rows that are copied; nothing: not known.
std::optional<std::uint64_t> rows_done(const RunTableStatus& table);
// The sum of a count over all tables; nothing where that of one is not known, or no table is.
std::optional<std::uint64_t> sum_known(
    const std::vector<RunTableStatus>& tables,
    const std::function<std::optional<std::uint64_t>(const RunTableStatus&)>& of);
// Rows that its copy comes to, as far as it is known; nothing: the source has no estimate.
std::optional<double> rows_expected(const RunTableStatus& table);
// What one of its rows takes at the source, on average; nothing: not known.
std::optional<double> row_bytes(const RunTableStatus& table);

// {"tables": [..]} of a status, and one of them.
std::string tables_json(const RunStatus& status, ShowValues values = ShowValues::No);
std::string table_json(const RunTableStatus& table, ShowValues values = ShowValues::No);

// What an operator holds: [{"scope", "table", "by", "reason", "since", "waits_for"}].
boost::json::array paused_json(const std::vector<PausedScope>& paused);

// The ranges of keys of a table that wait longest for their comparison: [{"lower", "upper",
// "verified_through", "age_seconds", "rows", "order"}].  Bounds are keys, which may be anybody's
// name: each is its bytes in hex, or a hash of them that says only which bounds are the same, as
// long as the process lives; null where there is none.
boost::json::array ranges_json(const TableSweep& sweep, ShowValues values);

// The document for people, several lines, from the JSON that a daemon answered; `manifest`: its
// path, for the next steps.  Returns the document itself when it is not a status.
std::string status_text(const std::string& json, const std::string& manifest);

// Whether that document says that the migration is synced.
bool status_is_synced(const std::string& json);

// The document's proof_age_seconds; nothing without a proof.
std::optional<double> proof_age(const std::string& document);
// The document, when a proof that was asked for did not come: it does not say synced.
std::string not_proven(const std::string& document);

// A member as people read it: "-" when there is none or it is null.
std::string text_of(const boost::json::object& object, std::string_view key);

// The name that TableName::text() wrote.
TableName table_of(std::string_view text);

// "2026-11-26T12:00:00Z" of microseconds since 1970; "" of 0.
std::string time_text(std::int64_t us);

// For the note of a run that ended: what was proven, and when.
std::string proof_note(const Proof& proof);

// One line, grep-able: what is copied, the lag, and what it waits for.
std::string progress_line(const RunStatus& status);

}  // namespace lockstep
