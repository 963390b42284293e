#include "pipeline/ports/verified.h"

#include <utility>

namespace lockstep {

std::string_view kind_text(FindingKind kind) {
  switch (kind) {
    case FindingKind::MissingInTarget:
      return "missing_in_target";
    case FindingKind::ExtraInTarget:
      return "extra_in_target";
    case FindingKind::Differing:
      return "differing";
  }
  return "unknown";
}

Hash128 seen_as(const Finding& finding) {
  return hash128(finding.target_row, static_cast<std::uint64_t>(finding.kind));
}

void Finding::become(FindingState to, std::int64_t now_us) {
  if (std::exchange(state, to) != to) state_since_us = now_us;
}

std::string cause_text(const Finding& finding) {
  const std::string& writer = finding.writer.foreign;
  return finding.cause + (finding.cause.empty() || writer.empty() ? "" : "; ") + writer;
}

void keep_known_writer(TargetWriter& seen, const TargetWriter& known) {
  if (seen.xid != 0 && seen.xid == known.xid && !known.foreign.empty())
    seen.foreign = known.foreign;
}

bool is_in_scope(FindingKind kind, RepairScope scope) {
  switch (scope) {
    case RepairScope::All:
      return true;
    case RepairScope::Upsert:
      return kind != FindingKind::ExtraInTarget;
    case RepairScope::Insert:
      return kind == FindingKind::MissingInTarget;
  }
  return false;
}

std::string_view scope_text(RepairScope scope) {
  return scope == RepairScope::Insert ? "insert" : scope == RepairScope::Upsert ? "upsert" : "all";
}

std::optional<RepairScope> parse_scope(std::string_view text) {
  for (const RepairScope scope : {RepairScope::All, RepairScope::Upsert, RepairScope::Insert})
    if (scope_text(scope) == text) return scope;
  return std::nullopt;
}

std::string_view state_text(FindingState state) {
  switch (state) {
    case FindingState::Open:
      return "open";
    case FindingState::Resolved:
      return "resolved";
    case FindingState::Repairing:
      return "repairing";
    case FindingState::Repaired:
      return "repaired";
    case FindingState::Undone:
      return "undone";
  }
  return "unknown";
}

}  // namespace lockstep
