#include "pipeline/tables/table_key.h"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>
#include <string>
#include <utility>

#include "pipeline/tables/table_cast.h"
#include "pipeline/tables/table_checks.h"

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
    case TypeKind::Composite:
    case TypeKind::Other:
      return CanonicalRule::Opaque;
    default:
      return CanonicalRule::Bytes;
  }
}

bool same_columns(std::vector<std::size_t> a, std::vector<std::size_t> b) {
  std::ranges::sort(a);
  std::ranges::sort(b);
  return a == b;
}

class KeyPlanner {
 public:
  KeyPlanner(TableMap& map, StreamKind stream, std::vector<MapProblem>& problems)
      : map_(map), stream_(stream), problems_(problems) {}

  void plan() {
    std::ranges::move(source_problems(map_.source), std::back_inserter(problems_));
    if (map_.source.key.empty() || !find_columns()) return;
    check_target_key();
    for (const std::size_t i : map_.key) plan_column(i);
    plan_lanes();
  }

 private:
  void error(const std::string& column, std::string text, std::string hint) {
    problems_.push_back(
        {Severity::Error, RulePart::Table, column, std::move(text), std::move(hint)});
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

  // The target's key is the one over the source's columns, whatever else it has.
  void choose_target_key(const std::vector<std::size_t>& wanted) {
    TableSpec& target = map_.target;
    const auto fits = [&](const KeyIndex& index) {
      return !index.deferrable && same_columns(index.columns, wanted);
    };
    const auto found = std::ranges::find_if(target.keys, fits);
    if (found == target.keys.end() || found->name == target.key_index) return;
    target.key = found->columns;
    target.key_index = found->name;
    target.key_is_primary = found->primary;
    target.key_deferrable = false;
    target.secondary_unique = true;  // The one that was the key until now.
  }

  void check_target_key() {
    const TableSpec& target = map_.target;
    std::vector<std::size_t> wanted;
    wanted.reserve(map_.key.size());
    for (const std::size_t i : map_.key) wanted.push_back(map_.columns[i].target);
    choose_target_key(wanted);
    const std::vector<std::size_t>& have = target.key;
    if (!same_columns(have, wanted)) {
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
            make_key_immediate(target) + " on the target");
    }
    refuse_deferrable_twin(wanted);
  }

  // ON CONFLICT means every unique index over the columns that it names.
  void refuse_deferrable_twin(const std::vector<std::size_t>& wanted) {
    const TableSpec& target = map_.target;
    for (const KeyIndex& index : target.deferrables) {
      if (index.name == target.key_index || !same_columns(index.columns, wanted)) continue;
      error("",
            fmt::format("the constraint {} of {} is DEFERRABLE and has the key's columns: ON "
                        "CONFLICT refuses it",
                        index.name, target.name.text()),
            fmt::format("ALTER TABLE {} DROP CONSTRAINT {} on the target; {} says the same",
                        quoted(target.name), quote_identifier(index.name),
                        quote_identifier(target.key_index)));
    }
  }

  void plan_column(std::size_t i) {
    const Column& from = map_.source_column(i);
    const Column& to = map_.target_column(i);
    const std::string name = map_.source.name.text() + "." + from.name;
    if (const CastVerdict verdict = judge_cast(from.type, to.type); !verdict.key_safe) {
      error(from.name,
            fmt::format("{} is part of the key, {} on the source and {} on the target: {}", name,
                        from.type.sql, to.type.sql, verdict.reason),
            fmt::format("give {}.{} of the target the type {}", map_.target.name.text(), to.name,
                        from.type.sql));
    }
    // Arrays lose their bounds, and NULL in one may stand for another array.
    const bool is_lossy = stream_ == StreamKind::Debezium && from.type.kind == TypeKind::Array;
    if (map_.columns[i].doubtful_always || is_lossy) {
      error(from.name,
            fmt::format("{} is part of the key, and the stream cannot carry it exactly", name),
            stream_ == StreamKind::Debezium
                ? "leave the table out (`skip: true`), use stream: direct, or give it another key"
                : "leave the table out (`skip: true`), or give it another key");
    }
    if (to.folding != from.folding && !to.folding.empty())
      error(from.name,
            fmt::format("{} is part of the key, and on the target values of it are equal that "
                        "differ on the source: {}",
                        name, to.folding),
            fmt::format("give {}.{} the type and the collation that it has on the source, or a "
                        "deterministic one",
                        map_.target.name.text(), to.name));
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
  const StreamKind stream_;
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

CanonicalRule compared_rule(const Column& column, Plane plane) {
  Column element = column;
  if (column.type.kind == TypeKind::Array && !column.type.inner.empty())
    element.type = column.type.inner.front();
  const bool interval = element.type.kind == TypeKind::Interval;
  const CanonicalRule rule = interval ? CanonicalRule::Interval : rule_of(element);
  return rule == CanonicalRule::Bytes || plane == Plane::Binary ? rule : CanonicalRule::Opaque;
}

void plan_key_and_lanes(TableMap& map, StreamKind stream, std::vector<MapProblem>& problems) {
  KeyPlanner(map, stream, problems).plan();
}

}  // namespace lockstep
