// What becomes of a row that is not equal, and of one that is again.
#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "pipeline/apply/route.h"
#include "pipeline/reconcile/cause.h"
#include "pipeline/reconcile/sweep.h"

namespace lockstep {
namespace {

// The write that takes a repair back comes within this time, or not at all.
constexpr std::chrono::seconds kUndoTakes{60};

}  // namespace

// What was found before and is equal now.
Status Sweep::resolve(Table& table, const Hash128& key) {
  if (table.open_count == 0) return {};
  LOCKSTEP_ASSIGN(std::optional<Finding> known, ports_.store.find(table.map.text(), key));
  const bool open = known && is_open(known->state);
  // What takes a repair back is noted before it is done.
  if (open && known->state == FindingState::Undone &&
      shared_.clock.wall_us() - known->state_since_us <
          std::chrono::microseconds(kUndoTakes).count())
    return {};
  table.open.erase(key);
  if (!open) return {};
  const bool ours = known->state == FindingState::Repairing;
  known->become(ours ? FindingState::Repaired : FindingState::Resolved, shared_.clock.wall_us());
  if (ours) ++table.told.repaired;
  --table.open_count;
  LOCKSTEP_ASSIGN([[maybe_unused]] const std::uint64_t id, ports_.store.save_finding(*known));
  return {};
}

// The table is copied again: its findings are of rows that are gone, and maybe of another key.
Status Sweep::resolve_all(Table& table) {
  while (table.open_count > 0) {
    LOCKSTEP_ASSIGN(std::vector<Finding> open,
                    ports_.store.open_findings(table.map.text(), options_.suspects_max));
    for (Finding& finding : open) {
      finding.become(FindingState::Resolved, shared_.clock.wall_us());
      LOCKSTEP_ASSIGN([[maybe_unused]] const std::uint64_t id, ports_.store.save_finding(finding));
    }
    table.open_count =
        open.empty() ? 0 : table.open_count - std::min(table.open_count, open.size());
  }
  table.open.clear();
  return {};
}

Status Sweep::find(Table& table, const Suspect& suspect, Finding seen) {
  if (seen.kind == FindingKind::ExtraInTarget && table.map.keeps_rows()) {
    ++table.told.kept;
    return {};
  }
  seen.table = table.map.text();
  seen.key = suspect.key;
  seen.key_hash = key_hash(table.map, suspect.key);
  seen.position = reading_.insert_lsn();
  seen.first_seen_us = suspect.seen_us;
  seen.last_seen_us = table.trouble_us = shared_.clock.wall_us();
  if (!seen.source_row.empty() && !seen.target_row.empty()) {
    seen.columns = unequal_columns(table.map, seen.source_row, seen.target_row);
    seen.cause = cause_of(table.map, seen.source_row, seen.target_row);
  }
  if (!seen.target_row.empty()) {
    LOCKSTEP_ASSIGN(seen.writer,
                    ports_.owed.writer(table.compared->view(Compared::From::Target), seen.key));
  }
  for (std::string* row : {&seen.source_row, &seen.target_row})
    if (row->size() > options_.row_bytes_max) row->clear();
  return keep(table, std::move(seen));
}

// One that came to no end, such as of a row that the target refuses.
Status Sweep::end_repair(Table& table, const Hash128& key) {
  LOCKSTEP_ASSIGN(std::optional<Finding> known, ports_.store.find(table.map.text(), key));
  if (!known || known->state != FindingState::Repairing) return {};
  known->last_seen_us = shared_.clock.wall_us();
  known->become(FindingState::Open, known->last_seen_us);
  ++table.told.failed;
  LOCKSTEP_ASSIGN([[maybe_unused]] const std::uint64_t id, ports_.store.save_finding(*known));
  return {};
}

// Writes a finding down and, where it is to be repaired, has its row read again.
Status Sweep::keep(Table& table, Finding finding) {
  LOCKSTEP_ASSIGN(const std::optional<Finding> known,
                  ports_.store.find(finding.table, finding.key_hash));
  const bool open = known && is_open(known->state);
  if (known) keep_known_writer(finding.writer, known->writer);
  finding.state_since_us = finding.last_seen_us;
  if (open) {
    finding.id = known->id;
    finding.first_seen_us = known->first_seen_us;
    finding.state = known->state;
    finding.state_since_us = known->state_since_us;
    if (known->state == FindingState::Undone) {
      finding.cause = "its repair was taken back";
      finding.writer = {};  // Whose transaction that was is not known here.
    } else {
      finding.become(FindingState::Open, finding.last_seen_us);
    }
  } else {
    ++table.open_count;
    table.unequal -= std::min<std::uint64_t>(table.unequal, 1);
  }
  if (open && known->state == FindingState::Repairing) ++table.told.failed;
  if (may_repair(table, open ? *known : finding, finding))
    finding.become(FindingState::Repairing, finding.last_seen_us);
  LOCKSTEP_ASSIGN(finding.id, ports_.store.save_finding(finding));
  const bool repairing = finding.state == FindingState::Repairing;
  const auto was = table.open.find(finding.key_hash);
  const auto asked = was == table.open.end() ? std::nullopt : was->second.asked;
  const bool alone = asked && asked->scope != RepairScope::All;
  if (repairing)
    owe(table, {&finding.key, 1}, alone ? DebtReason::DivergentAlone : DebtReason::Divergent);
  if (repairing && !asked) ++table.repairs;
  const bool left_alone =
      finding.state == FindingState::Undone || accepted_.contains(finding.key_hash);
  if (!left_alone) table.unrest_us = finding.last_seen_us;
  if (table.open.size() < options_.suspects_max)
    table.open[finding.key_hash] = {.id = finding.id,
                                    .key = finding.key,
                                    .looked_us = finding.last_seen_us,
                                    .repairing = repairing,
                                    .left_alone = left_alone};
  if (table.asked && !table.told_of.insert(finding.key_hash).second) return {};
  ++table.told.findings;
  if (finding.kind == FindingKind::MissingInTarget) ++table.told.missing;
  if (!table.asked) return {};
  finding.source_row.clear();
  finding.target_row.clear();
  const MutexLock lock(mutex_);
  if (status_.findings.size() < options_.findings_max)
    status_.findings.push_back(std::move(finding));
  return {};
}

// Somebody has seen the target's row as it was found then, and maybe long before he is heard, since
// the budget holds repairs back: he did not say what becomes of another one.
bool Sweep::may_repair(const Table& table, const Finding& known, const Finding& now) {
  const auto open = table.open.find(now.key_hash);
  // Of a row that is too large to be kept nobody can tell whether it is the same.
  const bool kept = now.kind == FindingKind::MissingInTarget || !now.target_row.empty();
  if (open != table.open.end() && open->second.asked)
    return kept && seen_as(now) == open->second.asked->seen &&
           is_in_scope(now.kind, open->second.asked->scope);
  // What our own repair did not mend is left to a person, until the next look at it.
  if (!options_.repairs || known.state != FindingState::Open) return false;
  if (accepted_.contains(now.key_hash)) return false;
  return repairs_wait(table).empty() && budget_.take(shared_.clock.now());
}

// What was repaired since all was equal counts, too: a mistake of the mapping has no end.  So does
// what is about to be found: of many rows the first would be repaired, else.
std::string Sweep::repairs_wait(const Table& table) const {
  if (!options_.repairs || table.open_count == 0) return {};
  const auto rows = static_cast<double>(table.ranges.coverage(Compared::From::Source).rows());
  const double most = std::max(1.0, rows * options_.repair_share_max);
  const std::uint64_t open = table.open_count - std::min(table.left_alone, table.open_count);
  const std::uint64_t wrong = open + table.repairs + table.unequal;
  if (static_cast<double>(wrong) <= most && wrong <= options_.repair_rows_max) return {};
  return fmt::format("{} rows are not equal or were repaired of late, more than {} % or {}", wrong,
                     100 * options_.repair_share_max, options_.repair_rows_max);
}

Status Sweep::take_marks() {
  std::vector<FindingMark> marks;
  {
    const MutexLock lock(mutex_);
    marks.swap(marks_);
  }
  for (const FindingMark& mark : marks) {
    const bool undone = mark.to == FindingState::Undone;
    LOCKSTEP_ASSIGN(std::optional<Finding> finding, ports_.store.find(mark.finding));
    const FindingState from = undone ? FindingState::Repaired : FindingState::Undone;
    if (!finding || finding->state != from) continue;
    finding->become(mark.to, shared_.clock.wall_us());
    if (undone) finding->last_seen_us = finding->state_since_us;
    LOCKSTEP_ASSIGN([[maybe_unused]] const std::uint64_t id, ports_.store.save_finding(*finding));
    for (const auto& table : tables_)
      if (table->loaded && table->map.text() == finding->table) note_mark(*table, *finding);
  }
  return {};
}

void Sweep::note_mark(Table& table, const Finding& finding) const {
  if (finding.state == FindingState::Undone) {
    ++table.open_count;
    table.trouble_us = finding.last_seen_us;
    if (table.open.size() < options_.suspects_max)
      table.open[finding.key_hash] = {.id = finding.id,
                                      .key = finding.key,
                                      .looked_us = finding.last_seen_us,
                                      .left_alone = true};
  } else if (table.open_count > 0) {
    --table.open_count;
    table.open.erase(finding.key_hash);
  }
}

// Debts, which outlive us: each row is read again under a newer snapshot and written in its lane,
// behind what is applied and before what comes.  A few at a time: a lane has changes to apply, too.
void Sweep::owe(const Table& table, std::span<const std::string> keys, DebtReason reason) {
  const auto lanes = static_cast<std::uint32_t>(shared_.queues.size());
  std::vector<OweItem> items(lanes);
  const auto push = [&](std::uint32_t lane) {
    OweItem item = std::exchange(items[lane], {});
    item.table = &table.map;
    item.reason = reason;
    LaneItem queued = std::move(item);
    const std::size_t bytes = item_bytes(queued);
    // A queue that is closing takes nothing: what differs is found again by the next run.
    shared_.queues[lane]->push(std::move(queued), bytes);
  };
  for (const std::string& key : keys) {
    const Hash128 hash = key_hash(table.map, key);
    const std::uint32_t lane = lane_of(table.map, hash, lanes);
    items[lane].keys.add(key);
    items[lane].hashes.push_back(hash);
    if (items[lane].hashes.size() == options_.keys_max) push(lane);
  }
  for (std::uint32_t lane = 0; lane < lanes; ++lane)
    if (!items[lane].hashes.empty()) push(lane);
}

void Sweep::mark(FindingMark mark) {
  const MutexLock lock(mutex_);
  marks_.push_back(mark);
}

}  // namespace lockstep
