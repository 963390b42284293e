#include "pipeline/base/rules.h"

#ifdef LOCKSTEP_MUTANTS

#include <optional>

namespace lockstep {
namespace {

// The simulator is single-threaded.
std::optional<Rule> off;

}  // namespace

bool rule_on(Rule rule) { return off != rule; }
void switch_rule_off(Rule rule) { off = rule; }
void switch_all_rules_on() { off.reset(); }

}  // namespace lockstep

#endif
