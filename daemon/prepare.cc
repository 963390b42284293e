#include "daemon/prepare.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <set>

#include "checkpoint/unseen.h"
#include "config/connector_config.h"
#include "config/selection.h"
#include "connectors/postgres/source/probe.h"
#include "connectors/postgres/source/stream.h"
#include "daemon/fingerprint.h"
#include "pipeline/apply/table_holds.h"
#include "pipeline/base/failpoint.h"

namespace lockstep {
namespace {

// The name of a table's own progress, also of one that has no map any more.
std::string own_progress(const TableName& name) {
  TableMap map;
  map.source.name = name;
  return own_stream(kDirectStream, map);
}

// One run of prepare().
class Preparation {
 public:
  Preparation(const Manifest& manifest, RocksdbStore& store, const Patience& patience,
              std::shared_ptr<ExportedSnapshot>& exported)
      : manifest_(manifest),
        store_(store),
        patience_(patience),
        exported_(exported),
        source_(connect(manifest, Side::Source, "prepare")),
        target_(connect(manifest, Side::Target, "prepare")),
        bookkeeping_(bookkeeping_options(manifest, "bookkeeping")) {}

  Result<Prepared> run();

 private:
  Status know_servers();
  Result<std::map<TableName, std::string>> cover_new(const TablePlan& plan);
  Status choose_tables();
  Status first_start();
  Result<bool> has_rows(const TableMap& table);
  Status refuse_filled_targets(const std::vector<const TableMap*>& tables);
  Status know_start();
  Status later_start();
  Status forget(const TableName& name);
  Status forget_removed();
  Status forget_emptied();
  void leave_forgotten();
  Status forget_unpublished();
  Status hold_tables();
  Status compare_mappings();
  void floor_and_unseen(const StartFacts& start);
  Status finish();
  Result<std::vector<StoredMapping>> mappings(const ExportedSnapshot* exported = nullptr);
  StreamContext context() {
    return {manifest_,   source_, out_.source, out_.source_specs,
            out_.tables, first_,  patience_,   exported_};
  }

