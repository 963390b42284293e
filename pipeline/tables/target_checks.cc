#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "pipeline/tables/expression_form.h"
#include "pipeline/tables/table_checks.h"

namespace lockstep {
namespace {

constexpr const char* kUntilTheEnd =
    "drop it and create it again after the migration, or create the same one on the source";
constexpr std::string_view kNotValid = " NOT VALID";
constexpr std::array<std::string_view, 3> kTextCasts{"::character varying", "::bpchar", "::text"};

// The target's names of a source's columns; nothing when one is neither carried nor computed by
// both.
std::optional<std::set<std::string>> carried(const TableMap& map,
                                             const std::set<std::string>& columns) {
  std::set<std::string> names;
  for (std::size_t i = 0; i < map.columns.size(); ++i)
    if (columns.contains(map.source_column(i).name)) names.insert(map.target_column(i).name);
  for (const Column& column : map.source.columns) {
    if (!column.generated || !columns.contains(column.name)) continue;
    const auto same = map.target.find(column.name);
    if (same && map.target.columns[*same].generated) names.insert(column.name);
  }
  if (names.size() != columns.size()) return std::nullopt;
  return names;
}

bool is_not_valid(const CheckRule& check) { return check.text.ends_with(kNotValid); }

// A condition without what PostgreSQL adds or moves when it is made anew from its own text: casts
// between types of text, and parentheses.
std::string in_short(std::string_view text) {
  if (text.ends_with(kNotValid)) text.remove_suffix(kNotValid.size());
  std::string kept;
  bool in_literal = false;
  while (!text.empty()) {
    std::size_t taken = 1;
    const auto is_here = [&](std::string_view word) { return text.starts_with(word); };
    const auto* const cast = std::ranges::find_if(kTextCasts, is_here);
    if (text.front() == '\'' || text.front() == '"') in_literal = !in_literal;
    if (!in_literal && cast != kTextCasts.end())
      taken = cast->size();
    else if (in_literal || !std::string_view("()[] ").contains(text.front()))
      kept += text.front();
    text.remove_prefix(taken);
  }
  return kept;
}

// Whether every set of rows that `source` allows passes `target`: columns that are unique stay so
// with further columns beside them, and among a part of the rows.
bool implies(const TableMap& map, const UniqueRule& source, const UniqueRule& target) {
  const auto columns = carried(map, source.columns);
  if (!columns) return false;
  if (source.columns == target.columns && in_short(source.special) == in_short(target.special))
    return true;
  return source.special.empty() && !source.exclusion && !target.exclusion &&
         std::ranges::includes(target.columns, *columns);
}

// Of a type and all that it is made of.
void add_checks(const Type& type, std::vector<CheckRule>& all) {
  all.insert(all.end(), type.checks.begin(), type.checks.end());
  for (const Type& inner : type.inner) add_checks(inner, all);
}

// The rule of `checks` that refuses what `check` does; nothing where there is none.
const CheckRule* find_like(const std::vector<CheckRule>& checks, const CheckRule& check) {
  const auto same = std::ranges::find(checks, check.text, &CheckRule::text);
  if (same != checks.end()) return &*same;
  const auto like = std::ranges::find_if(checks, [&](const CheckRule& other) {
    return other.name == check.name && in_short(other.text) == in_short(check.text);
  });
  return like == checks.end() ? nullptr : &*like;
}

class TargetChecks {
 public:
  TargetChecks(const TableMap& map, const TableSpec& now) : map_(map), now_(now) {}

  std::vector<MapProblem> run() && {
    problems_ = hidden_rows(now_, "target");
    check_unlogged();
    for (const auto& [from, to] : map_.computed) check_computed(from, to);
    check_actors();
    check_uniques();
    for (const CheckRule& check : now_.checks) check_rows(check);
    for (const ColumnMap& mapped : map_.columns) check_domains(mapped);
    return std::move(problems_);
  }

 private:
  void warn(std::string text, std::string hint) {
    problems_.push_back({Severity::Warning, RulePart::Table, "", std::move(text), std::move(hint)});
  }

  void error(const std::string& column, std::string text, std::string hint) {
    problems_.push_back(
        {Severity::Error, RulePart::Table, column, std::move(text), std::move(hint)});
  }

