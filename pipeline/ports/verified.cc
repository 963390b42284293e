#include "pipeline/ports/verified.h"

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
