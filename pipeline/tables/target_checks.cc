#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <optional>
#include <string>
#include <utility>

#include "pipeline/tables/table_checks.h"

namespace lockstep {
namespace {

constexpr const char* kUntilTheEnd =
    "drop it and create it again after the migration, or create the same one on the source";

// The target's names of a source's columns; nothing when one is not carried.
std::optional<std::set<std::string>> carried(const TableMap& map,
                                             const std::set<std::string>& columns) {
  std::set<std::string> names;
  for (std::size_t i = 0; i < map.columns.size(); ++i)
    if (columns.contains(map.source_column(i).name)) names.insert(map.target_column(i).name);
  if (names.size() != columns.size()) return std::nullopt;
  return names;
}

// Whether every set of rows that `source` allows passes `target`: columns that are unique stay so
// with further columns beside them, and among a part of the rows.
bool implies(const TableMap& map, const UniqueRule& source, const UniqueRule& target) {
  const auto columns = carried(map, source.columns);
  if (!columns) return false;
  if (source.special == target.special && source.columns == target.columns) return true;
  return source.special.empty() && !source.exclusion && !target.exclusion &&
         std::ranges::includes(target.columns, *columns);
}

// Of a type and all that it is made of.
void add_checks(const Type& type, std::vector<CheckRule>& all) {
  all.insert(all.end(), type.checks.begin(), type.checks.end());
  for (const Type& inner : type.inner) add_checks(inner, all);
}

bool contains(const std::vector<CheckRule>& checks, const CheckRule& check) {
  return std::ranges::find(checks, check.text, &CheckRule::text) != checks.end();
}

class TargetChecks {
 public:
  TargetChecks(const TableMap& map, const TableSpec& now) : map_(map), now_(now) {}

  std::vector<MapProblem> run() && {
    problems_ = hidden_rows(now_, "target");
    check_actors();
    check_uniques();
    for (const CheckRule& check : now_.checks)
      if (!contains(map_.source.checks, check))
        warn(fmt::format("only the target has check {} of {}, {}: a row that violates it is "
                         "quarantined",
                         check.name, now_.name.text(), check.text),
             kUntilTheEnd);
    for (const ColumnMap& mapped : map_.columns) check_domains(mapped);
    return std::move(problems_);
  }

 private:
  void warn(std::string text, std::string hint) {
    problems_.push_back({Severity::Warning, RulePart::Table, "", std::move(text), std::move(hint)});
  }

  void check_actors() {
    if (!now_.firing_triggers.empty())
      warn(fmt::format("triggers or rules of {} would fire for every row that lockstep writes: {}",
                       now_.name.text(), fmt::join(now_.firing_triggers, ", ")),
           fmt::format("ALTER TABLE {} ENABLE TRIGGER {}; as its owner: then it fires for the "
                       "application only",
                       quoted(now_.name), quote_identifier(now_.firing_triggers.front())));
    if (!now_.deferrable_constraints.empty())
      warn(fmt::format("deferrable constraints of {} are not enforced for lockstep's rows: {}",
                       now_.name.text(), fmt::join(now_.deferrable_constraints, ", ")),
           "make them NOT DEFERRABLE until the migration has ended");
  }

  void check_uniques() {
    for (const UniqueRule& rule : now_.uniques) {
      const bool implied = std::ranges::any_of(map_.source.uniques, [&](const UniqueRule& source) {
        return implies(map_, source, rule);
      });
      if (implied) continue;
      warn(fmt::format("only the target has {} {}: of rows of {} that it does not let stand side "
                       "by side one is set aside",
                       rule.exclusion ? "exclusion constraint" : "unique index", rule.name,
                       map_.source.name.text()),
           kUntilTheEnd);
    }
  }

  // What the target's domains refuse and the source's let pass.
  void check_domains(const ColumnMap& mapped) {
    const Column& from = map_.source.columns[mapped.source];
    const std::int16_t attnum = map_.target.columns[mapped.target].attnum;
    const auto to = std::ranges::find(now_.columns, attnum, &Column::attnum);
    if (to == now_.columns.end()) return;
    std::vector<CheckRule> ours;
    std::vector<CheckRule> theirs;
    add_checks(from.type, ours);
    add_checks(to->type, theirs);
    if (from.not_null) ours.push_back({"", "", "NOT NULL"});
    for (const CheckRule& check : theirs) {
      if (contains(ours, check)) continue;
      const bool named = !check.name.empty();
      warn(
          fmt::format("{}.{} is of domain {} with {}, and {}.{} is not: a row that violates it is "
                      "quarantined",
                      now_.name.text(), to->name, check.of, check.text, map_.source.name.text(),
                      from.name),
          fmt::format("ALTER DOMAIN {} DROP {} on the target until the migration has ended, or "
                      "make the like on the source",
                      check.of, named ? "CONSTRAINT " + quote_identifier(check.name) : check.text));
    }
  }

  const TableMap& map_;
  const TableSpec& now_;
  std::vector<MapProblem> problems_;
};

}  // namespace

std::vector<MapProblem> target_problems(const TableMap& map, const TableSpec& now) {
  return TargetChecks(map, now).run();
}

std::vector<UniqueRule> new_uniques(const TableMap& map, const TableSpec& now) {
  std::vector<UniqueRule> fresh;
  for (const UniqueRule& rule : now.uniques)
    if (std::ranges::find(map.target.uniques, rule.name, &UniqueRule::name) ==
        map.target.uniques.end())
      fresh.push_back(rule);
  return fresh;
}

}  // namespace lockstep
