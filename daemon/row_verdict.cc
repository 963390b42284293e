#include "daemon/row_verdict.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "daemon/status_json.h"

namespace lockstep {
namespace {

std::string seen_text(const RowFacts& row) {
  switch (row.sides) {
    case RowSides::Unknown:
      return "not compared";
    case RowSides::Equal:
      return "equal on both sides";
    case RowSides::Absent:
      return "absent on both sides";
    case RowSides::Differing:
      return fmt::format("differs in {}", fmt::join(row.columns, ", "));
    case RowSides::MissingInTarget:
      return "missing on the target";
    case RowSides::ExtraInTarget:
      return "only on the target";
  }
  CHECK(false);
  return {};
}

std::string owed_text(const RowFacts& row) {
  const QuarantinedRow& debt = *row.debt;
  const std::string why =
      debt.detail.empty() ? debt.reason : fmt::format("{}: {}", debt.reason, debt.detail);
  if (debt.state == "open")
    return fmt::format(
        "a debt is open: the row is read from the source again ({}; {} attempts so far): lockstep "
        "status {} says when nothing is owed",
        why, debt.attempts, row.manifest);
  if (debt.state == "dropped")
    return fmt::format(
        "somebody has accepted that (lockstep quarantine drop; {}): lockstep quarantine retry {} "
        "{} reads the row again",
        why, row.manifest, debt.id);
  return fmt::format(
      "the row is in quarantine after {} attempts ({}): put that right, then lockstep quarantine "
      "retry {} {}",
      debt.attempts, why, row.manifest, debt.id);
}

std::string found_text(const RowFacts& row) {
  const Finding& finding = *row.finding;
  const std::string known = cause_text(finding);
  const std::string cause = known.empty() ? "" : fmt::format(" ({})", known);
  const std::int64_t since_us =
      finding.state_since_us != 0 ? finding.state_since_us : finding.first_seen_us;
  return fmt::format(
      "finding {}{} is {} since {}: lockstep findings show {} {} --show-values, then lockstep "
      "repair {} --id {}",
      finding.id, cause, state_text(finding.state), time_text(since_us), row.manifest, finding.id,
      row.manifest, finding.id);
}

std::string compare_text(const RowFacts& row) {
  return fmt::format("lockstep reconcile {} --once --table {}", row.manifest, row.table);
}

// Of rows that are not equal.
RowVerdict unequal(const RowFacts& row, const std::string& seen) {
  const auto say = [&](ExitCode exit, const std::string& why) {
    return RowVerdict{exit, fmt::format("{}: {}", seen, why)};
  };
  if (row.debt) return say(ExitCode::Different, owed_text(row));
  if (!row.copied)
    return say(ExitCode::Incomplete, "the row is not copied yet: lockstep status " + row.manifest +
                                         " says how far it is");
  if (row.state == "healing")
    return say(ExitCode::Incomplete, "the table is being healed, row by row: lockstep status " +
                                         row.manifest + " says when that is over");
  if (row.sides == RowSides::ExtraInTarget && row.keeps_rows)
    return say(ExitCode::Ok,
               "the manifest keeps such rows (existing: upsert, or partitions: keep)");
  if (!row.held.empty())
    return say(ExitCode::Incomplete,
               "what the source has written since then is not applied: " + row.held);
  if (row.running && !row.proven)
    return say(ExitCode::Incomplete,
               "whether a change of it is under way was not to be told within a second: ask again, "
               "or " +
                   compare_text(row));
  if (row.finding && is_open(row.finding->state)) return say(ExitCode::Different, found_text(row));
  if (!row.running)
    return say(ExitCode::Different,
               "lockstep does not run, and what the source has written since it ended is not "
               "applied: " +
                   compare_text(row) + " applies it and compares");
  return {ExitCode::Different,
          fmt::format("{}, and nothing known explains it: {}", seen, compare_text(row))};
}

}  // namespace

std::string_view sides_text(RowSides sides) {
  switch (sides) {
    case RowSides::Unknown:
      return "unknown";
    case RowSides::Equal:
      return "equal";
    case RowSides::Absent:
      return "absent";
    case RowSides::Differing:
      return kind_text(FindingKind::Differing);
    case RowSides::MissingInTarget:
      return kind_text(FindingKind::MissingInTarget);
    case RowSides::ExtraInTarget:
      return kind_text(FindingKind::ExtraInTarget);
  }
  CHECK(false);
  return {};
}

RowVerdict row_verdict(const RowFacts& row) {
  const std::string seen = seen_text(row);
  if (row.state == "stopped" || row.state == "paused")
    return {ExitCode::Incomplete,
            fmt::format("{} now, but the table {}: {}", seen,
                        row.state == "paused" ? "is paused" : "has stopped", row.reason)};
  if (row.sides == RowSides::Unknown)
    return {ExitCode::Incomplete, fmt::format("{}: {}", seen, row.reason)};
  if (row.sides == RowSides::Equal || row.sides == RowSides::Absent) return {ExitCode::Ok, seen};
  return unequal(row, seen);
}

}  // namespace lockstep
