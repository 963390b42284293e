// AggregateResult: what a pair of statements of the manifest's `aggregates` has come to last.
//
// The watch makes them, a note of the checkpoint keeps them, status and `lockstep aggregates` show
// them.  Values are aggregates and no rows, so they are shown.
#pragma once

#include <boost/json/fwd.hpp>
#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "config/manifest.h"
#include "pipeline/base/result.h"
#include "pipeline/model/snapshot.h"

namespace lockstep {

// The note of the checkpoint that holds the results, as results_json() writes them.
inline constexpr std::string_view kAggregatesNote = "aggregates";

enum class AggregateState : std::uint8_t {
  Pending,    // Never taken.
  Equal,      // At one position of the source, on both sides.
  Different,  // Likewise.
  Unaligned,  // Both sides never stood at one position, or the target is known to lack rows.
  Failed,     // A statement, or a server.
};
std::string_view state_text(AggregateState state);

struct AggregateResult {
  using Values = std::vector<std::optional<std::string>>;  // By column; nothing: NULL.

  std::string name;
  std::string statements;  // A hash of both, and of the tolerance; "": a version before told none.
  AggregateState state = AggregateState::Pending;
  std::vector<std::string> columns;  // As the source calls them.
  Values source;
  Values target;
  std::int64_t at_us = 0;  // Microseconds since 1970.
  Lsn position = 0;        // Of the source.
  std::string reason;      // Of Unaligned and Failed, for people.
};

// One that was never taken.
AggregateResult pending_result(const ManifestAggregate& aggregate);

boost::json::array results_json(const std::vector<AggregateResult>& results);
// Those of a note; what it does not tell is left out.
std::vector<AggregateResult> parse_results(std::string_view note);

// Whether it is to be taken again, so long after the last time.  A last time that is still to come
// is of a clock that was set back since.
bool is_due(const AggregateResult& last, std::chrono::seconds every, std::int64_t now_us);

// One result for each of the manifest's aggregates, in its order: the stored one, or Pending where
// there is none, or only one of other statements or of another tolerance.
std::vector<AggregateResult> results_of(const Manifest& manifest,
                                        const std::vector<AggregateResult>& stored);

// Ok: all are equal; Different: one differs; Incomplete: one could not be told.
ExitCode exit_of(const std::vector<AggregateResult>& results);

// For people: a line for each, and the next step with the manifest's path.
std::string results_text(const std::vector<AggregateResult>& results, const std::string& manifest);

}  // namespace lockstep
