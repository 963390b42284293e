// What becomes of a row that is not equal, and of one that is again.
#include <algorithm>
#include <utility>

#include "pipeline/apply/route.h"
#include "pipeline/reconcile/cause.h"
#include "pipeline/reconcile/sweep.h"

namespace lockstep {
namespace {

// The names of the columns whose cells differ.
std::vector<std::string> unequal_columns(const TableMap& map, std::string_view a,
                                         std::string_view b) {
  std::vector<std::string> names;
  CellReader left(a);
  CellReader right(b);
  for (std::size_t i = 0; i < map.columns.size(); ++i)
    if (left.next() != right.next()) names.push_back(map.source_column(i).name);
  return names;
}

}  // namespace

// What was found before and is equal now.
Status Sweep::resolve(Table& table, const Hash128& key) {
  if (table.open_count == 0) return {};
  table.open.erase(key);
  LOCKSTEP_ASSIGN(std::optional<Finding> known, ports_.store.find(table.map.text(), key));
  if (!known || !is_open(known->state)) return {};
  const bool ours = known->state == FindingState::Repairing;
  known->state = ours ? FindingState::Repaired : FindingState::Resolved;
  if (ours) ++table.told.repaired;
  --table.open_count;
  LOCKSTEP_ASSIGN([[maybe_unused]] const std::uint64_t id, ports_.store.save_finding(*known));
  return {};
}

// `source`, `target`: the compared cells; "" where there is no such row.
Status Sweep::find(Table& table, const Suspect& suspect, std::string source, std::string target) {
  Finding finding;
  finding.table = table.map.text();
  finding.key = suspect.key;
  finding.key_hash = key_hash(table.map, suspect.key);
  finding.kind = target.empty()   ? FindingKind::MissingInTarget
                 : source.empty() ? FindingKind::ExtraInTarget
                                  : FindingKind::Differing;
  finding.position = reading_.insert_lsn();
  finding.first_seen_us = suspect.seen_us;
  finding.last_seen_us = table.trouble_us = shared_.clock.wall_us();
  if (finding.kind == FindingKind::Differing)
    finding.columns = unequal_columns(table.map, source, target);
  finding.cause = cause_of(table.map, source, target);
  if (source.size() <= options_.row_bytes_max) finding.source_row = std::move(source);
  if (target.size() <= options_.row_bytes_max) finding.target_row = std::move(target);
  return keep(table, std::move(finding));
}

// Writes a finding down and, where it is to be repaired, has its row read again.
Status Sweep::keep(Table& table, Finding finding) {
  LOCKSTEP_ASSIGN(const std::optional<Finding> known,
                  ports_.store.find(finding.table, finding.key_hash));
  const bool open = known && is_open(known->state);
  if (open) {
    finding.id = known->id;
    finding.first_seen_us = known->first_seen_us;
  } else {
    ++table.open_count;
  }
  if (open && known->state == FindingState::Repairing) ++table.told.failed;
  if (may_repair(table, open ? *known : finding, finding)) finding.state = FindingState::Repairing;
  LOCKSTEP_ASSIGN(finding.id, ports_.store.save_finding(finding));
  if (finding.state == FindingState::Repairing) owe(table, finding);
  if (table.open.size() < options_.suspects_max)
    table.open[finding.key_hash] = {finding.id, finding.key, finding.last_seen_us, false,
                                    finding.state == FindingState::Repairing};
  ++table.told.findings;
  if (table.asked_us == 0) return {};
  finding.source_row.clear();
  finding.target_row.clear();
  const MutexLock lock(mutex_);
  if (status_.findings.size() < options_.findings_max)
    status_.findings.push_back(std::move(finding));
  return {};
}

// Somebody has seen the target's row as it was found: he did not say what becomes of another one.
bool Sweep::may_repair(const Table& table, const Finding& known, const Finding& now) const {
  const auto open = table.open.find(now.key_hash);
  if (open != table.open.end() && open->second.repair)
    return known.kind == now.kind && known.target_row == now.target_row;
  // What our own repair did not mend is left to a person, until the next look at it.
  if (!options_.repairs || known.state == FindingState::Repairing) return false;
  const auto rows = static_cast<double>(table.ranges.coverage().rows());
  const double most = std::max(1.0, rows * options_.repair_share_max);
  return static_cast<double>(table.open_count) <= most &&
         table.open_count <= options_.repair_rows_max;
}

// A debt, which outlives us: its row is read again under a newer snapshot and written in its lane,
// behind what is applied and before what comes.
void Sweep::owe(const Table& table, const Finding& finding) {
  OweItem item;
  item.table = &table.map;
  item.keys.add(finding.key);
  item.hashes.push_back(finding.key_hash);
  item.reason = DebtReason::Divergent;
  const auto lanes = static_cast<std::uint32_t>(shared_.queues.size());
  LaneItem queued = std::move(item);
  const std::size_t bytes = item_bytes(queued);
  // A queue that is closing takes nothing: the finding stays, and is looked at by the next run.
  shared_.queues[lane_of(table.map, finding.key_hash, lanes)]->push(std::move(queued), bytes);
}

}  // namespace lockstep
