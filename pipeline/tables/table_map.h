// plan_table: from the two specs of a table and the manifest's rule to its TableMap, or to every
// reason why there is none.
//
// config/ calls it for `validate`, daemon/ when a run is prepared.  Pure: it reads catalogs'
// descriptions only, so all of it is tested without a server.  Which types may be cast into which
// is decided in table_cast.h, what Debezium cannot carry in table_stream.h.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "pipeline/model/table.h"

namespace lockstep {

enum class StreamKind : std::uint8_t { Direct, Debezium };

// What the stream carries, as far as a plan depends on it.
struct StreamTraits {
  StreamKind kind = StreamKind::Debezium;
  bool exact_intervals = true;  // interval.handling.mode=string.
  bool unknown_types = true;    // include.unknown.datatypes=true.
};

// The part of one manifest rule that shapes a table.
struct TableRule {
  std::map<std::string, std::string> rename;  // Source column -> target column.
  std::set<std::string> drop;                 // Source columns.
  std::map<std::string, std::optional<std::string>>
      set;                              // Target column -> constant; nothing: NULL.
  std::set<std::string> reread_arrays;  // Source columns with `array_bounds: reread`.
  std::set<std::string> compare_value;  // Source columns with `compare: value`.
  LaneMode lanes = LaneMode::Auto;
  PartitionPolicy partitions = PartitionPolicy::Heal;
};

enum class Severity : std::uint8_t { Error, Warning };

// The part of the rule that a problem is about, so that the manifest can point at it.
enum class RulePart : std::uint8_t { Table, Rename, Drop, Set, ArrayBounds, Compare, Lanes };

struct MapProblem {
  Severity severity = Severity::Error;
  RulePart part = RulePart::Table;
  std::string column;  // As the rule writes it, "" when the whole table is meant.
  std::string text;    // Names table and column.
  std::string hint;    // What to do; may be empty.
};

// `map` is set exactly when no problem is an error; warnings may accompany it.
// TableMap::id is 0: the caller numbers its tables.
struct MapOutcome {
  std::optional<TableMap> map;
  std::vector<MapProblem> problems;
};

MapOutcome plan_table(const TableSpec& source, const TableSpec& target, const TableRule& rule,
                      const StreamTraits& stream);

// A number that changes whenever the mapping does: names, types, key, casts, constants, lanes'
// order; and when the target's table or columns are others of the same names, which hold nothing of
// what was written.  It does not depend on the source's OIDs.
std::uint64_t mapping_fingerprint(const TableMap& map);

}  // namespace lockstep
