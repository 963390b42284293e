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
  }
  return "unknown";
}

}  // namespace lockstep
