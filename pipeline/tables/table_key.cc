#include "pipeline/tables/table_key.h"

#include <fmt/format.h>

#include <algorithm>
#include <string>
#include <utility>

#include "pipeline/tables/table_cast.h"

namespace lockstep {
namespace {

CanonicalRule rule_of(const Column& column);

// A range is made of its bounds: one binary form per value where its bounds have one.
CanonicalRule rule_of_range(const Column& column) {
  if (column.type.inner.empty()) return CanonicalRule::Opaque;
  Column bound;
  bound.type = column.type.inner.front();
  return rule_of(bound) == CanonicalRule::Bytes ? CanonicalRule::Bytes : CanonicalRule::Opaque;
}

CanonicalRule rule_of(const Column& column) {
  if (!column.deterministic_collation) return CanonicalRule::Opaque;
  switch (column.type.kind) {
    case TypeKind::Numeric:
      return CanonicalRule::Numeric;
    case TypeKind::Float4:
    case TypeKind::Float8:
      return CanonicalRule::Float;
    case TypeKind::Bpchar:
      return CanonicalRule::TrimBlanks;
    case TypeKind::Citext:
      return column.folds_ascii ? CanonicalRule::FoldAscii : CanonicalRule::Opaque;
    case TypeKind::Range:
      return rule_of_range(column);
    case TypeKind::Interval:  // A month equals 30 days.
    case TypeKind::Jsonb:     // 1.0 equals 1.00 inside.
    case TypeKind::Json:
    case TypeKind::Point:
    case TypeKind::Hstore:
    case TypeKind::Array:  // Bounds are lost on the wire, elements have rules of their own.
    case TypeKind::Other:
      return CanonicalRule::Opaque;
    default:
      return CanonicalRule::Bytes;
  }
}

std::string names_of(const TableSpec& spec, const std::vector<std::size_t>& columns) {
  std::string names;
  for (const std::size_t i : columns) names += (names.empty() ? "" : ", ") + spec.columns[i].name;
  return names;
}

class KeyPlanner {
 public:
  KeyPlanner(TableMap& map, std::vector<MapProblem>& problems) : map_(map), problems_(problems) {}

  void plan() {
    if (!usable_source_key() || !find_columns()) return;
    check_target_key();
    for (const std::size_t i : map_.key) plan_column(i);
    plan_lanes();
  }

 private:
  void error(const std::string& column, std::string text, std::string hint) {
    problems_.push_back(
        {Severity::Error, RulePart::Table, column, std::move(text), std::move(hint)});
  }

  bool usable_source_key() {
    const TableSpec& source = map_.source;
    if (source.key.empty()) {
      error("",
            source.name.text() +
                " has no usable key: no primary key, and no immediate unique "
                "index over NOT NULL columns",
            fmt::format("add a primary key to {} on the source, or skip the table",
                        source.name.text()));
      return false;
    }
    check_identity();
    return true;
  }

  // Without an identity that holds the key, updates and deletes carry none (or are refused).
  void check_identity() {
    const TableSpec& source = map_.source;
    const bool unusable =
        source.replica_identity == ReplicaIdentity::Nothing ||
        (source.replica_identity == ReplicaIdentity::Default && !source.key_is_primary);
    if (!unusable) return;
    const std::string wanted =
        source.key_is_primary ? "DEFAULT" : "USING INDEX " + quote_identifier(source.key_index);
    error("",
          source.name.text() +
              " has a replica identity without its key: updates and deletes "
              "would not say which row they mean",
          fmt::format("ALTER TABLE {} REPLICA IDENTITY {} on the source", quoted(source.name),
                      wanted));
  }

  bool find_columns() {
    bool complete = true;
    for (const std::size_t wanted : map_.source.key) {
      const auto found = std::find_if(map_.columns.begin(), map_.columns.end(),
                                      [&](const ColumnMap& c) { return c.source == wanted; });
      if (found == map_.columns.end()) {
        const std::string& name = map_.source.columns[wanted].name;
        error(name,
              fmt::format("{}.{} is part of the key and does not reach the target",
                          map_.source.name.text(), name),
              "map every column of the key; it cannot be dropped or generated");
        complete = false;
        continue;
      }
      map_.key.push_back(static_cast<std::size_t>(found - map_.columns.begin()));
    }
    return complete;
  }