  void check_unlogged() {
    constexpr std::size_t kShownMax = 10;
    if (now_.unlogged.empty()) return;
    const std::size_t shown = std::min(now_.unlogged.size(), kShownMax);
    std::string names;
    for (std::size_t i = 0; i < shown; ++i) names += (i == 0 ? "" : ", ") + now_.unlogged[i].text();
    if (now_.unlogged.size() > shown)
      names += fmt::format(" and {} more", now_.unlogged.size() - shown);
    error(
        "",
        fmt::format("{} of the target {} UNLOGGED: a crash would empty {} unnoticed", names,
                    now_.unlogged.size() == 1 ? "is" : "are",
                    now_.unlogged.size() == 1 ? "it" : "them"),
        fmt::format("as the owner: ALTER TABLE {} SET LOGGED, which rewrites it while nobody else "
                    "may use it; or leave the table out (`skip: true`)",
                    quoted(now_.unlogged.front())));
  }

  // The name on the target of a column of the source.
  std::string name_on_target(const std::string& column) const {
    const auto at = map_.source.find(column);
    if (!at) return column;
    for (const ColumnMap& mapped : map_.columns)
      if (mapped.source == *at) return map_.target.columns[mapped.target].name;
    for (const auto& [from, to] : map_.computed)
      if (from == *at) return map_.target.columns[to].name;
    return column;
  }

  // A column that each side computes for itself: its values travel nowhere and are compared by
  // nobody, so that they are equal only where both compute them alike.
  void check_computed(std::size_t source, std::size_t target) {
    const Column& from = map_.source.columns[source];
    const std::int16_t attnum = map_.target.columns[target].attnum;
    const auto to = std::ranges::find(now_.columns, attnum, &Column::attnum);
    if (to == now_.columns.end() || !to->generated) return;  // Another definition, which tells.
    const std::string both =
        fmt::format("{}.{} is computed by both sides", now_.name.text(), to->name);
    const std::string ours = expression_form(
        from.expression, [this](const std::string& column) { return name_on_target(column); });
    const std::string theirs =
        expression_form(to->expression, [](const std::string& column) { return column; });
    const std::string alike = fmt::format(
        "generate it by the same expression, or put {} under columns.drop: then each side has its "
        "own values, which nothing compares",
        from.name);
    if (without_schemas(ours) != without_schemas(theirs))
      return error(from.name,
                   fmt::format("{}, by {} on the source and by {} on the target", both,
                               from.expression, to->expression),
                   alike);
    if (ours != theirs)
      warn(fmt::format("{}, by {} on the source and by {} on the target, which are functions or "
                       "types of other schemas",
                       both, from.expression, to->expression),
           "see that they are the same: nothing compares its values");
    if (from.type.base_identity != to->type.base_identity || from.type.typmod != to->type.typmod)
      warn(fmt::format("{}, as {} on the source and as {} on the target", both, from.type.sql,
                       to->type.sql),
           "give it one type, or see that its values are the same: nothing compares them");
    if (map_.source.ctype != now_.ctype && goes_by_ctype(from.expression))
      warn(
          fmt::format("{} by {}, which goes by the locale of the database: {} on the source, {} on "
                      "the target",
                      both, from.expression, map_.source.ctype, now_.ctype),
          "see that its values are the same, nothing compares them; or say COLLATE in the "
          "expression on both sides");
  }

  void check_rows(const CheckRule& check) {
    const CheckRule* const ours = find_like(map_.source.checks, check);
    if (ours == nullptr)
      warn(fmt::format("only the target has check {} of {}, {}: a row that violates it is "
                       "quarantined",
                       check.name, now_.name.text(), check.text),
           kUntilTheEnd);
    else if (is_not_valid(*ours))
      warn(
          fmt::format("check {} of {} is NOT VALID on the source: a row that is older and violates "
                      "it is quarantined",
                      ours->name, map_.source.name.text()),
          fmt::format("ALTER TABLE {} VALIDATE CONSTRAINT {} on the source; if it finds such a "
                      "row, DROP CONSTRAINT on the target until the migration has ended",
                      quoted(map_.source.name), quote_identifier(ours->name)));
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
      const CheckRule* const like = find_like(ours, check);
      if (like != nullptr && !is_not_valid(*like)) continue;
      const bool named = !check.name.empty();
      warn(
          fmt::format("{}.{} is of domain {} with {}, and {}.{} {}: a row that violates it is "
                      "quarantined",
                      now_.name.text(), to->name, check.of, check.text, map_.source.name.text(),
                      from.name, like == nullptr ? "is not" : "may hold older rows"),
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
