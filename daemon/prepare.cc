#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <set>

#include "checkpoint/unseen.h"
#include "config/connector_config.h"
#include "config/selection.h"
#include "connectors/postgres/source/probe.h"
#include "connectors/postgres/source/stream.h"
#include "connectors/postgres/target/opposite.h"
#include "connectors/postgres/wire/broken_functions.h"
#include "connectors/postgres/wire/checks.h"
#include "daemon/fingerprint.h"
#include "daemon/preparation.h"
#include "pipeline/apply/table_holds.h"
#include "pipeline/base/failpoint.h"

namespace lockstep {

namespace {

constexpr const char* kNoForeignWriters =
    "foreign writers cannot be told apart: track_commit_timestamp is off on the target; where a "
    "difference is to name who wrote it: ALTER SYSTEM SET track_commit_timestamp = on there, as a "
    "superuser, and restart that server";

}  // namespace

Status Preparation::know_servers() {
  LOCKSTEP_TRY(source_.open());
  LOCKSTEP_ASSIGN(out_.source, read_identity(source_));
  LOCKSTEP_ASSIGN(const ServerFacts source, read_server(source_));
  out_.source_version = source.version;
  LOCKSTEP_ASSIGN(const PgResult next,
                  source_.ask("SELECT pg_snapshot_xmax(pg_current_snapshot())"));
  out_.next_xid = number_field<Xid>(next, 0, 0);
  LOCKSTEP_ASSIGN(target_facts_, read_server(*target_));
  LOCKSTEP_ASSIGN(const PgResult times,
                  target_->ask("SELECT current_setting('track_commit_timestamp')"));
  if (field(times, 0, 0) != "on") out_.foreign_writers = kNoForeignWriters;
  if (source.encoding == kNoEncoding)
    return refuse(
        "the source's encoding is SQL_ASCII: nobody knows what its bytes mean; move it "
        "to a database in UTF8 first");
  if (!can_hold_text(source, target_facts_))
    return refuse(
        fmt::format("the target's encoding is {}: it cannot hold every text of the "
                    "source; create the target database with ENCODING 'UTF8'",
                    target_facts_.encoding));
  if (target_facts_.in_recovery)
    return wait_for("the target to accept writes: it is a standby; promote it");
  out_.target_server = {target_facts_.system_identifier, target_facts_.timeline};
  LOCKSTEP_TRY(refuse_opposite(source));
  const MigrationIdentity identity{manifest_.migration.value, out_.source.system_identifier,
                                   target_facts_.system_identifier, stream_kind(manifest_),
                                   stream_name(manifest_)};
  return resync_.all ? store_.begin_anew(identity) : store_.confirm(identity);
}

// First it says that it comes, then it looks: of two that begin at once one sees the other at
// least.
Status Preparation::refuse_opposite(const ServerFacts& source) {
  out_.hold_direction = hold_direction_sql(source);
  LOCKSTEP_TRY(target_->ask(out_.hold_direction));
  LOCKSTEP_ASSIGN(const auto opposite, find_opposite(source_, target_facts_));
  if (opposite) return refuse(opposite_text(*opposite) + "; " + kOppositeHint);
  return {};
}

// Has the publication cover what an earlier run did not have; returns what it does not cover.
Result<std::map<TableName, std::string>> Preparation::cover_new(const TablePlan& plan) {
  if (first_) return std::map<TableName, std::string>();
  std::set<TableName> known;
  for (const StoredMapping& mapping : out_.claim.mappings)
    if (mapping.fingerprint != kForgotten) known.insert(mapping.source);
  std::vector<TableSpec> fresh;
  for (const PlannedTable& table : plan.tables)
    if (table.map && !known.contains(table.selected.source)) fresh.push_back(table.source);
  if (fresh.empty()) return std::map<TableName, std::string>();
  return cover_new_tables(source_, manifest_, fresh);
}

// A statement over such a table fails, on whichever side: the table waits, the others go on.  Of a
// first start `validate` has named the grants, and nothing begins without them.
Status Preparation::note_obstacles(const TablePlan& plan,
                                   std::map<TableName, std::string>& left_out) {
  std::vector<TableName> sources;
  std::vector<TableName> targets;
  std::map<TableName, TableName> source_of;
  for (const PlannedTable& table : plan.tables) {
    if (!table.map) continue;
    sources.push_back(table.selected.source);
    targets.push_back(table.selected.target);
    source_of[table.selected.target] = table.selected.source;
  }
  LOCKSTEP_ASSIGN(const auto at_source, find_broken_functions(source_, sources));
  for (const BrokenFunction& each : at_source)
    left_out[each.table] = each.text + ": " + each.cure + " on the source";
  LOCKSTEP_ASSIGN(const auto at_target, find_broken_functions(*target_, targets));
  for (const BrokenFunction& each : at_target)
    left_out[source_of[each.table]] = each.text + ": " + each.cure + " on the target";
  if (first_) return {};
  LOCKSTEP_ASSIGN(const auto held, read_privileges(*target_, targets));
  for (const TablePrivileges& table : held)
    if (!table.usage || !table.select)
      left_out[source_of[table.name]] = fmt::format(
          "permission denied for {} of the target: GRANT USAGE ON SCHEMA {}, and GRANT SELECT, "
          "INSERT, UPDATE, DELETE, TRUNCATE ON TABLE {}, to lockstep's role of the target",
          table.name.text(), quote_identifier(table.name.schema), quoted(table.name));
  return {};
}

// A first start wants every table right; a later one goes on with those that are.  But two sources
// of one target would delete each other's rows, and two tables of one name share their progress.
Status Preparation::choose_tables() {
  // Before the catalogs: what is committed after it fits them, or has changed since.
  LOCKSTEP_ASSIGN(const PgResult end, source_.ask("SELECT pg_current_wal_insert_lsn()"));
  LOCKSTEP_ASSIGN(out_.catalog_lsn, parse_lsn(field(end, 0, 0)));
  LOCKSTEP_ASSIGN(TablePlan plan, plan_tables(source_, *target_, manifest_));
  std::string problems;
  const auto note = [&](const Problem& problem) {
    if (problem.severity == Severity::Error) problems += "\n" + problem.print();
  };
  for (const Problem& problem : plan.problems) note(problem);
  std::set<TableName> targets;
  std::set<std::string> names;
  bool shares = false;
  for (const PlannedTable& table : plan.tables)
    shares = !targets.insert(table.selected.target).second ||
             !names.insert(table.selected.source.text()).second || shares;
  LOCKSTEP_ASSIGN(auto uncovered, cover_new(plan));
  LOCKSTEP_TRY(note_obstacles(plan, uncovered));
  for (PlannedTable& table : plan.tables) {
    for (const Problem& problem : table.problems) note(problem);
    const auto missing = uncovered.find(table.selected.source);
    const auto is_root = [&](const PlannedTable& other) {
      return table.source.root && other.selected.source == *table.source.root;
    };
    if (table.map && std::ranges::any_of(plan.tables, is_root)) {
      out_.left_out.push_back({table.selected.source.text(), table.selected.target.text(),
                               became_partition(table.source)});
      continue;
    }
    if (table.map && missing == uncovered.end()) {
      table.map->id = static_cast<TableId>(out_.maps.size());
      out_.maps.push_back(std::move(*table.map));
      out_.source_specs.push_back(std::move(table.source));
      continue;
    }
    std::string why = missing == uncovered.end() ? "" : missing->second;
    for (const Problem& problem : table.problems)
      if (problem.severity == Severity::Error)
        why += (why.empty() ? "" : "; ") + problem.text +
               (problem.hint.empty() ? "" : " (" + problem.hint + ")");
    out_.left_out.push_back(
        {table.selected.source.text(), table.selected.target.text(), std::move(why)});
  }
  if (!problems.empty() && (first_ || shares))
    return refuse("the manifest does not fit the servers; nothing was begun:" + problems);
  if (out_.maps.empty())
    return refuse("the manifest selects no table that can be copied" +
                  (out_.left_out.empty() ? ""
                                         : "; of " + out_.left_out.front().table + ": " +
                                               out_.left_out.front().reason));
  for (const TableMap& map : out_.maps) out_.tables.push_back(&map);
  return {};
}

// P5: a row that is there already is not ours to overwrite, unless the manifest says so.  Once a
// table was left out for a while, nobody knows which of its rows the source has deleted.
Status Preparation::refuse_filled_targets(const std::vector<const TableMap*>& tables) {
  std::vector<TableName> filled;
  std::vector<TableName> stale;
  for (const TableMap* table : tables) {
    const bool was_left_out = forgotten_.contains(table->source.name);
    if (manifest_.existing.value == ExistingPolicy::Upsert && !was_left_out) continue;
    LOCKSTEP_ASSIGN(const bool found, has_rows(*target_, table->target));
    if (!found) continue;
    const bool compares =
        was_left_out || resync_.all || manifest_.existing.value == ExistingPolicy::Heal;
    if (compares && heals(*table))
      filled_.insert(table->source.name);
    else
      (was_left_out ? stale : filled).push_back(table->target.name);
  }
  if (!stale.empty())
    return refuse("the target still has rows in " + shown_list(stale) +
                  ", which was left out for a while: what the source deleted meanwhile would stay; "
                  "empty it, and it is copied anew");
  if (filled.empty()) return {};
  return refuse("the target already has rows in " + shown_list(filled) +
                "; empty the tables, say `existing: heal` to have them compared and made equal, or "
                "`existing: upsert` to keep what the source lacks and overwrite the rest");
}

// What the target holds is healed.  Where it is said to be nearly equal nothing is copied: the heal
// finds what is missing, too.
void Preparation::mark_filled(std::vector<StoredMapping>& mappings) const {
  for (StoredMapping& mapping : mappings) {
    if (!filled_.contains(mapping.source)) continue;
    mapping.files = heal_text(mapping.files, out_.claim.epoch);
    mapping.compared = !forgotten_.contains(mapping.source);
  }
}

// The tables as they are before anything of them is read.  A rewrite that came earlier is noticed
// by nobody, so events from before it, which would undo it, must not be applied: an exported
// snapshot has none, and else the tables' horizon drops them.  Snapshots that are accepted see them
// all, since the transaction id that is the floor, or that was waited for, is assigned afterwards.
Result<std::vector<StoredMapping>> Preparation::mappings(const ExportedSnapshot* exported) {
  PostgresProbe probe({connection_options(manifest_, Side::Source, "prepare"), out_.source,
                       manifest_.migration.value, manifest_.source.publication.value});
  const auto files =
      exported != nullptr ? probe.files_under(*exported, out_.tables) : probe.files(out_.tables);
  if (!files && exported != nullptr) {
    exported_.reset();
    return wait_for("the exported snapshot was lost: " + files.error().message);
  }
  if (!files) return fail(files.error());
  Position horizon;
  if (exported == nullptr) {
    LOCKSTEP_ASSIGN(horizon.major, probe.insert_lsn());
    // Its commit flushes the log past the horizon: a crash of the source would else give positions
    // before it to later changes, which would be dropped.
    LOCKSTEP_ASSIGN([[maybe_unused]] const Lsn flushed, probe.emit_marker());
  }
  std::vector<StoredMapping> mappings;
  for (std::size_t i = 0; i < out_.maps.size(); ++i)
    mappings.push_back(
        {out_.maps[i].source.name, fingerprint(out_.maps[i]), "active", "", horizon,
         files_text((*files)[i], horizon.major, definition_of(out_.maps[i].source))});
  return mappings;
}

// The stream's beginning first, then P0: what was committed before P0 is in front of the beginning,
// or visible to every snapshot that is accepted.  (xmax(P0) will not do: a transaction that waits
// for a standby may itself be xmax.)
Status Preparation::first_start() {
  LOCKSTEP_TRY(refuse_filled_targets(out_.tables));
  if (resync_.all) LOCKSTEP_TRY(leave_stream());
  LOCKSTEP_TRY(need_publication(context()));
  LOCKSTEP_TRY(need_slot(context()));
  LOCKSTEP_ASSIGN(const auto begins, first_positions(context()));
  failpoint("prepare_after_slot");
  LOCKSTEP_ASSIGN(std::vector<StoredMapping> tables, mappings(exported_.get()));
  mark_filled(tables);
  PostgresProbe probe({connection_options(manifest_, Side::Source, "prepare"), out_.source,
                       manifest_.migration.value, manifest_.source.publication.value});
  LOCKSTEP_ASSIGN(const Xid start_xid, probe.assign_xid());
  const auto lanes = static_cast<std::uint32_t>(manifest_.target.lanes.value);
  std::vector<ProgressRow> progress;
  for (const auto& [stream, position] : begins)
    for (std::uint32_t lane = 0; lane < lanes; ++lane)
      progress.push_back({stream, lane, position, start_xid, 0});
  const StartFacts facts{out_.source.system_identifier,
                         out_.source.timeline,
                         target_facts_.system_identifier,
                         target_facts_.timeline,
                         stream_kind(manifest_),
                         stream_name(manifest_),
                         start_xid,
                         lanes};
  if (resync_.all) {
    add_absent(tables);
    LOCKSTEP_TRY(bookkeeping_.replace_start(facts, tables, progress));
    out_.resynced = what_was_lost(begins);
  } else {
    LOCKSTEP_TRY(bookkeeping_.save_start(facts, tables, progress));
  }
  failpoint("prepare_after_positions");
  return {};
}

// Before anything is changed there.
Status Preparation::know_start() {
  const StartFacts& start = *out_.claim.start;
  LOCKSTEP_TRY(same_identity({start.source_system, start.source_timeline}, out_.source));
  if (start.target_system != target_facts_.system_identifier)
    return fail(Reaction::Halt, fmt::format("the target is another server (system {}) than the one "
                                            "this migration began with ({})",
                                            target_facts_.system_identifier, start.target_system));
  const std::string kind = stream_kind(manifest_);
  const std::string name = stream_name(manifest_);
  if (start.stream_kind != kind || start.stream_name != name)
    return fail(Reaction::Halt,
                fmt::format("this migration began with stream {} '{}', the manifest says {} '{}'; "
                            "that cannot change",
                            start.stream_kind, start.stream_name, kind, name));
  return {};
}

// What every snapshot must see (I5, P1).
void Preparation::floor_and_unseen(const StartFacts& start) {
  std::map<std::uint32_t, LaneBatch> last;
  Xid largest = start.start_xid;
  for (const StoredProgress& stored : out_.claim.progress) {
    largest = std::max(largest, stored.row.max_xid);
    LaneBatch& batch = last[stored.row.lane];
    if (std::pair(stored.epoch, stored.batch) >= std::pair(batch.epoch, batch.batch))
      batch = {stored.row.lane, stored.epoch, stored.batch};
  }
  std::vector<LaneBatch> committed;
  for (const auto& [lane, batch] : last) committed.push_back(batch);
  out_.options.snapshot_floor = largest;
  const auto incarnation = store_.read().load_incarnation();
  const auto intents = store_.read().load_intents();
  if (!incarnation || !intents) return;
  const auto unseen = current_unseen(*incarnation, *intents, out_.claim.epoch - 1, committed);
  if (!unseen) return;
  out_.options.snapshot_floor = std::max(start.start_xid, unseen->floor);
  out_.options.unseen = unseen->xids;
}

Status Preparation::finish() {
  RunOptions& options = out_.options;
  options.lanes = static_cast<std::uint32_t>(manifest_.target.lanes.value);
  options.epoch = out_.claim.epoch;
  floor_and_unseen(*out_.claim.start);
  LOCKSTEP_TRY(
      store_.begin_incarnation({out_.claim.epoch, options.snapshot_floor, options.unseen}));
  for (const StoredProgress& stored : out_.claim.progress) {
    if (stored.row.lane >= options.lanes)
      return fail(Reaction::Halt,
                  fmt::format("the bookkeeping has progress of lane {} on stream {}, and there are "
                              "{} lanes: put the rows of the table progress right",
                              stored.row.lane, stored.row.stream, options.lanes));
    options.progress.push_back(stored.row);
  }
  if (manifest_.source.stream.value == StreamKind::Direct) options.shared_stream = kDirectStream;
  std::map<TableName, TableId> ids;
  for (const TableMap& map : out_.maps) ids[map.source.name] = map.id;
  for (const StoredChunk& chunk : out_.claim.chunks) {
    const auto id = ids.find(chunk.source);
    if (id == ids.end()) continue;
    options.marks.push_back(chunk.mark);
    options.marks.back().table = id->second;
  }
  options.files.resize(out_.maps.size());
  for (const StoredMapping& mapping : out_.claim.mappings) {
    const auto id = ids.find(mapping.source);
    if (id == ids.end()) continue;
    options.horizons.emplace_back(id->second, mapping.horizon);
    auto files = parse_files(mapping.files);
    if (!files)
      return fail(Reaction::Halt,
                  fmt::format("table {}: what the bookkeeping says of its files, \"{}\", was not "
                              "written by lockstep: put the row of the table mapping right",
                              mapping.source.text(), mapping.files));
    const TableMap& map = out_.maps[id->second];
    const Definition now = definition_of(map.source);
    const auto change = definition_change(map, Side::Source, files->definition, now);
    if (change && change->consequence == Consequence::CopyAgain &&
        key_may_mean_others(files->definition, now))
      out_.renewed.insert(id->second);
    options.files[id->second] = std::move(*files);
  }
  options.planner.chunk_rows_max = manifest_.backfill.chunk_rows;
  for (const TableMap* table : out_.tables) options.planner.order.push_back(table->id);
  set_sweep(options.sweep);
  LOCKSTEP_ASSIGN(const auto lost, store_.read().load_note(kTargetLost));
  out_.target_lost = lost.value_or("");
  return {};
}

void Preparation::set_sweep(SweepOptions& options) const {
  // A range that is never due again is compared once.
  constexpr std::chrono::hours kNever{24 * 366 * 100};
  constexpr std::uint64_t kDigestedRanges = 8;
  const ReconcileSection& reconcile = manifest_.reconcile;
  options.continuous = reconcile.mode.value != ReconcileMode::Off;
  options.every = reconcile.mode.value == ReconcileMode::Once ? kNever : reconcile.every;
  options.repairs = reconcile.repair.value == RepairPolicy::Auto;
  options.repairs_per_minute = reconcile.repairs_per_minute;
  options.sample_per_second = reconcile.sample;
  options.chunk_rows = reconcile.range_rows;
  options.digested_rows_max = kDigestedRanges * reconcile.range_rows;
  options.digests = reconcile.digests;
}

Result<Prepared> Preparation::run() {
  LOCKSTEP_ASSIGN(resync_, load_resync(store_.read()));
  LOCKSTEP_TRY(know_servers());
  LOCKSTEP_TRY(bookkeeping_.create());
  LOCKSTEP_ASSIGN(out_.claim, bookkeeping_.claim());
  first_ = !out_.claim.start || resync_.all;
  LOCKSTEP_TRY(know_target());
  if (!first_) LOCKSTEP_TRY(know_start());
  LOCKSTEP_TRY(choose_tables());
  LOCKSTEP_TRY(first_ ? first_start() : later_start());
  if (resync_.wanted()) LOCKSTEP_TRY(forget_resync(store_));
  const std::uint64_t epoch = out_.claim.epoch;
  LOCKSTEP_ASSIGN(out_.claim, bookkeeping_.read());
  if (out_.claim.epoch != epoch || !out_.claim.start)
    return fail(Reaction::Halt, "another lockstep took this migration over while it was prepared");
  count_left_out(out_.claim, out_.left_out);
  LOCKSTEP_TRY(finish());
  out_.exported = exported_;
  out_.target = target_;
  return std::move(out_);
}

void count_left_out(const Claim& claim, std::vector<LeftOut>& tables) {
  for (LeftOut& table : tables) {
    const auto is_of = [&](const auto& stored) { return stored.source.text() == table.table; };
    table.rows_done = 0;
    for (const StoredChunk& chunk : claim.chunks)
      if (is_of(chunk)) table.rows_done += chunk.mark.rows;
    const auto debts = std::ranges::find_if(claim.debts, is_of);
    table.debts = debts == claim.debts.end() ? 0 : debts->open;
    table.quarantined = debts == claim.debts.end() ? 0 : debts->quarantined;
  }
}

Result<Prepared> prepare(const Manifest& manifest, RocksdbStore& store, const Patience& patience,
                         std::shared_ptr<ExportedSnapshot>& exported) {
  // Moving `maps` keeps its elements where they are, so the pointers into it stay good.
  return Preparation(manifest, store, patience, exported).run();
}

}  // namespace lockstep
