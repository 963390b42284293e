#include "daemon/offline_status.h"

#include <algorithm>
#include <boost/json.hpp>
#include <map>
#include <optional>
#include <utility>
#include <vector>

#include "config/selection.h"
#include "connectors/postgres/target/bookkeeping.h"
#include "daemon/fingerprint.h"
#include "daemon/prepare.h"
#include "daemon/state_directory.h"
#include "daemon/status_json.h"
#include "daemon/steering.h"
#include "daemon/tables.h"
#include "pipeline/watch/run_status.h"

namespace lockstep {
namespace {

constexpr const char* kConnectSecondsMax = "5";

// Puts the document together from whoever answers.
class OfflineStatus {
 public:
  explicit OfflineStatus(const Manifest& manifest) : manifest_(manifest) {
    status_.phase = Phase::Stopped;
    status_.waiting_for.emplace_back("the daemon is not running: start it with lockstep run " +
                                     manifest.path);
  }

  Result<std::string> document();

 private:
  void ask_source();
  // Whether the target answered.
  Status ask_target();
  void read_last_end();
  void add_left_out();
  void add_tables(const Claim& claim);
  RunTableStatus& entry(const TableName& source);
  void add_position(const ProgressRow& row);
  std::string target_of(const TableName& source) const;
  void wait_for(std::string reason) { status_.waiting_for.push_back(std::move(reason)); }

