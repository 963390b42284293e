// What a later start of a migration finds: tables that came, went, or are to be copied anew.
#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <set>

#include "connectors/kafka/topics.h"
#include "connectors/postgres/source/stream.h"
#include "connectors/postgres/wire/checks.h"
#include "daemon/fingerprint.h"
#include "daemon/preparation.h"
#include "pipeline/apply/table_holds.h"

namespace lockstep {
namespace {

constexpr const char* kTargetTimeline = "target_timeline";

// The name of a table's own progress, also of one that has no map any more.
std::string own_progress(const TableName& name) {
  TableMap map;
  map.source.name = name;
  return own_stream(kDirectStream, map);
}

}  // namespace

// Before anything can fail: each start raises the epoch, which then tells nothing any more.
Status Preparation::know_target() {
  if (first_) LOCKSTEP_TRY(store_.verified().forget_compared());
  const bool known = !first_ && out_.claim.start->target_system == target_facts_.system_identifier;
  std::string lost;
  if (known) {
    LOCKSTEP_ASSIGN(lost, what_target_lost());
  }
  if (!lost.empty()) {
    LOCKSTEP_TRY(store_.verified().forget_compared());
    LOCKSTEP_TRY(store_.save_note(kTargetLost, lost));
  }
  return store_.save_note(kTargetTimeline, std::to_string(target_facts_.timeline));
}

// V8: what was compared was so on a server that held all that was written to it until then.  An
// epoch that is ahead says nothing against it: other starts raised it.
Result<std::string> Preparation::what_target_lost() {
  LOCKSTEP_ASSIGN(const auto incarnation, store_.read().load_incarnation());
  const std::uint64_t epoch = out_.claim.epoch - 1;
  if (incarnation && epoch < incarnation->epoch)
    return fmt::format("its bookkeeping is of run {}, and run {} was the last", epoch,
                       incarnation->epoch);
  LOCKSTEP_ASSIGN(const auto noted, store_.read().load_note(kTargetTimeline));
  const std::string now = std::to_string(target_facts_.timeline);
  const std::string before = noted.value_or(std::to_string(out_.claim.start->target_timeline));
  if (before != now) return fmt::format("it is on timeline {}, and was on {}", now, before);
  LOCKSTEP_ASSIGN(const Lsn compared, store_.verified().load_target_end());
  LOCKSTEP_ASSIGN(const PgResult answer, target_->ask("SELECT pg_current_wal_insert_lsn()"));
  LOCKSTEP_ASSIGN(const Lsn end, parse_lsn(field(answer, 0, 0)));
  if (end >= compared) return std::string();
  return fmt::format("its log ends at {}, and was at {} when it was last compared", lsn_text(end),
                     lsn_text(compared));
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
  LOCKSTEP_TRY(store_reasons());
  LOCKSTEP_TRY(compare_mappings());
  LOCKSTEP_TRY(mark_resync());
  return hold_tables();
}

// What stops a table today may not be what stopped it then: `status` of a daemon that is down reads
// it here.
Status Preparation::store_reasons() {
  for (const LeftOut& table : out_.left_out) {
    const auto stored =
        std::ranges::find(out_.claim.mappings, table.table,
                          [](const StoredMapping& mapping) { return mapping.source.text(); });
    if (stored == out_.claim.mappings.end()) continue;
    if (stored->state == "stopped" && stored->reason == table.reason) continue;
    LOCKSTEP_TRY(bookkeeping_.set_table_state(stored->source, "stopped", table.reason));
  }
  return {};
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
    if (planned.contains(name.text())) continue;
    const ListedTable listed{name, std::nullopt};
    const Selection selection = select_tables(manifest_, {&listed, 1});
    if (manifest_.source.stream.value != StreamKind::Direct) {
      // Its topic goes on, but a connector that is told of it no more leaves out what comes.
      if (selection.tables.empty())
        LOCKSTEP_TRY(bookkeeping_.set_files(name, heal_text(mapping.files, out_.claim.epoch)));
      continue;
    }
    if (!selection.tables.empty()) {
      LOCKSTEP_ASSIGN(std::string why, why_unlisted(source_, name));
      out_.left_out.push_back(
          {name.text(), selection.tables.front().target.text(), std::move(why)});
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
    LOCKSTEP_ASSIGN(const bool filled, has_rows(*target_, map.target));
    if (filled) continue;
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
// putting it back would hide that.  Where it is healed the next try, which takes it for a new one,
// puts it back.
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
  const bool healed = std::ranges::all_of(out_.maps, [&](const TableMap& map) {
    return map.heals() || std::ranges::find(facts.missing, map.source.name) == facts.missing.end();
  });
  if (healed)
    return wait_for(fmt::format("publication {} to cover {} again, which is compared then", name,
                                shown_list(facts.missing)));
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

// Keys of the table take other lanes from now on: what some lane has not applied all apply again.
Status Preparation::level_lanes(const TableMap& map) {
  if (manifest_.source.stream.value == StreamKind::Direct)
    return bookkeeping_.level_lanes(kDirectStream, own_stream(kDirectStream, map));
  const std::string topic =
      topic_name(manifest_.source.debezium->topic_prefix.value, map.source.name) + "/";
  std::set<std::string> streams;
  for (const StoredProgress& stored : out_.claim.progress)
    if (stored.row.stream.starts_with(topic)) streams.insert(stored.row.stream);
  for (const std::string& stream : streams) LOCKSTEP_TRY(bookkeeping_.level_lanes(stream, stream));
  return {};
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
    if (differs_in_lanes(found->second.fingerprint, map)) {
      LOCKSTEP_TRY(level_lanes(map));  // Before the fingerprint, as below.
      LOCKSTEP_TRY(bookkeeping_.set_fingerprint(map.source.name, now));
      continue;
    }
    if (!same_rule(found->second.fingerprint, now))
      return refuse(fmt::format(
          "the manifest maps {} in another way than when the migration began; "
          "that cannot change while it runs: put the rule back, or begin the migration anew",
          map.source.name.text()));
    // Before the fingerprint: a start that dies in between does both again.
    LOCKSTEP_TRY(bookkeeping_.set_files(map.source.name, copy_again_text(found->second.files)));
    LOCKSTEP_TRY(bookkeeping_.set_fingerprint(map.source.name, now));
  }
  if (fresh.empty()) return {};
  exported_.reset();  // They are younger: under a snapshot from before them they look empty.
  LOCKSTEP_TRY(refuse_filled_targets(fresh_tables));
  mark_filled(fresh);
  LOCKSTEP_TRY(outlast_transactions(context(), "tables that are new"));
  std::vector<std::pair<TableName, std::string>> marks;
  for (const StoredMapping& mapping : fresh)
    if (forgotten_.contains(mapping.source))
      marks.emplace_back(mapping.source, own_progress(mapping.source));
  return bookkeeping_.add_mappings(fresh, {}, marks);
}

}  // namespace lockstep
