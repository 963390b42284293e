// Sweep: tables that are healed.  What differs is read from the source again at once, and needs no
// debt: the range is not compared until it is equal, and a heal that dies goes on with what is not.
#include <algorithm>
#include <utility>

#include "pipeline/base/rules.h"
#include "pipeline/reconcile/sweep.h"

namespace lockstep {

// What was compared was of rows that are gone, or may have changed since.  But the ranges of a heal
// that another process began are of this one, too: what was missed then, and no more, is missed
// now.  That is noted once no older range is known, and until the heal is over.  What it has found
// stays found, since ranges that were compared are not compared again: those rows are looked at.
Status Sweep::begin_anew(Table& table, const TableLife& life) {
  const std::string name = table.map.text();
  const bool heals = life.is_comparable() && !life.is_whole();
  const Hash128 as = life.missed_as;
  const std::string missed = as == Hash128() ? "" : hash_text(as);
  bool goes_on = false;
  if (heals && !missed.empty() && life.generation == 0) {
    LOCKSTEP_ASSIGN(const std::string noted, ports_.store.load_heal(name));
    goes_on = noted == missed;
  }
  if (goes_on)
    table.ranges.release_all();
  else if (table.ranges.any_known() || table.ranges.busy())
    LOCKSTEP_TRY(table.ranges.forget());
  if (heals && !goes_on) LOCKSTEP_TRY(ports_.store.save_heal(name, missed));
  if (table.asked) table.ranges.ask();
  if (goes_on)
    table.look_at_all();
  else
    LOCKSTEP_TRY(resolve_all(table));
  table.suspects.clear();
  table.reread.clear();
  table.version = life.version();
  table.undecided = 0;
  return {};
}

// Every range was compared, but for rows that are owed.
Status Sweep::end_heal(TableId id) {
  Table& table = *tables_[id];
  if (!table.told.left.empty()) return {};
  table.reread.clear();
  if (std::exchange(table.undecided, 0) > 0) {
    table.ranges.ask();
    return {};
  }
  LOCKSTEP_TRY(ports_.store.save_heal(table.map.text(), ""));
  shared_.board.healed(id, table.missed);
  return {};
}

// Where thousands of its keys differ a range is compared again once they are written: to look at
// each of them takes longer.  Once, since what that does not cure is found key by key.
bool Sweep::reread_as_a_whole(Table& table) {
  if (to_reread_.size() <= options_.keys_max) return false;
  if (!table.reread.insert({work_.order, work_.range.lower}).second) return false;
  table.ranges.released(std::exchange(work_.range_id, 0));
  return true;
}

Sweep::Step Sweep::begin_reread() {
  const TableLife life = shared_.board.life(heals_);
  if (!life.is_comparable() || life.version() != tables_[heals_]->version) {
    to_reread_.clear();  // Whatever it is by now is compared anew.
    return Step::Working;
  }
  work_ = work_on(heals_);
  work_.rereads = true;
  retake_ = false;
  state_ = State::Opening;
  return Step::Working;
}

// As many keys as a statement may name, under the snapshot that is open.
Result<Sweep::Step> Sweep::start_reread() {
  const TableMap& map = tables_[heals_]->map;
  const std::size_t end = std::min(to_reread_.size(), work_.reread + many_keys(map));
  std::vector<WantedKey> keys;
  for (; work_.reread < end; ++work_.reread) {
    const std::string& cells = to_reread_[work_.reread];
    keys.push_back({.cells = cells, .hash = key_hash(map, cells)});
  }
  if (Status started = rereading_.start(map, std::move(keys)); !started)
    return give_up(std::move(started).error());
  state_ = State::Rereading;
  return Step::Working;
}

Result<Sweep::Step> Sweep::reread() {
  auto piece = rereading_.read(options_.piece_bytes);
  if (!piece) return give_up(std::move(piece).error());
  tables_[heals_]->told.source_bytes += piece->bytes;
  if (piece->more) return Step::Working;
  if (work_.reread < to_reread_.size()) return start_reread();
  reading_.end_reading();  // The snapshot stays registered until the lanes have let go of its rows.
  state_ = State::Landing;
  return Step::Working;
}

// Where something fails, or could not be judged, all are read once more: what was not written,
// later looks would take for what this does not cure.  A row that a newer change made void is as
// that says.
Result<Sweep::Step> Sweep::land() {
  const bool landed =
      reading_.drained([this](const LaneReport& report) { retake_ = retake_ || report.retake; });
  if (!landed) return Step::Waiting;
  if (!retake_) to_reread_.clear();
  finish();
  return Step::Working;
}

}  // namespace lockstep
