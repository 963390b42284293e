#include "pipeline/model/change.h"

#include <array>
#include <utility>

#include "pipeline/base/rules.h"

namespace lockstep {
namespace {

constexpr std::array<std::pair<DebtReason, std::string_view>, 11> kReasons{{
    {DebtReason::None, "none"},
    {DebtReason::Doubtful, "doubtful"},
    {DebtReason::Unreadable, "unreadable"},
    {DebtReason::MissingRow, "missing_row"},
    {DebtReason::Violation, "violation"},
    {DebtReason::Refused, "refused"},
    {DebtReason::Swallowed, "swallowed"},
    {DebtReason::Evicted, "evicted"},
    {DebtReason::Snapshot, "snapshot"},
    {DebtReason::Divergent, "divergent"},
    {DebtReason::DivergentAlone, "divergent_alone"},
}};

}  // namespace

bool may_have_been_deleted(DebtReason reason) {
  if (reason == DebtReason::Unreadable || reason == DebtReason::Divergent) return true;
  return (reason == DebtReason::Refused || reason == DebtReason::Swallowed) &&
         rule_on(Rule::DeleteAgain);
}

std::string_view debt_reason_text(DebtReason reason) {
  for (const auto& [value, text] : kReasons)
    if (value == reason) return text;
  return "none";
}

// A word of a later version means a debt all the same.
DebtReason parse_debt_reason(std::string_view text) {
  for (const auto& [value, word] : kReasons)
    if (word == text) return value;
  return DebtReason::Unreadable;
}

}  // namespace lockstep
