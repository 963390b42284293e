// PostgresLedger: what the supervisor asks of the bookkeeping and of the target's catalog.
#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "connectors/postgres/target/bookkeeping.h"
#include "pipeline/tables/definition.h"
#include "pipeline/tables/table_checks.h"

namespace lockstep {
namespace {

// A new constraint between rows of different keys, which lanes beside each other would meet in
// another order than the source's.
std::optional<TargetChange> needs_one_lane(const TableMap& table, const TableSpec& now) {
  if (table.ordered || !now.secondary_unique) return std::nullopt;
  std::string names;
  for (const UniqueRule& rule : new_uniques(table, now))
    names += fmt::format("{}{} {}", names.empty() ? "" : ", ",
                         rule.exclusion ? "exclusion constraint" : "unique index", rule.name);
  return TargetChange{
      table.id, TargetEffect::Replan,
      fmt::format("{} came to {} on the target: its rows take one lane from now on, in the "
                  "source's order; nothing is copied again",
                  names, table.target.name.text())};
}

std::set<std::int16_t> attnums_of(const TableSpec& spec, const std::vector<std::size_t>& columns) {
  std::set<std::int16_t> attnums;
  for (const std::size_t column : columns) attnums.insert(spec.columns[column].attnum);
  return attnums;
}

// Its key is the one that was planned, while it is there, whatever the target would choose.
TableSpec with_key_of(const TableSpec& planned, TableSpec now) {
  const std::set<std::int16_t> wanted = attnums_of(planned, planned.key);
  const auto found = std::ranges::find_if(now.keys, [&](const KeyIndex& key) {
    return !key.deferrable && attnums_of(now, key.columns) == wanted;
  });
  if (found == now.keys.end()) return now;
  now.key = found->columns;
  now.key_index = found->name;
  return now;
}

}  // namespace

void PostgresLedger::compare(const TableMap& table, const TableSpec& now,
                             std::vector<TargetChange>& changes) {
  const auto change = definition_change(table, Side::Target, definition_of(table.target),
                                        definition_of(with_key_of(table.target, now)));
  if (change && change->consequence == Consequence::Stop) {
    changes.push_back({table.id, TargetEffect::Stop, change->what + ": " + change->next});
    return;
  }
  std::set<std::string> said;
  for (const MapProblem& problem : target_problems(table, now)) {
    said.insert(problem.text);
    if (said_[table.id].contains(problem.text)) continue;
    const bool is_error = problem.severity == Severity::Error;
    changes.push_back({table.id, is_error ? TargetEffect::Stop : TargetEffect::Harmless,
                       problem.text + ": " + problem.hint});
  }
  said_[table.id] = std::move(said);
  if (auto one_lane = needs_one_lane(table, now)) changes.push_back(std::move(*one_lane));
  std::set<TableName> partitions;
  for (const RowIdentity& identity : now.identities) partitions.insert(identity.table);
  const std::set<TableName>& known = partitions_[table.id];
  const bool is_root = now.kind == RelationKind::PartitionedRoot;
  if (is_root && !std::ranges::includes(known, partitions)) retry_.insert(table.id);
  partitions_[table.id] = std::move(partitions);
}

Result<std::vector<TargetChange>> PostgresLedger::target_changes() {
  while (!retry_.empty()) {
    LOCKSTEP_TRY(bookkeeping_.retry_refused(tables_[*retry_.begin()]->source.name));
    retry_.erase(retry_.begin());
  }
  LOCKSTEP_ASSIGN(const std::vector<TableSpec> altered, bookkeeping_.altered_targets(tables_));
  std::vector<TargetChange> changes;
  for (const TableSpec& spec : altered)
    for (const TableMap* table : tables_)
      if (table->target.oid == spec.oid) compare(*table, spec, changes);
  return changes;
}

Result<std::vector<DebtCount>> PostgresLedger::count_debts() {
  LOCKSTEP_ASSIGN(const std::vector<StoredDebts> stored, bookkeeping_.count_debts());
  std::vector<DebtCount> counts;
  for (const StoredDebts& debts : stored) {
    const auto found = std::ranges::find_if(
        tables_, [&](const TableMap* map) { return map->source.name == debts.source; });
    if (found == tables_.end() || debts.open + debts.quarantined == 0) continue;
    counts.push_back({(*found)->id, debts.open, debts.quarantined, debts.oldest_commit_us});
  }
  return counts;
}

}  // namespace lockstep
