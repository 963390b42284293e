#include "daemon/metrics/catalog.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "pipeline/base/result.h"

namespace lockstep {
namespace {

constexpr MetricKind kCounter = MetricKind::Counter;
constexpr MetricKind kGauge = MetricKind::Gauge;
constexpr MetricKind kHistogram = MetricKind::Histogram;

constexpr auto kCatalog = std::to_array<MetricInfo>({
    {"migration_build_info", kGauge, "version", "1; which version of lockstep runs."},
    {"migration_phase", kGauge, "phase",
     "1 for the phase it is in, 0 for the others: prepare, backfill, follow, drain, aborted, "
     "stopped."},
    {"migration_ready", kGauge, "", "1 while /readyz answers 200: it does its work."},
    {"migration_synced", kGauge, "",
     "1 while it is proven that what was committed some seconds ago is on the target."},
    {"migration_proof_timestamp_seconds", kGauge, "",
     "What was committed at the source before this moment is proven to be on the target; absent "
     "while nothing is proven."},
    {"migration_paused", kGauge, "scope",
     "1 while an operator or a breaker holds backfill, apply or reconcile."},
    {"migration_circuit_breaker_open", kGauge, "scope",
     "1 while a breaker holds it; its reason is in lockstep status."},
    {"migration_paused_tables", kGauge, "", "Tables that an operator holds."},
    {"migration_kill_switch", kGauge, "", "1 after lockstep abort, until lockstep resume."},
    {"migration_tables", kGauge, "state",
     "Tables by state: pending, backfill, following, healing, paused, stopped; absent until a run "
     "was looked at, as all that is said of its tables."},

    {"migration_replication_lag_seconds", kGauge, "",
     "Age of the oldest change that is committed at the source and not on the target; absent "
     "while it is not known."},
    {"migration_replication_lag_known", kGauge, "", "Whether the lag is known."},
    {"migration_stream_held", kGauge, "",
     "1 while the stream is held on purpose until tables are copied, so that no lag is known."},
    {"migration_oldest_unapplied_timestamp_seconds", kGauge, "",
     "Commit time of the oldest change that is not on the target; absent while there is none, or "
     "it is not known."},
    {"migration_last_applied_timestamp_seconds", kGauge, "",
     "When a change was last applied; absent until one was."},
    {"migration_heartbeat_timestamp_seconds", kGauge, "stage",
     "When a step of source, lane, scan, debts, probe, sweep or supervisor last came to its end, "
     "well or not; absent until one has."},
    {"migration_source_retained_wal_bytes", kGauge, "",
     "What the source keeps of its log for this migration; absent while it is not known."},
    {"migration_source_retained_wal_limit_bytes", kGauge, "",
     "How much that may be; absent without a limit."},
    {"migration_source_retained_wal_full_seconds", kGauge, "",
     "Until the limit is reached at the present rate; absent while it is not getting there."},

    {"migration_source_events_total", kCounter, "", "Changes read from the stream."},
    {"migration_event_bytes_total", kCounter, "", "Bytes of the rows of changes that were read."},
    {"migration_events_total", kCounter, "table, op",
     "Changes of the stream that were applied; op: upsert (an insert, or an update that carries "
     "every column), update, delete, truncate."},
    {"migration_events_skipped_total", kCounter, "reason",
     "Changes that were not applied: applied_before (the target has them), table_stopped (they "
     "are read again once the table goes on)."},
    {"migration_rows_applied_total", kCounter, "", "Rows that lanes wrote to the target."},
    {"migration_batches_total", kCounter, "", "Transactions of lanes with changes or rows."},
    {"migration_batch_rows", kHistogram, "", "Changes and rows of the copy in one of them."},
    {"migration_debts_total", kCounter, "reason",
     "Rows that have to be read from the source again, by why."},
    {"migration_debts_open", kGauge, "", "Rows that wait for that; absent while it is not known."},
    {"migration_quarantined_total", kCounter, "",
     "How often a row was set aside since the target refuses it; one that is tried again in vain "
     "counts again."},
    {"migration_quarantined_rows", kGauge, "",
     "Rows that are set aside; lockstep quarantine list names them; absent while it is not known."},
    {"migration_retries_total", kCounter, "stage, reason",
     "Steps that failed and were made again, by part and by the server's code, none where it gave "
     "none."},

    {"migration_event_apply_latency_seconds", kHistogram, "",
     "From a change's commit at the source to its commit on the target."},
    {"migration_target_transaction_seconds", kHistogram, "",
     "One transaction of a lane on the target."},
    {"migration_checkpoint_commit_seconds", kHistogram, "",
     "One write to the checkpoint, made durable, before such a transaction."},
    {"migration_source_query_seconds", kHistogram, "", "Reading one piece of a chunk."},

    {"migration_backfill_rows_total", kCounter, "table",
     "Rows of chunks that are done, also by earlier processes; begins anew when the table is "
     "copied again."},
    {"migration_backfill_rows_expected", kGauge, "table",
     "Rows that the source estimates; of a table that is copied, what was copied; absent while "
     "the source has no estimate."},
    {"migration_backfill_progress_ratio", kGauge, "",
     "Rows copied of those expected, 1 at most; absent while an estimate is missing."},
    {"migration_backfill_state", kGauge, "table, state",
     "1 for the table's present state; other states are absent."},
    {"migration_backfill_bytes_total", kCounter, "", "Bytes of rows read for the copy."},
    {"migration_backfill_chunks_total", kCounter, "result",
     "Chunks: done, or retaken since they have to be read again."},
    {"migration_backfill_chunk_seconds", kHistogram, "", "One chunk, from its begin to its end."},
    {"migration_throttle_ratio", kGauge, "",
     "Share of the time that the copy and the comparison may work: 1 unless something is above "
     "its bound."},
    {"migration_throttled_seconds_total", kCounter, "reason",
     "How long they were slowed down, by what was above its bound; begins anew with each run."},
    {"migration_rate_limit_rows_per_second", kGauge, "scope",
     "Limit of backfill and of reconcile; absent without one."},
    {"migration_rate_limit_bytes_per_second", kGauge, "scope",
     "Likewise, in bytes; absent without one."},

    {"migration_reconcile_rows_total", kCounter, "",
     "Rows of the source that were compared; this and the next five begin anew with each run, and "
     "when somebody asks for a comparison."},
    {"migration_reconcile_digested_rows_total", kCounter, "",
     "Of these, rows that both servers hashed and nobody read."},
    {"migration_reconcile_bytes_total", kCounter, "side",
     "Bytes of rows that were read to be compared, from source and target."},
    {"migration_reconcile_findings_total", kCounter, "", "Rows that were found unequal."},
    {"migration_repaired_rows_total", kCounter, "", "Findings that a repair made equal."},
    {"migration_healed_rows_total", kCounter, "",
     "Rows that were read again since they had changed in no event."},
    {"migration_shadow_read_match_total", kCounter, "",
     "Rows that had just changed and were equal on both sides; begins anew with each run."},
    {"migration_shadow_read_divergence_total", kCounter, "",
     "Rows that had just changed and were found unequal; begins anew with each run."},
    {"migration_divergent_rows", kGauge, "table",
     "Findings that are open; absent while nobody compares the table."},
    {"migration_divergence_ratio", kGauge, "table",
     "Open findings per row that was compared; absent while the table has none."},
    {"migration_reconcile_last_success_timestamp_seconds", kGauge, "table",
     "Every row of the table was compared after this moment; absent until all were."},
    {"migration_reconcile_uncompared_since_timestamp_seconds", kGauge, "table",
     "Since when the table is copied, as far as this process has seen, and some rows of it were "
     "never compared; absent once all were, and unless comparing goes on all the time."},
    {"migration_reconcile_every_seconds", kGauge, "",
     "How often every row is to be compared; absent unless that goes on all the time."},
    {"migration_aggregate_mismatches", kGauge, "check",
     "1 where the aggregate's values differ, 0 where they are equal; absent while that is not "
     "known."},

    {"migration_queue_bytes", kGauge, "stage", "What waits for the lanes."},
    {"migration_queue_capacity_bytes", kGauge, "stage", "How much may."},
    {"migration_stuck_seconds", kGauge, "stage",
     "For how long the lane that is worst off has not got a step done, however often it tried; 0 "
     "while none is; absent while apply is held."},
    {"migration_log_messages_total", kCounter, "level, message",
     "Lines of the log, but for progress."},

    {"process_cpu_seconds_total", kCounter, "", "Time on processors, of user and system."},
    {"process_start_time_seconds", kGauge, "", "When the process began."},
    {"process_resident_memory_bytes", kGauge, "", "Memory that is resident."},
    {"process_virtual_memory_bytes", kGauge, "", "Address space."},
    {"process_open_fds", kGauge, "", "Open files and sockets."},
    {"process_max_fds", kGauge, "", "How many there may be; absent without a limit."},
});

std::string_view kind_text(MetricKind kind) {
  return kind == kCounter ? "counter" : kind == kGauge ? "gauge" : "histogram";
}

}  // namespace

std::span<const MetricInfo> metric_catalog() { return kCatalog; }

const MetricInfo& metric_info(std::string_view name) {
  const auto found = std::ranges::find(kCatalog, name, &MetricInfo::name);
  CHECK(found != kCatalog.end());
  return *found;
}

std::string catalog_markdown() {
  std::string table = "| metric | type | labels | says |\n|---|---|---|---|\n";
  for (const MetricInfo& one : kCatalog)
    table += fmt::format("| `{}` | {} | {} | {} |\n", one.name, kind_text(one.kind), one.labels,
                         one.help);
  return table;
}

}  // namespace lockstep
