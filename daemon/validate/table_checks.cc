// What the tables of both sides are like, beyond what their plan decides.
#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <map>
#include <set>
#include <string>
#include <utility>

#include "connectors/postgres/wire/broken_functions.h"
#include "daemon/fingerprint.h"
#include "daemon/validate/summary.h"
#include "daemon/validate/validate.h"
#include "pipeline/tables/definition.h"
#include "pipeline/tables/translate.h"
#include "pipeline/watch/shape_watch.h"

namespace lockstep {
namespace {

constexpr double kGibibyte = 1024.0 * 1024 * 1024;
// Without a view of the target's disk, a copy below this size goes without saying.
constexpr double kLargeBytes = 10 * kGibibyte;
// Of the source's size: rows, indexes in another order, and the log that writing them makes.
constexpr double kHeadroom = 1.3;

// Tables of the source whose changes are in no log.  Returns them.  Those of the target are a
// problem of its plan.
std::set<TableName> check_unlogged(CheckedServer& source, const std::map<TableName, Where>& places,
                                   Findings& findings) {
  std::set<TableName> unlogged;
  std::vector<TableName> names;
  names.reserve(places.size());
  for (const auto& [name, where] : places) names.push_back(name);
  const auto owners = read_owners(source.connection, names);
  if (!owners) {
    findings.failed(source.where, owners.error());
    return unlogged;
  }
  for (const TableOwner& table : *owners) {
    if (!table.silent.empty())
      findings.error(
          places.at(table.name),
          fmt::format("partitions of table {} of the source are UNLOGGED or foreign, "
                      "their changes are in no stream: {}",
                      table.name.text(), table.silent),
          "leave the table out (`skip: true`); or DETACH PARTITION; or ALTER TABLE ... SET "
          "LOGGED, which rewrites the partition while nobody else may use it");
    if (!table.unlogged) continue;
    unlogged.insert(table.name);
    findings.error(
        places.at(table.name),
        fmt::format("table {} of the source is UNLOGGED: its changes are in no stream",
                    table.name.text()),
        fmt::format(
            "leave it out (`skip: true`); or, as {}: ALTER TABLE {} SET LOGGED, which rewrites "
            "it while nobody else may use it",
            table.owner, quoted(table.name)));
  }
  return unlogged;
}

void check_rules(CheckedServer& target, const std::map<TableName, Where>& places,
                 Findings& findings) {
  std::vector<TableName> names;
  names.reserve(places.size());
  for (const auto& [name, where] : places) names.push_back(name);
  const auto owners = read_owners(target.connection, names);
  if (!owners) return findings.failed(target.where, owners.error());
  for (const TableOwner& table : *owners)
    if (!table.drop_rules.empty())
      findings.error(places.at(table.name),
                     fmt::format("{} of the target has rules for INSERT or UPDATE, beside which "
                                 "PostgreSQL takes no INSERT .. ON CONFLICT",
                                 table.name.text()),
                     fmt::format("{}, until the migration has ended; as {}; or leave it out "
                                 "(`skip: true`)",
                                 table.drop_rules, table.owner));
}

void check_mapping(const TableMap& map, Where where, const Validation& validation) {
  if (!validation.claim) return;
  for (const StoredMapping& stored : validation.claim->mappings) {
    if (stored.source != map.source.name || stored.fingerprint == kForgotten) continue;
    if (stored.state == "stopped")
      validation.findings.warn(where,
                               fmt::format("table {} has stopped: {}", map.text(), stored.reason),
                               "put that right, then start lockstep again: it goes on");
    const Definition known = parse_files(stored.files).value_or(KnownFiles{}).definition;
    const auto change = definition_change(map, Side::Source, known, definition_of(map.source));
    if (!known.empty() && change && change->consequence != Consequence::Harmless)
      validation.findings.warn(
          where, fmt::format("{}: {} since its rows were copied", map.text(), change->what),
          "it is copied again at the next start");
    if (!same_rule(stored.fingerprint, fingerprint(map)))
      validation.findings.error(where,
                                fmt::format("the manifest maps {} in another way than when the "
                                            "migration began",
                                            map.text()),
                                "put the rule back, or begin the migration anew");
  }
}

// P5.  A table that the running migration fills is not empty, of course.
void check_empty(const TableMap& map, Where where, Validation& validation) {
  const ExistingPolicy policy = validation.manifest.existing.value;
  if (policy == ExistingPolicy::Upsert || (policy == ExistingPolicy::Heal && map.heals())) return;
  if (validation.has_begun(map.source.name)) return;
  const auto filled = has_rows(validation.target.connection, map.target);
  if (!filled) {
    // Without SELECT, or with an index that fails, nobody knows; that is reported as such.
    if (!filled.error().code.starts_with("42"))
      validation.findings.failed(validation.target.where, filled.error());
    return;
  }
  if (!*filled) return;
  validation.findings.error(
      where, fmt::format("{} has rows on the target already", map.target.name.text()),
      policy == ExistingPolicy::Heal
          ? "empty it, or leave out its `partitions`: `existing: heal` goes with `partitions: heal`"
          : "empty it, say `existing: heal` to have it compared and made equal, or `existing: "
            "upsert` to keep what the source lacks and overwrite the rest");
}

void check_functions(CheckedServer& server, const std::map<TableName, Where>& places,
                     Findings& findings) {
  std::vector<TableName> names;
  for (const auto& [name, where] : places) names.push_back(name);
  const auto broken = find_broken_functions(server.connection, names, FunctionFails::Suspected);
  if (!broken) return findings.failed(server.where, broken.error());
  for (const BrokenFunction& each : *broken) {
    const std::string text = fmt::format("{}: {}", each.table.text(), each.text);
    const std::string hint =
        fmt::format("{}; as its owner on the {}", each.cure, server.connection.options().side);
    if (each.certain)
      findings.error(places.at(each.table), text, hint);
    else
      findings.warn(places.at(each.table), text, hint);
  }
}

// What the target says of a constant as a value of its column: first as one of the column's type,
// then as what an INSERT assigns, which the server plans and does not run.
Status try_constant(PostgresConnection& target, const TableMap& map, const Constant& constant) {
  const std::string value = constant_sql(map, constant);
  const std::string column = quote_identifier(map.target.columns[constant.target].name);
  LOCKSTEP_TRY(target.ask("SELECT " + value));
  LOCKSTEP_TRY(
      target.ask(fmt::format("EXPLAIN INSERT INTO {} ({}) OVERRIDING SYSTEM VALUE VALUES ({})",
                             quoted(map.target.name), column, value)));
  return {};
}

// Each row would bring it: a table with a constant that its column refuses gets no row at all.
void check_constants(const TableMap& map, const ManifestRule& rule, Validation& validation) {
  for (const Constant& constant : map.constants) {
    const std::string& name = map.target.columns[constant.target].name;
    const Status tried = try_constant(validation.target.connection, map, constant);
    if (tried) continue;
    if (tried.error().code == Findings::kNoPrivilege) continue;  // Reported with the grants.
    const Where where = rule.place_of({Severity::Error, RulePart::Set, name, "", ""});
    if (tried.error().reaction == Reaction::Retry)
      return validation.findings.failed(where, tried.error());
    validation.findings.error(where,
                              fmt::format("{}.{} does not take its constant: {}",
                                          map.target.name.text(), name, tried.error().message),
                              "every row would be refused: give it another one under columns.set");
  }
}

}  // namespace

void check_table_kinds(Validation& validation) {
  std::map<TableName, Where> sources;
  std::map<TableName, Where> targets;
  for (const PlannedTable& table : validation.plan.tables) {
    const Where where = table.selected.rule->source.where;
    if (!table.source.name.table.empty()) sources[table.source.name] = where;
    if (table.map) targets[table.map->target.name] = where;
  }
  // In front of what follows from it: a restored schema is UNLOGGED where the source's is.
  validation.unlogged = check_unlogged(validation.source, sources, validation.findings);
  for (PlannedTable& table : validation.plan.tables)
    validation.findings.add(std::move(table.problems));
  check_functions(validation.source, sources, validation.findings);
  if (validation.target.answered) check_functions(validation.target, targets, validation.findings);
  if (!validation.target.answered) return;
  check_rules(validation.target, targets, validation.findings);
}

void check_tables(Validation& validation) {
  check_table_kinds(validation);
  for (const PlannedTable& table : validation.plan.tables) {
    if (!table.map) continue;
    const Where where = table.selected.rule->source.where;
    check_mapping(*table.map, where, validation);
    check_empty(*table.map, where, validation);
    if (validation.target.answered) check_constants(*table.map, *table.selected.rule, validation);
  }
}

// PostgreSQL tells nobody how much disk it has left.  On this machine the file system does.
void check_disk(Validation& validation) {
  double bytes = 0;
  for (const PlannedTable& table : validation.plan.tables)
    if (!validation.has_begun(table.source.name)) bytes += table.source.estimated_bytes;
  const double needed = bytes * kHeadroom;
  const auto database = read_database(validation.target.connection);
  if (!database) return;  // Asked before, and reported then.
  std::error_code unknown = std::make_error_code(std::errc::not_supported);
  std::filesystem::space_info space{};
  const std::string directory = database->data_directory.value_or("");
  if (!directory.empty() && validation.manifest.target.connect.is_local())
    space = std::filesystem::space(directory, unknown);
  if (unknown) {
    if (needed < kLargeBytes) return;
    validation.findings.warn(
        validation.target.where,
        fmt::format("the tables have about {} on the source; PostgreSQL does not tell how much "
                    "disk the target has left",
                    size_text(bytes)),
        fmt::format("make sure that the target has {} free, log included", size_text(needed)));
    return;
  }
  if (static_cast<double>(space.available) >= needed) return;
  validation.findings.error(
      validation.target.where,
      fmt::format("the tables have about {} on the source, and the target's disk has {} left",
                  size_text(bytes), size_text(static_cast<double>(space.available))),
      fmt::format("it takes about {}, log included", size_text(needed)));
}

}  // namespace lockstep
