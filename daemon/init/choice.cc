#include "daemon/init/choice.h"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>
#include <map>
#include <string_view>
#include <utility>

#include "connectors/postgres/wire/catalog.h"
#include "daemon/validate/validate.h"
#include "pipeline/tables/table_checks.h"

namespace lockstep {
namespace {

// A manifest of these tables that both servers are asked with before lockstep's roles are there.
Result<Manifest> draft_manifest(const InitServer& source, const InitServer& target,
                                const std::string& migration, const std::string& path,
                                const std::vector<TableName>& names) {
  InitManifest draft{migration, {source.settings(), ""}, {target.settings(), ""}, {}};
  for (const TableName& name : names) draft.tables.push_back({name, ""});
  Parsed parsed = parse_manifest(path, manifest_text(draft));
  if (!parsed.manifest) {
    const auto wrong = std::ranges::find(parsed.problems, Severity::Error, &Problem::severity);
    return fail(Reaction::Halt, fmt::format("the manifest would not be right: {}", wrong->print()),
                ExitCode::Config);
  }
  Manifest manifest = std::move(*parsed.manifest);
  const auto as_given = [](Connect& connect, const Connect& given) {
    connect.keywords = given.keywords;
    connect.sound = true;
  };
  as_given(manifest.source.connect, source.connect);
  as_given(manifest.target.connect, target.connect);
  return manifest;
}

// A hint without its advice to leave the table out, which is followed.
std::string other_way(std::string hint) {
  for (const std::string_view advice :
       {"leave it out (`skip: true`)", "leave the table out (`skip: true`)"}) {
    const std::size_t at = hint.find(advice);
    if (at == std::string::npos) continue;
    hint.erase(at, advice.size());
    const std::size_t first = hint.find_first_not_of(";, ");
    hint.erase(0, std::min(first, hint.size()));
    if (hint.starts_with("or")) hint.erase(0, hint.find_first_not_of(", ", 2));
    if (hint.ends_with("; or ")) hint.resize(hint.size() - 5);
  }
  return hint;
}

std::string reason_of(const Problem& problem) {
  const std::string way = other_way(problem.hint);
  return way.empty() ? problem.text : problem.text + ": " + way;
}

using ErrorsOfTables = std::map<TableName, std::vector<Problem>>;

// By the line of the rule that a table has; others are in the way of everything.
ErrorsOfTables errors_of(std::vector<Problem> found, const Manifest& manifest,
                         std::vector<Problem>& of_all) {
  ErrorsOfTables errors;
  std::map<int, TableName> lines;
  for (const ManifestRule& rule : manifest.rules)
    lines[rule.where.line] = rule.source.value.exact();
  for (Problem& problem : found) {
    if (problem.severity != Severity::Error) continue;
    const auto line = lines.find(problem.where.line);
    (line == lines.end() ? of_all : errors[line->second]).push_back(std::move(problem));
  }
  return errors;
}

// Takes what moves from the plan.  A table whose only error a statement of its owner cures moves.
void choose_moved(TablePlan& plan, ErrorsOfTables& errors, InitChoice& choice) {
  for (PlannedTable& table : plan.tables) {
    if (table.source.name.table.empty()) continue;
    if (const auto found = errors.find(table.source.name); found != errors.end()) {
      const std::string cure = statement_for_identity(table.source);
      if (cure.empty() || found->second.size() != 1) continue;
      choice.identities.push_back(cure);
      errors.erase(found);
      RowIdentity& identity = table.source.identities.front();
      identity.kind = ReplicaIdentity::Index;
      identity.columns = table.source.key;
      identity.usable = true;
    }
    if (table.map && choice.restored) add_unfed_columns(*table.map, choice.unfed);
    choice.moved.push_back(std::move(table.source));
  }
}

std::vector<TableName> lacking_of(const std::vector<TableName>& names,
                                  const std::vector<TableOwner>& there) {
  std::vector<TableName> lacking;
  std::ranges::copy_if(names, std::back_inserter(lacking), [&](const TableName& name) {
    return std::ranges::find(there, name, &TableOwner::name) == there.end();
  });
  return lacking;
}

// What is wrong with tables that the target lacks but for that: as if it were what the source is.
void judge_lacking(Manifest manifest, const std::string& path, const InitChoice& choice,
                   ErrorsOfTables& errors) {
  if (choice.lacking.empty()) return;
  manifest.target.connect = manifest.source.connect;
  Findings of_tables(path, {});
  check_kinds_of_tables(manifest, of_tables);
  std::vector<Problem> of_all;  // Known already.
  ErrorsOfTables alone = errors_of(std::move(of_tables).take(), manifest, of_all);
  for (const TableName& name : choice.lacking) {
    errors.erase(name);
    if (auto found = alone.extract(name); !found.empty()) errors.insert(std::move(found));
  }
}

}  // namespace

std::vector<TableName> InitChoice::moved_names() const {
  std::vector<TableName> names;
  for (const TableSpec& table : moved) names.push_back(table.name);
  return names;
}

Result<InitChoice> choose_tables(InitServer& source, InitServer& target,
                                 const std::string& migration, const std::string& path) {
  LOCKSTEP_ASSIGN(const std::vector<TableName> names, list_tables(source.connection));
  if (names.empty())
    return fail(
        Reaction::Halt,
        fmt::format("the source, {}, has no tables: is it the right database?", source.text()),
        ExitCode::Config);
  LOCKSTEP_ASSIGN(const auto there, read_owners(target.connection, names));
  LOCKSTEP_ASSIGN(Manifest manifest, draft_manifest(source, target, migration, path, names));
  InitChoice choice;
  choice.restored = !there.empty();
  if (choice.restored) choice.lacking = lacking_of(names, there);

  Findings of_servers(path, {});
  check_prepared_servers(manifest, of_servers);
  std::ranges::copy_if(std::move(of_servers).take(), std::back_inserter(choice.problems),
                       [](const Problem& problem) { return problem.severity == Severity::Error; });

  // Before its schema is restored the target will be what the source is.
  const Connect real = manifest.target.connect;
  if (!choice.restored) manifest.target.connect = manifest.source.connect;
  Findings of_tables(path, {});
  TablePlan plan = check_kinds_of_tables(manifest, of_tables);
  std::vector<Problem> found = std::move(of_tables).take();
  if (plan.tables.empty())
    return fail(Reaction::Retry,
                found.empty() ? "the tables could not be looked at" : found.front().text,
                ExitCode::Unreachable);
  ErrorsOfTables errors = errors_of(std::move(found), manifest, choice.problems);
  manifest.target.connect = real;
  choose_moved(plan, errors, choice);
  judge_lacking(manifest, path, choice, errors);
  for (const TableName& name : names) {
    const auto of_table = errors.find(name);
    choice.tables.push_back(
        {name, of_table == errors.end() ? "" : reason_of(of_table->second.front())});
  }
  choice.manifest = std::move(manifest);
  return choice;
}

}  // namespace lockstep
