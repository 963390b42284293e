// Keys: the canonical form of a row's key, which decides its lane and its identity (I2).
//
// A key travels as cells (row.h) in TableMap::key order.  Two keys that either server holds to be
// equal (numeric 1.0 and 1.00, float 0 and -0, citext 'A' and 'a') have one hash; everything of
// ours that asks "the same row?" compares that hash.
#pragma once

#include <string>
#include <string_view>

#include "pipeline/model/row.h"
#include "pipeline/model/table.h"

namespace lockstep {

// Returns the hash of the canonical form of `key`, seeded by the source table's name, so that it
// is the same in every run.  Opaque columns count by their bytes: their table has one lane.
// REQUIRES: `key` holds one cell per key column of `table`, in key order.
Hash128 key_hash(const TableMap& table, std::string_view key);

// Appends the form of a value in which values that are equal have equal bytes.
void append_canonical(std::string& out, CanonicalRule rule, std::string_view bytes);

// Replaces `out` by the key cells of `row`, in key order; allocates only when `out` must grow.
// Returns false when one of them is NULL or unavailable; `out` is then of no use.
// REQUIRES: `row` holds one cell per mapped column of `table`.
bool extract_key(const TableMap& table, std::string_view row, std::string& out);

// Whether equal keys have equal bytes on the wire, so that Kafka's partitioner keeps all events of
// one key in one partition (P4).
bool wire_equals_canonical(const TableMap& table);

}  // namespace lockstep
