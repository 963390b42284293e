// Fingerprint of a table's mapping, as the target's bookkeeping stores it: "<rule>/<mapping>".
#pragma once

#include <string>

#include "pipeline/model/table.h"

namespace lockstep {

// The first half says which columns go where and as what constants (what the manifest decides), the
// second also types and keys (what an ALTER changes, too).
std::string fingerprint(const TableMap& map);

// In the place of a fingerprint: a run left the table out, and what was written since is in no
// stream.  It is copied anew, onto an empty table.
inline constexpr const char* kForgotten = "forgotten";

// Whether `stored` is that of `map` but for the lanes that its rows take: what was copied is good.
bool differs_in_lanes(const std::string& stored, const TableMap& map);

// Whether two fingerprints differ at most in what an ALTER changes.
bool same_rule(const std::string& a, const std::string& b);

}  // namespace lockstep
