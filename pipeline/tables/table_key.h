// The key of a table: which columns, how equality is computed here, and what that means for lanes
// (I2, I19, P2).  A step of plan_table (table_map.cc).
#pragma once

#include <vector>

#include "pipeline/model/table.h"
#include "pipeline/tables/table_map.h"

namespace lockstep {

// How the canonical form of a key column is made: the coarser of both sides' equality.
CanonicalRule canonical_rule(const Column& source, const Column& target, Plane plane);

// How `compare: value` makes values, or the elements of arrays, comparable by their bytes.
CanonicalRule compared_rule(const Column& column, Plane plane);

// Fills key, canonical, ordered and one_lane of `map`, and the key of its target, or adds the
// problems that forbid it.
// REQUIRES: source, target, columns and lanes of `map` are set.
void plan_key_and_lanes(TableMap& map, StreamKind stream, std::vector<MapProblem>& problems);

}  // namespace lockstep