  const Manifest& manifest_;
  RocksdbStore& store_;
  const Patience& patience_;
  std::shared_ptr<ExportedSnapshot>& exported_;
  PostgresConnection source_;
  PostgresConnection target_;
  Bookkeeping bookkeeping_;
  ServerFacts target_facts_;
  bool first_ = false;
  std::set<TableName> begun_;      // Tables of an earlier run.
  std::set<TableName> forgotten_;  // Left out by one since: kForgotten.
  Prepared out_;
};

Status Preparation::know_servers() {
  LOCKSTEP_TRY(source_.open());
  LOCKSTEP_ASSIGN(out_.source, read_identity(source_));
  LOCKSTEP_ASSIGN(const ServerFacts source, read_server(source_));
  LOCKSTEP_ASSIGN(target_facts_, read_server(target_));
  if (source.encoding == kNoEncoding)
    return refuse(
        "the source's encoding is SQL_ASCII: nobody knows what its bytes mean; move it "
        "to a database in UTF8 first");
  if (!can_hold_text(source, target_facts_))
    return refuse(
        fmt::format("the target's encoding is {}: it cannot hold every text of the "
                    "source; create the target database with ENCODING 'UTF8'",
                    target_facts_.encoding));
  if (target_facts_.in_recovery || target_facts_.read_only)
    return wait_for(
        "the target to accept writes: it is a standby, or the server, the database or "
        "the role has default_transaction_read_only");
  return store_.confirm({manifest_.migration.value, out_.source.system_identifier,
                         target_facts_.system_identifier, stream_kind(manifest_),
                         stream_name(manifest_)});
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

// A first start wants every table right; a later one goes on with those that are.
Status Preparation::choose_tables() {
  // Before the catalogs: what is committed after it fits them, or has changed since.
  LOCKSTEP_ASSIGN(const PgResult end, source_.ask("SELECT pg_current_wal_insert_lsn()"));
  LOCKSTEP_ASSIGN(out_.catalog_lsn, parse_lsn(field(end, 0, 0)));
  LOCKSTEP_ASSIGN(TablePlan plan, plan_tables(source_, target_, manifest_));
  std::string problems;
  const auto note = [&](const Problem& problem) {
    if (problem.severity == Severity::Error) problems += "\n" + problem.print();
  };
  for (const Problem& problem : plan.problems) note(problem);
  LOCKSTEP_ASSIGN(const auto uncovered, cover_new(plan));
  for (PlannedTable& table : plan.tables) {
    for (const Problem& problem : table.problems) note(problem);
    const auto missing = uncovered.find(table.selected.source);
    if (table.map && missing == uncovered.end()) {
      table.map->id = static_cast<TableId>(out_.maps.size());
      out_.maps.push_back(std::move(*table.map));
      out_.source_specs.push_back(std::move(table.source));
      continue;
    }
    std::string why = missing == uncovered.end() ? "" : missing->second;
    for (const Problem& problem : table.problems)
      if (problem.severity == Severity::Error) why += (why.empty() ? "" : "; ") + problem.text;
    out_.left_out.push_back(
        {table.selected.source.text(), table.selected.target.text(), std::move(why)});
  }
  if (first_ && !problems.empty())
    return refuse("the manifest does not fit the servers; nothing was begun:" + problems);
  if (out_.maps.empty()) return refuse("the manifest selects no table that can be copied");
  for (const TableMap& map : out_.maps) out_.tables.push_back(&map);
  return {};
}

Result<bool> Preparation::has_rows(const TableMap& table) {
  LOCKSTEP_ASSIGN(const PgResult found,
                  target_.run("SELECT EXISTS (SELECT FROM " + quoted(table.target.name) + ")"));
  return field(found, 0, 0) == "t";
}

// P5: a row that is there already is not ours to overwrite, unless the manifest says so.  Once a
// table was left out for a while, nobody knows which of its rows the source has deleted.
Status Preparation::refuse_filled_targets(const std::vector<const TableMap*>& tables) {
  std::string filled;
  std::string stale;
  for (const TableMap* table : tables) {
    const bool was_left_out = forgotten_.contains(table->source.name);
    if (manifest_.existing.value == ExistingPolicy::Upsert && !was_left_out) continue;
    LOCKSTEP_ASSIGN(const bool has_rows, this->has_rows(*table));
    if (!has_rows) continue;
    std::string& list = was_left_out ? stale : filled;
    list += (list.empty() ? "" : ", ") + table->target.name.text();
  }
  if (!stale.empty())
    return refuse("the target still has rows in " + stale +
                  ", which was left out for a while: what the source deleted meanwhile would stay; "
                  "empty it, and it is copied anew");
  if (filled.empty()) return {};
  return refuse("the target already has rows in " + filled +
                "; empty the tables, or say `existing: upsert` to keep what the source lacks and "
                "overwrite the rest");
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
    mappings.push_back({out_.maps[i].source.name, fingerprint(out_.maps[i]), "active", "", horizon,
                        files_text((*files)[i], horizon.major)});
  return mappings;
}

// The stream's beginning first, then P0: what was committed before P0 is in front of the beginning,
// or visible to every snapshot that is accepted.  (xmax(P0) will not do: a transaction that waits
// for a standby may itself be xmax.)
Status Preparation::first_start() {
  LOCKSTEP_TRY(refuse_filled_targets(out_.tables));
  LOCKSTEP_TRY(need_publication(context()));
  LOCKSTEP_TRY(need_slot(context()));
  LOCKSTEP_ASSIGN(const auto begins, first_positions(context()));
  failpoint("prepare_after_slot");
  LOCKSTEP_ASSIGN(const std::vector<StoredMapping> tables, mappings(exported_.get()));
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
  LOCKSTEP_TRY(bookkeeping_.save_start(facts, tables, progress));
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

Status Preparation::later_start() {
  const StartFacts start = *out_.claim.start;
  const auto lanes = static_cast<std::uint32_t>(manifest_.target.lanes.value);
  if (start.lanes != lanes) {
    LOCKSTEP_TRY(bookkeeping_.change_lanes(lanes));
    LOCKSTEP_ASSIGN(out_.claim, bookkeeping_.read());
  }
  LOCKSTEP_TRY(forget_removed());
  LOCKSTEP_TRY(forget_emptied());
  leave_forgotten();
  LOCKSTEP_TRY(forget_unpublished());
  for (const StoredMapping& mapping : out_.claim.mappings) begun_.insert(mapping.source);
  LOCKSTEP_TRY(need_publication(context()));
  LOCKSTEP_TRY(need_slot(context()));
  LOCKSTEP_TRY(compare_mappings());
  return hold_tables();
}

// The shared stream goes on without the table, so that it can only be copied anew, which later
// starts must know.
Status Preparation::forget(const TableName& name) {
  return bookkeeping_.forget_table(name, own_progress(name), kForgotten);
}

// A table that was taken out of the manifest, on a stream that goes on without it.  One that only
// the source has dropped is left out.
Status Preparation::forget_removed() {
  std::set<std::string> planned;
  for (const TableMap& map : out_.maps) planned.insert(map.source.name.text());
  for (const LeftOut& table : out_.left_out) planned.insert(table.table);
  for (const StoredMapping& mapping : out_.claim.mappings) {
    const TableName& name = mapping.source;
    if (mapping.fingerprint == kForgotten) {
      forgotten_.insert(name);
      continue;
    }
    if (planned.contains(name.text()) || manifest_.source.stream.value != StreamKind::Direct)
      continue;
    const ListedTable listed{name, std::nullopt};
    const Selection selection = select_tables(manifest_, {&listed, 1});
    if (!selection.tables.empty()) {
      out_.left_out.push_back(
          {name.text(), selection.tables.front().target.text(), "it was dropped on the source"});
      continue;
    }
    LOCKSTEP_TRY(forget(name));
    forgotten_.insert(name);
  }
  return {};
}

// A table that was stopped, and that somebody has emptied on the target since, as the reason says:
// it begins anew, and what the log holds from before is dropped.
Status Preparation::forget_emptied() {
  for (const TableMap& map : out_.maps) {
    const auto stored =
        std::ranges::find(out_.claim.mappings, map.source.name, &StoredMapping::source);
    if (stored == out_.claim.mappings.end() || stored->state != "stopped") continue;
    LOCKSTEP_ASSIGN(const bool has_rows, this->has_rows(map));
    if (has_rows) continue;
    LOCKSTEP_TRY(forget(map.source.name));
    forgotten_.insert(map.source.name);
  }
  return {};
}

// From here on they are as if they had never been.
void Preparation::leave_forgotten() {
  std::set<std::string> gone;  // Names of progress.
  for (const TableName& name : forgotten_) gone.insert(own_progress(name));
  std::erase_if(out_.claim.progress,
                [&](const StoredProgress& stored) { return gone.contains(stored.row.stream); });
  std::erase_if(out_.claim.mappings,
                [&](const StoredMapping& mapping) { return forgotten_.contains(mapping.source); });
}

// A table that somebody took out of the publication: what was written since is in no stream, and
// putting it back would hide that.
Status Preparation::forget_unpublished() {
  if (manifest_.source.stream.value != StreamKind::Direct) return {};
  std::vector<TableName> known;
  for (const StoredMapping& mapping : out_.claim.mappings)
    for (const TableMap& map : out_.maps)
      if (map.source.name == mapping.source) known.push_back(mapping.source);
  const std::string& name = manifest_.source.publication.value;
  LOCKSTEP_ASSIGN(const PublicationFacts facts, read_publication(source_, name, known));
  if (!facts.exists || facts.missing.empty()) return {};
  for (const TableName& table : facts.missing) LOCKSTEP_TRY(forget(table));
  return fail(Reaction::Halt,
              fmt::format("publication {} does not cover {} any more: what was written since is in "
                          "no stream; empty it on the target and start again: it is copied anew",
                          name, shown_list(facts.missing)));
}

// On a shared stream a table that this run leaves alone stays where its lanes are (I8); and a table
// that stands apart does so in every lane.
Status Preparation::hold_tables() {
  if (manifest_.source.stream.value != StreamKind::Direct) return {};
  std::set<std::string> apart;
  for (const TableName& name : begun_)
    if (std::ranges::find(out_.left_out, name.text(), &LeftOut::table) != out_.left_out.end())
      apart.insert(own_progress(name));
  for (const StoredProgress& stored : out_.claim.progress)
    if (stored.row.stream != kDirectStream) apart.insert(stored.row.stream);
  std::vector<ProgressRow> rows;
  for (const StoredProgress& stored : out_.claim.progress) {
    if (stored.row.stream != kDirectStream) continue;
    for (const std::string& name : apart) {
      rows.push_back(stored.row);
      rows.back().stream = name;
    }
  }
  return rows.empty() ? Status() : bookkeeping_.add_mappings({}, rows);
}

// A mapping that the manifest changed stops its table.  One that followed an ALTER of the tables
// goes on, but rows copied before it lack what it brought: ShapeWatch has them copied again.
Status Preparation::compare_mappings() {
  std::vector<StoredMapping> fresh;
  std::vector<const TableMap*> fresh_tables;
  std::map<TableName, StoredMapping> stored;
  for (const StoredMapping& mapping : out_.claim.mappings) stored[mapping.source] = mapping;
  LOCKSTEP_ASSIGN(const std::vector<StoredMapping> current, mappings());
  for (const TableMap& map : out_.maps) {
    const auto found = stored.find(map.source.name);
    const std::string& now = current[map.id].fingerprint;
    if (found == stored.end()) {
      fresh.push_back(current[map.id]);
      fresh_tables.push_back(&map);
      continue;
    }
    if (found->second.state == "stopped")
      LOCKSTEP_TRY(bookkeeping_.set_table_state(map.source.name, "active", ""));
    if (found->second.fingerprint == now) continue;
    if (!same_rule(found->second.fingerprint, now))
      return refuse(
          fmt::format("the manifest maps {} in another way than when the migration began; "
                      "that cannot change while it runs: put the rule back, or begin anew",
                      map.source.name.text()));
    // Before the fingerprint: a start that dies in between does both again.
    LOCKSTEP_TRY(bookkeeping_.set_files(map.source.name, copy_again_text(found->second.files)));
    LOCKSTEP_TRY(bookkeeping_.set_fingerprint(map.source.name, now));
  }
  if (fresh.empty()) return {};
  exported_.reset();  // They are younger: under a snapshot from before them they look empty.
  LOCKSTEP_TRY(refuse_filled_targets(fresh_tables));
  LOCKSTEP_TRY(outlast_transactions(context()));
  for (const StoredMapping& mapping : fresh)
    if (forgotten_.contains(mapping.source))
      LOCKSTEP_TRY(bookkeeping_.forget_table(mapping.source, own_progress(mapping.source)));
  return bookkeeping_.add_mappings(fresh, {});
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
  options.batches.assign(options.lanes, 0);
  for (const StoredProgress& stored : out_.claim.progress) options.progress.push_back(stored.row);
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
    options.files[id->second] = parse_files(mapping.files);
  }
  options.planner.chunk_rows_max = manifest_.backfill.chunk_rows;
  for (const TableMap* table : out_.tables) options.planner.order.push_back(table->id);
  options.debts.attempts_max = static_cast<std::uint32_t>(manifest_.debt_attempts);
  options.rate_limit_rows_per_second = manifest_.backfill.rate_limit_rows_per_second;
  return {};
}

Result<Prepared> Preparation::run() {
  LOCKSTEP_TRY(know_servers());
  LOCKSTEP_TRY(bookkeeping_.create());
  LOCKSTEP_ASSIGN(out_.claim, bookkeeping_.claim());
  first_ = !out_.claim.start;
  if (!first_) LOCKSTEP_TRY(know_start());
  LOCKSTEP_TRY(choose_tables());
  LOCKSTEP_TRY(first_ ? first_start() : later_start());
  const std::uint64_t epoch = out_.claim.epoch;
  LOCKSTEP_ASSIGN(out_.claim, bookkeeping_.read());
  if (out_.claim.epoch != epoch || !out_.claim.start)
    return fail(Reaction::Halt, "another lockstep took this migration over while it was prepared");
  LOCKSTEP_TRY(finish());
  out_.exported = exported_;
  return std::move(out_);
}

}  // namespace

Result<Prepared> prepare(const Manifest& manifest, RocksdbStore& store, const Patience& patience,
                         std::shared_ptr<ExportedSnapshot>& exported) {
  // Moving `maps` keeps its elements where they are, so the pointers into it stay good.
  return Preparation(manifest, store, patience, exported).run();
}

BookkeepingOptions bookkeeping_options(const Manifest& manifest, const std::string& role) {
  BookkeepingOptions options;
  options.connection = connection_options(manifest, Side::Target, role);
  options.name = {manifest.target.schema.value, manifest.migration.value};
  return options;
}

}  // namespace lockstep