  const Manifest& manifest_;
  RunStatus status_;
  bool target_answered_ = false;
  std::map<std::string, Position> positions_;
  std::map<TableName, RunTableStatus> tables_;
  std::string left_out_;  // The note of the last run.
  std::vector<AggregateResult> aggregates_;
};

std::string with_next_step(std::string_view reason) {
  return std::string(reason) +
         "; next: put that right and start lockstep again, or leave it out with `skip: true`";
}

// Whether the chunks leave no gap from the low end of the table to its high end.
bool cover_all(const std::vector<const ChunkMark*>& chunks) {
  if (chunks.empty() || chunks.front()->range.lower || chunks.back()->range.upper) return false;
  for (std::size_t i = 1; i < chunks.size(); ++i)
    if (chunks[i]->range.lower != chunks[i - 1]->range.upper) return false;
  return true;
}

std::string OfflineStatus::target_of(const TableName& source) const {
  const std::vector<ListedTable> listed = {{source, std::nullopt}};
  const Selection selection = select_tables(manifest_, listed);
  return selection.tables.empty() ? "" : selection.tables.front().target.text();
}

RunTableStatus& OfflineStatus::entry(const TableName& source) {
  RunTableStatus& table = tables_[source];
  if (table.table.empty()) {
    table.table = source.text();
    table.target = target_of(source);
  }
  return table;
}

// The least of all lanes: everything before it is applied.
void OfflineStatus::add_position(const ProgressRow& row) {
  const auto [found, fresh] = positions_.try_emplace(row.stream, row.position);
  if (!fresh) found->second = std::min(found->second, row.position);
}

// The source only adds estimates, and the tables of a migration that has not begun.
void OfflineStatus::ask_source() {
  PostgresOptions options = connection_options(manifest_, Side::Source, "status");
  options.keywords.emplace_back("connect_timeout", kConnectSecondsMax);
  PostgresConnection source(std::move(options));
  const auto specs = read_source_tables(source, manifest_);
  if (!specs) return wait_for(specs.error().message);
  for (const TableSpec& spec : *specs) {
    entry(spec.name).counts.rows_estimated = std::max(0.0, spec.estimated_rows);
    entry(spec.name).counts.bytes_estimated = spec.estimated_bytes;
  }
}

Status OfflineStatus::ask_target() {
  BookkeepingOptions options = bookkeeping_options(manifest_, "status");
  options.connection.keywords.emplace_back("connect_timeout", kConnectSecondsMax);
  Bookkeeping bookkeeping(std::move(options));
  const auto begun = bookkeeping.exists();
  if (!begun) {
    wait_for(begun.error().message + ": positions, chunks and debts are not known");
    return {};
  }
  if (!*begun) {
    target_answered_ = true;
    wait_for("the migration has not begun on the target");
    return {};
  }
  LOCKSTEP_ASSIGN(Claim claim, bookkeeping.read());
  target_answered_ = true;
  std::erase_if(claim.mappings,
                [](const StoredMapping& mapping) { return mapping.fingerprint == kForgotten; });
  add_tables(claim);
  return {};
}

void OfflineStatus::add_tables(const Claim& claim) {
  for (const StoredMapping& mapping : claim.mappings)
    if (RunTableStatus& table = entry(mapping.source);
        mapping.state == "stopped" && !table.counts.life.paused)
      table.stopped = with_next_step(mapping.reason);
  for (const StoredProgress& stored : claim.progress) add_position(stored.row);
  std::map<TableName, std::vector<const ChunkMark*>> chunks;
  for (const StoredChunk& chunk : claim.chunks) {
    chunks[chunk.source].push_back(&chunk.mark);
    entry(chunk.source).counts.rows_done += chunk.mark.rows;
  }
  for (const StoredMapping& mapping : claim.mappings) {
    const std::vector<const ChunkMark*>& done = chunks[mapping.source];  // In order of sequence.
    TableLife& life = entry(mapping.source).counts.life;
    if (!done.empty()) life.on(Happening::Planned);
    if (mapping.state == "copied" || cover_all(done)) life.on(Happening::Copied);
  }
  for (const StoredDebts& debts : claim.debts) {
    entry(debts.source).debts = debts.open;
    entry(debts.source).quarantined = debts.quarantined;
  }
}

void OfflineStatus::read_last_end() {
  const auto checkpoint = open_checkpoint(manifest_);
  if (!checkpoint) return wait_for(checkpoint.error().message);
  if (!*checkpoint) return;
  const auto end = (*checkpoint)->load_note(kLastEnd);
  if (!end) return wait_for(end.error().message);
  if (*end) wait_for("the last run ended " + **end);
  const auto proof = (*checkpoint)->load_note(kLastProof);
  if (!proof) return wait_for(proof.error().message);
  status_.last_run = proof->value_or("");
  const auto left_out = (*checkpoint)->load_note(kLeftOut);
  if (!left_out) return wait_for(left_out.error().message);
  const auto pauses = stored_pauses(**checkpoint);
  if (!pauses) return wait_for(pauses.error().message);
  show_pauses(*pauses, status_);
  for (const auto& [name, pause] : *pauses) {
    const auto table = table_of_held(name);
    if (!table) continue;
    RunTableStatus& held = entry(table_of(*table));
    held.stopped = pause_text(name, pause);
    held.counts.life.paused = true;
  }
  if (*left_out) left_out_ = **left_out;
  const auto aggregates = (*checkpoint)->load_note(kAggregatesNote);
  if (!aggregates) return wait_for(aggregates.error().message);
  if (*aggregates) aggregates_ = parse_results(**aggregates);
}

// Some have no rows in the bookkeeping that say why.
void OfflineStatus::add_left_out() {
  if (left_out_.empty()) return;
  boost::system::error_code broken;
  const boost::json::value note = boost::json::parse(left_out_, broken);
  if (broken || !note.is_object())
    return wait_for("note of what was left out: " + broken.message());
  for (const auto& [name, reason] : note.get_object()) {
    const auto known =
        std::ranges::find(status_.tables, std::string_view(name), &RunTableStatus::table);
    RunTableStatus& table = known != status_.tables.end() ? *known : status_.tables.emplace_back();
    table.table = name;
    if (reason.is_string())  // Younger than what the bookkeeping says.
      table.stopped = with_next_step(reason.get_string());
  }
}

Result<std::string> OfflineStatus::document() {
  read_last_end();
  ask_source();
  LOCKSTEP_TRY(ask_target());
  status_.positions.assign(positions_.begin(), positions_.end());
  for (auto& [name, table] : tables_) status_.tables.push_back(std::move(table));
  add_left_out();
  for (RunTableStatus& table : status_.tables) {
    table.counted = target_answered_;
    if (!target_answered_) continue;
    table.debts = table.debts.value_or(0);
    table.quarantined = table.quarantined.value_or(0);
  }
  return status_json({manifest_.migration.value, manifest_.path}, status_,
                     results_of(manifest_, aggregates_));
}

}  // namespace

Status note_left_out(RocksdbStore& store, const std::vector<LeftOut>& tables) {
  if (tables.empty()) return store.remove_note(kLeftOut);
  boost::json::object note;
  for (const LeftOut& table : tables) note[table.table] = table.reason;
  return store.save_note(kLeftOut, boost::json::serialize(note));
}

Result<std::string> offline_status(const Manifest& manifest) {
  return OfflineStatus(manifest).document();
}

}  // namespace lockstep
