#include "daemon/metrics/page.h"

#include <algorithm>
#include <array>
#include <map>
#include <optional>
#include <tuple>
#include <utility>

#include "daemon/metrics/families.h"
#include "daemon/metrics/process.h"
#include "daemon/status_json.h"
#include "daemon/try_breaker.h"

namespace lockstep {
namespace {

constexpr double kMebibyte = 1 << 20;
constexpr std::string_view kOther = "other";

double flag(bool set) { return set ? 1 : 0; }

std::optional<double> seconds_of(std::int64_t us) {
  if (us == 0) return std::nullopt;
  return static_cast<double>(us) / 1e6;
}

// An operator's limit; 0 is none.
std::optional<double> limit_of(const Control& control, Limit limit) {
  const std::uint64_t value = control.get(limit);
  if (value == 0) return std::nullopt;
  return static_cast<double>(value);
}

void add_state(MetricFamilies& families, const MetricsSnapshot& snapshot) {
  const RunStatus& status = snapshot.status;
  families.add("migration_build_info", 1, {{"version", snapshot.version}});
  for (const Phase phase : kPhases)
    families.add("migration_phase", flag(status.phase == phase),
                 {{"phase", std::string(phase_text(phase))}});
  families.add("migration_ready", flag(snapshot.ready));
  families.add("migration_synced", flag(status.synced));
  const Pauses pauses = snapshot.control.pauses();
  for (const Scope scope : kScopes) {
    const auto found = pauses.find(part_text(scope));
    const bool paused = found != pauses.end();
    const MetricFamilies::Labels labels{{"scope", std::string(part_text(scope))}};
    families.add("migration_paused", flag(paused), labels);
    families.add("migration_circuit_breaker_open",
                 flag(paused && found->second.actor.starts_with(kBreaker)), labels);
  }
  families.add("migration_paused_tables",
               static_cast<double>(snapshot.control.paused_tables().size()));
  families.add("migration_kill_switch", flag(snapshot.control.aborted()));
  for (const auto& [scope, rows, bytes] :
       {std::tuple("backfill", Limit::BackfillRows, Limit::BackfillBytes),
        std::tuple("reconcile", Limit::ReconcileRows, Limit::ReconcileBytes)}) {
    families.add("migration_rate_limit_rows_per_second", limit_of(snapshot.control, rows),
                 {{"scope", scope}});
    families.add("migration_rate_limit_bytes_per_second", limit_of(snapshot.control, bytes),
                 {{"scope", scope}});
  }
  if (const auto& kept = status.kept_wal) {
    families.add("migration_source_retained_wal_bytes", kept->mb * kMebibyte);
    if (kept->limit_mb)
      families.add("migration_source_retained_wal_limit_bytes", *kept->limit_mb * kMebibyte);
    families.add("migration_source_retained_wal_full_seconds", kept->full_in_seconds);
  }
  if (snapshot.reconcile_every)
    families.add("migration_reconcile_every_seconds",
                 std::chrono::duration<double>(*snapshot.reconcile_every).count());
  for (const AggregateResult& one : snapshot.aggregates) {
    const bool equal = one.state == AggregateState::Equal;
    if (equal || one.state == AggregateState::Different)
      families.add("migration_aggregate_mismatches", flag(!equal), {{"check", one.name}});
  }
}

void add_lag(MetricFamilies& families, const MetricsSnapshot& snapshot) {
  const RunStatus& status = snapshot.status;
  families.add("migration_replication_lag_seconds", status.lag_seconds);
  families.add("migration_replication_lag_known", flag(status.lag_seconds.has_value()));
  if (snapshot.running) families.add("migration_stream_held", flag(status.stream_held));
  if (status.lag_seconds && *status.lag_seconds > 0)
    families.add("migration_oldest_unapplied_timestamp_seconds",
                 static_cast<double>(snapshot.now_us) / 1e6 - *status.lag_seconds);
  if (status.proof)
    families.add("migration_proof_timestamp_seconds", seconds_of(status.proof->at_us));
}

void add_counts(MetricFamilies& families, const Meters& meters) {
  families.add("migration_last_applied_timestamp_seconds",
               seconds_of(meters.last_applied_us.load(std::memory_order_relaxed)));
  for (const Worker worker : kWorkers)
    families.add("migration_heartbeat_timestamp_seconds", seconds_of(meters.heartbeat(worker)),
                 {{"stage", std::string(worker_text(worker))}});
  families.add("migration_source_events_total", meters.changes_read);
  families.add("migration_event_bytes_total", meters.bytes_read);
  families.add("migration_events_skipped_total", meters.skipped_applied,
               {{"reason", "applied_before"}});
  families.add("migration_events_skipped_total", meters.skipped_stopped,
               {{"reason", "table_stopped"}});
  families.add("migration_rows_applied_total", meters.rows_written);
  families.add("migration_batches_total", meters.batches);
  families.add("migration_batch_rows", meters.batch_rows);
  for (std::size_t i = 1; i < kDebtReasons; ++i)
    families.add("migration_debts_total", meters.debts[i],
                 {{"reason", std::string(debt_reason_text(static_cast<DebtReason>(i)))}});
  families.add("migration_quarantined_total", meters.quarantined);
  for (const auto& [names, count] : meters.retries.values())
    families.add("migration_retries_total", static_cast<double>(count),
                 {{"stage", names.first}, {"reason", names.second}});
  for (const auto& [names, count] : meters.told.values())
    families.add("migration_log_messages_total", static_cast<double>(count),
                 {{"level", names.first}, {"message", names.second}});
  families.add("migration_event_apply_latency_seconds", meters.apply_latency);
  families.add("migration_target_transaction_seconds", meters.target_transaction);
  families.add("migration_checkpoint_commit_seconds", meters.checkpoint_commit);
  families.add("migration_source_query_seconds", meters.source_read);
  families.add("migration_backfill_bytes_total", meters.bytes_copied);
  families.add("migration_backfill_chunks_total", meters.chunks_done, {{"result", "done"}});
  families.add("migration_backfill_chunks_total", meters.chunks_retaken, {{"result", "retaken"}});
  families.add("migration_backfill_chunk_seconds", meters.chunk);
}

// Of one table, or of all those that share a label.
struct TableSums {
  std::string state;  // "" of several.
  std::optional<double> rows = 0;
  std::optional<double> expected = 0;
  std::array<std::uint64_t, kChangeKinds> applied{};
  std::optional<double> findings;  // Of those that are compared.
  double verified_rows = 0;
  std::optional<std::int64_t> compared_us;  // Of the one that waits longest; 0: never.
  std::int64_t uncompared_us = 0;  // Since when one waits for its first comparison; 0: none.
};

// Of what is not known there is no sum.
std::optional<double> plus(const std::optional<double>& one, const std::optional<double>& more) {
  return one && more ? std::optional(*one + *more) : std::nullopt;
}

void sum_up(const RunTableStatus& table, TableSums& sums) {
  sums.rows = plus(sums.rows, rows_done(table));
  sums.expected = plus(sums.expected, rows_expected(table));
  if (!table.sweep) return;
  const TableSweep& sweep = *table.sweep;
  sums.findings = sums.findings.value_or(0) + static_cast<double>(sweep.open_findings);
  sums.verified_rows += static_cast<double>(sweep.verified_rows);
  const std::int64_t at_us = sweep.verified_through ? sweep.oldest_us : 0;
  sums.compared_us = std::min(sums.compared_us.value_or(at_us), at_us);
}

using Tables = std::map<std::string, TableSums, std::less<>>;  // By label.

// Which tables have a label of their own goes by their names, so that none loses it to another when
// one stops, or is left out of a run.
Tables sums_of(const MetricsSnapshot& snapshot) {
  Tables tables;
  std::vector<const RunTableStatus*> by_name;
  for (const RunTableStatus& table : snapshot.status.tables) by_name.push_back(&table);
  std::ranges::sort(by_name, {}, &RunTableStatus::table);
  for (const RunTableStatus* each : by_name) {
    const RunTableStatus& table = *each;
    const bool named = tables.size() < kMetricTablesMax;
    TableSums& sums = tables[named ? table.table : std::string(kOther)];
    sum_up(table, sums);
    if (const auto waits = snapshot.uncompared.find(table.table);
        waits != snapshot.uncompared.end() &&
        (sums.uncompared_us == 0 || waits->second < sums.uncompared_us))
      sums.uncompared_us = waits->second;
    sums.state = named ? std::string(table_state(table)) : "";
  }
  for (const auto& [name, meters] : snapshot.meters.tables()) {
    const bool named = tables.contains(name);
    if (!named && !snapshot.running) continue;  // Their label is not known yet.
    TableSums& sums = tables[named ? name : std::string(kOther)];
    for (std::size_t kind = 0; kind < kChangeKinds; ++kind)
      sums.applied[kind] += meters->applied[kind].value();
  }
  return tables;
}

void add_table(MetricFamilies& families, const std::string& name, const TableSums& sums,
               bool running) {
  constexpr std::array<const char*, kChangeKinds> kOps{"upsert", "update", "delete", "truncate"};
  const MetricFamilies::Labels table{{"table", name}};
  for (std::size_t kind = 0; kind < kChangeKinds; ++kind)
    if (sums.applied[kind] > 0)
      families.add("migration_events_total", static_cast<double>(sums.applied[kind]),
                   {{"table", name}, {"op", kOps[kind]}});
  if (!running) return;
  families.add("migration_backfill_rows_total", sums.rows, table);
  families.add("migration_backfill_rows_expected", sums.expected, table);
  if (!sums.state.empty())
    families.add("migration_backfill_state", 1, {{"table", name}, {"state", sums.state}});
  families.add("migration_divergent_rows", sums.findings, table);
  if (sums.findings.value_or(0) > 0 && sums.verified_rows > 0)
    families.add("migration_divergence_ratio", *sums.findings / sums.verified_rows, table);
  families.add("migration_reconcile_last_success_timestamp_seconds",
               seconds_of(sums.compared_us.value_or(0)), table);
  families.add("migration_reconcile_uncompared_since_timestamp_seconds",
               seconds_of(sums.uncompared_us), table);
}

void add_tables(MetricFamilies& families, const MetricsSnapshot& snapshot) {
  const Tables tables = sums_of(snapshot);
  std::optional<double> rows = 0;
  std::optional<double> expected = 0;
  for (const auto& [name, sums] : tables) {
    add_table(families, name, sums, snapshot.running);
    rows = plus(rows, sums.rows);
    expected = plus(expected, sums.expected);
  }
  if (!snapshot.running) return;
  if (rows && expected && *expected > 0)
    families.add("migration_backfill_progress_ratio", std::min(1.0, *rows / *expected));
  std::map<std::string_view, double> states;
  for (const std::string_view state : kTableStates) states[state] = 0;
  const std::vector<RunTableStatus>& all = snapshot.status.tables;
  for (const RunTableStatus& table : all) ++states[table_state(table)];
  families.add("migration_debts_open", sum_known(all, &RunTableStatus::debts));
  families.add("migration_quarantined_rows", sum_known(all, &RunTableStatus::quarantined));
  for (const auto& [state, count] : states)
    families.add("migration_tables", count, {{"state", std::string(state)}});
}

// Counts of all tables that are compared; none where nothing is.
void add_reconcile(MetricFamilies& families, const RunStatus& status) {
  TableSweep all;
  bool compared = false;
  for (const RunTableStatus& table : status.tables) {
    if (!table.sweep) continue;
    compared = true;
    for (const auto count :
         {&TableSweep::rows, &TableSweep::digested, &TableSweep::findings, &TableSweep::repaired,
          &TableSweep::healed, &TableSweep::source_bytes, &TableSweep::target_bytes,
          &TableSweep::sample_matches, &TableSweep::sample_divergences})
      all.*count += (*table.sweep).*count;
  }
  if (!compared) return;
  const auto add = [&](std::string_view name, std::uint64_t value,
                       MetricFamilies::Labels labels = {}) {
    families.add(name, static_cast<double>(value), std::move(labels));
  };
  add("migration_reconcile_rows_total", all.rows);
  add("migration_reconcile_digested_rows_total", all.digested);
  add("migration_reconcile_bytes_total", all.source_bytes, {{"side", "source"}});
  add("migration_reconcile_bytes_total", all.target_bytes, {{"side", "target"}});
  add("migration_reconcile_findings_total", all.findings);
  add("migration_repaired_rows_total", all.repaired);
  add("migration_healed_rows_total", all.healed);
  add("migration_shadow_read_match_total", all.sample_matches);
  add("migration_shadow_read_divergence_total", all.sample_divergences);
}

void add_pressure(MetricFamilies& families, const RunStatus& status) {
  families.add("migration_queue_bytes", static_cast<double>(status.queue_bytes),
               {{"stage", "lane"}});
  families.add("migration_queue_capacity_bytes", static_cast<double>(status.queue_bytes_max),
               {{"stage", "lane"}});
  families.add("migration_stuck_seconds", status.stuck_seconds, {{"stage", "lane"}});
  families.add("migration_throttle_ratio", status.throttled.share);
  for (const auto& [what, seconds] : status.throttled.seconds)
    families.add("migration_throttled_seconds_total", seconds, {{"reason", what}});
}

}  // namespace

std::string metrics_text(const MetricsSnapshot& snapshot) {
  MetricFamilies families(snapshot.migration);
  add_state(families, snapshot);
  add_lag(families, snapshot);
  add_counts(families, snapshot.meters);
  add_tables(families, snapshot);
  if (snapshot.running) {
    add_reconcile(families, snapshot.status);
    add_pressure(families, snapshot.status);
  }
  add_process(families);
  return families.text();
}

}  // namespace lockstep
