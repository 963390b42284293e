#include "daemon/tables.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>

#include "config/connector_config.h"
#include "connectors/postgres/wire/catalog.h"

namespace lockstep {
namespace {

// Every table that a rule may mean: those of users, and partitions that a rule names outright.
Result<std::vector<ListedTable>> list_for_selection(PostgresConnection& source,
                                                    const Manifest& manifest) {
  LOCKSTEP_ASSIGN(const std::vector<TableName> names, list_tables(source));
  std::vector<ListedTable> listed;
  for (const TableName& name : names) listed.push_back({name, std::nullopt});
  std::vector<TableName> named;
  for (const ManifestRule& rule : manifest.rules) {
    if (rule.source.value.is_glob()) continue;
    const TableName exact = rule.source.value.exact();
    if (std::ranges::find(names, exact) == names.end()) named.push_back(exact);
  }
  if (named.empty()) return listed;
  LOCKSTEP_ASSIGN(const std::vector<TableSpec> specs, read_tables(source, named));
  for (const TableSpec& spec : specs) listed.push_back({spec.name, spec.root});
  return listed;
}

std::map<TableName, TableSpec> by_name(std::vector<TableSpec> specs) {
  std::map<TableName, TableSpec> map;
  for (TableSpec& spec : specs) {
    const TableName name = spec.name;
    map.emplace(name, std::move(spec));
  }
  return map;
}

PlannedTable plan_one(const Manifest& manifest, const SelectedTable& selected,
                      const std::map<TableName, TableSpec>& sources,
                      const std::map<TableName, TableSpec>& targets) {
  PlannedTable planned{selected, {}, {}, {}};
  const ManifestRule& rule = *selected.rule;
  const auto source = sources.find(selected.source);
  const auto target = targets.find(selected.target);
  if (source == sources.end()) {
    planned.problems.push_back(manifest.problem(
        rule.where, Severity::Error,
        fmt::format("table {} does not exist on the source", selected.source.text())));
    return planned;
  }
  planned.source = source->second;
  if (target == targets.end()) {
    planned.problems.push_back(manifest.problem(
        rule.where, Severity::Error,
        fmt::format("table {} does not exist on the target", selected.target.text()),
        "create it there first, or give the rule another `target`"));
    return planned;
  }
  MapOutcome outcome =
      plan_table(source->second, target->second, rule.table,
                 manifest.source.debezium ? stream_traits(manifest)
                                          : StreamTraits{.kind = StreamKind::Direct});
  planned.map = std::move(outcome.map);
  if (planned.map) planned.map->existing = manifest.existing.value == ExistingPolicy::Upsert;
  for (const MapProblem& problem : outcome.problems)
    planned.problems.push_back(
        manifest.problem(rule.place_of(problem), problem.severity, problem.text, problem.hint));
  return planned;
}

}  // namespace

std::string became_partition(const TableSpec& leaf) {
  return fmt::format(
      "it is a partition of {} now, and its rows go there: attach or empty its table on the "
      "target, "
      "say `skip: true` for {}, and start lockstep again",
      leaf.root->text(), leaf.name.text());
}

Result<std::string> why_unlisted(PostgresConnection& source, const TableName& name) {
  LOCKSTEP_ASSIGN(const std::vector<TableSpec> specs, read_definitions(source, {name}));
  if (!specs.empty() && specs.front().root) return became_partition(specs.front());
  return fmt::format(
      "it was dropped on the source: say `skip: true` for {}, and start lockstep again",
      name.text());
}

std::string shown_list(const std::vector<TableName>& tables) {
  constexpr std::size_t kShownMax = 10;
  std::string list;
  for (std::size_t i = 0; i < std::min(tables.size(), kShownMax); ++i)
    list += (list.empty() ? "" : ", ") + tables[i].text();
  if (tables.size() <= kShownMax) return list;
  return fmt::format("{} and {} more", list, tables.size() - kShownMax);
}

std::string quoted_list(const std::vector<TableName>& tables) {
  std::string list;
  for (const TableName& table : tables) list += (list.empty() ? "" : ", ") + quoted(table);
  return list;
}

PostgresOptions connection_options(const Manifest& manifest, Side side, const std::string& role) {
  const Connect& connect = side == Side::Source ? manifest.source.connect : manifest.target.connect;
  PostgresOptions options;
  options.keywords = connect.revealed();
  options.secrets = [connect] { return connect.read_anew(); };
  options.refused = connect.known ? Refused::Waits : Refused::Halts;
  options.application_name = fmt::format("lockstep {} {}", manifest.migration.value, role);
  options.side = side == Side::Source ? "source" : "target";
  return options;
}

BookkeepingOptions bookkeeping_options(const Manifest& manifest, const std::string& role) {
  BookkeepingOptions options;
  options.connection = connection_options(manifest, Side::Target, role);
  options.name = {manifest.target.schema.value, manifest.migration.value};
  return options;
}

PostgresConnection connect(const Manifest& manifest, Side side, const std::string& role) {
  return PostgresConnection(connection_options(manifest, side, role));
}

Result<TablePlan> plan_tables(PostgresConnection& source, PostgresConnection& target,
                              const Manifest& manifest, const std::string& only) {
  LOCKSTEP_TRY(source.open());
  LOCKSTEP_TRY(target.open());
  LOCKSTEP_ASSIGN(const std::vector<ListedTable> listed, list_for_selection(source, manifest));
  Selection selection = select_tables(manifest, listed);
  if (!only.empty())
    std::erase_if(selection.tables,
                  [&](const SelectedTable& table) { return table.source.text() != only; });
  std::vector<TableName> source_names;
  std::vector<TableName> target_names;
  for (const SelectedTable& table : selection.tables) {
    source_names.push_back(table.source);
    target_names.push_back(table.target);
  }
  LOCKSTEP_ASSIGN(std::vector<TableSpec> source_specs, read_tables(source, source_names));
  LOCKSTEP_ASSIGN(std::vector<TableSpec> target_specs, read_tables(target, target_names));
  const auto sources = by_name(std::move(source_specs));
  const auto targets = by_name(std::move(target_specs));
  TablePlan plan;
  plan.problems = std::move(selection.problems);
  TableId next = 0;
  for (const SelectedTable& selected : selection.tables) {
    plan.tables.push_back(plan_one(manifest, selected, sources, targets));
    if (plan.tables.back().map) plan.tables.back().map->id = next++;
  }
  return plan;
}

Result<TablePlan> plan_source(PostgresConnection& source, const Manifest& manifest) {
  LOCKSTEP_TRY(source.open());
  LOCKSTEP_ASSIGN(const std::vector<ListedTable> listed, list_for_selection(source, manifest));
  Selection selection = select_tables(manifest, listed);
  std::vector<TableName> names;
  for (const SelectedTable& table : selection.tables) names.push_back(table.source);
  LOCKSTEP_ASSIGN(std::vector<TableSpec> specs, read_tables(source, names));
  auto sources = by_name(std::move(specs));
  TablePlan plan;
  plan.problems = std::move(selection.problems);
  for (const SelectedTable& selected : selection.tables) {
    const auto spec = sources.find(selected.source);
    if (spec != sources.end())
      plan.tables.push_back({selected, std::move(spec->second), std::nullopt, {}});
  }
  return plan;
}

Result<std::vector<TableSpec>> read_source_tables(PostgresConnection& source,
                                                  const Manifest& manifest) {
  LOCKSTEP_TRY(source.open());
  LOCKSTEP_ASSIGN(const std::vector<ListedTable> listed, list_for_selection(source, manifest));
  std::vector<TableName> names;
  for (const SelectedTable& table : select_tables(manifest, listed).tables)
    names.push_back(table.source);
  return read_tables(source, names);
}

}  // namespace lockstep