  void check_target_key() {
    const TableSpec& target = map_.target;
    std::vector<std::size_t> wanted;
    wanted.reserve(map_.key.size());
    for (const std::size_t i : map_.key) wanted.push_back(map_.columns[i].target);
    std::vector<std::size_t> have = target.key;
    std::vector<std::size_t> sorted = wanted;
    std::sort(have.begin(), have.end());
    std::sort(sorted.begin(), sorted.end());
    if (have != sorted) {
      error("",
            fmt::format("{} has no primary key or unique index over ({}), the source's key{}",
                        target.name.text(), names_of(target, wanted),
                        have.empty() ? "" : "; its key is (" + names_of(target, target.key) + ")"),
            fmt::format("give {} a primary key over ({})", target.name.text(),
                        names_of(target, wanted)));
    } else if (target.key_deferrable) {
      error("",
            fmt::format("the key {} of {} is DEFERRABLE: ON CONFLICT refuses it", target.key_index,
                        target.name.text()),
            fmt::format("make it NOT DEFERRABLE on {}", target.name.text()));
    }
  }

  void plan_column(std::size_t i) {
    const Column& from = map_.source_column(i);
    const Column& to = map_.target_column(i);
    const std::string name = map_.source.name.text() + "." + from.name;
    if (const CastVerdict verdict = judge_cast(from.type, to.type); !verdict.key_safe) {
      error(from.name,
            fmt::format("{} is part of the key, {} here and {} on the target: {}", name,
                        from.type.sql, to.type.sql, verdict.reason),
            fmt::format("give {}.{} the type {}", map_.target.name.text(), to.name, from.type.sql));
    }
    if (map_.columns[i].doubtful_always) {
      error(from.name,
            fmt::format("{} is part of the key, and the stream cannot carry it exactly", name),
            "give the table another key, or skip it");
    }
    map_.canonical.push_back(canonical_rule(from, to, map_.columns[i].plane));
  }

  void plan_lanes() {
    const auto opaque =
        std::find(map_.canonical.begin(), map_.canonical.end(), CanonicalRule::Opaque);
    const bool is_opaque = opaque != map_.canonical.end();
    map_.ordered = is_opaque || map_.target.secondary_unique;
    map_.one_lane =
        is_opaque || map_.lanes == LaneMode::One || (map_.ordered && map_.lanes != LaneMode::All);
    if (!is_opaque || map_.lanes != LaneMode::All) return;
    const std::size_t i = map_.key[static_cast<std::size_t>(opaque - map_.canonical.begin())];
    problems_.push_back(
        {Severity::Error, RulePart::Lanes, map_.source_column(i).name,
         fmt::format("lanes: all is impossible: when two values of {}.{} are equal is known to "
                     "PostgreSQL only",
                     map_.source.name.text(), map_.source_column(i).name),
         "leave it out, or write lanes: one"});
  }

  TableMap& map_;
  std::vector<MapProblem>& problems_;
};

}  // namespace

CanonicalRule canonical_rule(const Column& source, const Column& target, Plane plane) {
  const CanonicalRule from = rule_of(source);
  const CanonicalRule to = rule_of(target);
  if (from == CanonicalRule::Opaque || to == CanonicalRule::Opaque) return CanonicalRule::Opaque;
  // The numeric rules read binary values.
  if (plane == Plane::Text && (from == CanonicalRule::Numeric || from == CanonicalRule::Float))
    return CanonicalRule::Opaque;
  // A cast that is safe for keys keeps equality, so the source's rule serves for both.
  return from;
}

void plan_key_and_lanes(TableMap& map, std::vector<MapProblem>& problems) {
  KeyPlanner(map, problems).plan();
}

}  // namespace lockstep
