// Which range, or which suspects, a sweep compares next.
#include <algorithm>
#include <utility>

#include "pipeline/base/rules.h"
#include "pipeline/reconcile/sweep.h"
#include "pipeline/reconcile/urgency.h"

namespace lockstep {
namespace {

using From = Compared::From;

constexpr std::chrono::seconds kIdle{1};
constexpr std::chrono::seconds kLookAtRepair{1};
constexpr std::chrono::seconds kSampleEvery{1};
constexpr std::chrono::hours kPruneEvery{1};
// Findings that are not open any more: what `repair undo` can take back.
constexpr std::chrono::hours kClosedKept{24 * 30};
constexpr std::size_t kClosedMax = 100'000;

// In which form the table's keys and compared rows are stored: a key that was an int is none of a
// bigint, and the server would take the connection for broken.
std::string stored_shape(const TableMap& map) {
  std::string shape;
  for (const std::size_t i : map.key)
    shape += map.source_column(i).name + " " + map.source_column(i).type.sql + ", ";
  shape += "of ";
  for (std::size_t i = 0; i < map.columns.size(); ++i)
    shape += map.source_column(i).name + " " + map.target_column(i).type.sql +
             (map.columns[i].plane == Plane::Text ? " as text, " : ", ");
  return shape;
}

}  // namespace

// Returns whether somebody asked since the last call.  Whether the target still has far more rows
// than the source is seen anew.
Result<bool> Sweep::take_request() {
  std::optional<std::vector<TableId>> wanted;
  {
    const MutexLock lock(mutex_);
    wanted = std::exchange(wanted_, std::nullopt);
    if (!wanted) return false;
    status_.findings.clear();
  }
  ++sweep_;
  for (auto& table : tables_) table->asked = table->in_request = false;
  for (const TableId id : *wanted) {
    Table& table = *tables_[id];
    table.begin(options_.seed + sweep_);
    if (table.orders.empty() && table.ranges.two_orders()) LOCKSTEP_TRY(table.ranges.forget());
    table.asked = table.in_request = true;
    table.ranges.ask();
    table.look_at_all();
  }
  publish();
  return true;
}

// Returns whether somebody asked for repairs since the last call.  recall() finds their tables.
bool Sweep::take_repairs() {
  const MutexLock lock(mutex_);
  if (repairs_.empty()) return false;
  for (const auto& [id, wanted] : std::exchange(repairs_, {}))
    to_repair_.insert_or_assign(id, wanted);
  return true;
}

// Keys that were changed a moment ago are looked at like suspects, but nobody waits for them. While
// the servers should be left alone, those that come are let go.
// A second's are looked at together, and one that has changed again by then is left to its range.
void Sweep::take_sample() {
  if (shared_.clock.now() < next_sample_) return;
  next_sample_ = shared_.clock.now() + kSampleEvery;
  std::vector<Sample::Key> keys = shared_.sample.take();
  if (keys.empty() || !ports_.busy().empty()) return;
  for (Sample::Key& key : keys) {
    Table& table = *tables_[key.table];
    if (!ready_[key.table] || table.suspects.size() >= options_.suspects_max) continue;
    Suspect suspect{.key = std::move(key.cells), .seen_us = shared_.clock.wall_us()};
    suspect.sampled = true;
    const Hash128 hash = key_hash(table.map, suspect.key);
    table.suspects.try_emplace(hash, std::move(suspect));
  }
}

// What an earlier run, or an earlier generation of the table, left in the store.  Ranges of another
// copy, or of nobody knows which, are due; what was found then is looked at.
Status Sweep::load(Table& table, const TableLife& life) {
  const std::string name = table.map.text();
  const std::string shape = stored_shape(table.map);
  LOCKSTEP_ASSIGN(const std::string stored, ports_.store.load_shape(name));
  if (stored != shape) LOCKSTEP_TRY(ports_.store.begin_shape(name, shape));
  LOCKSTEP_ASSIGN(const std::string copy, ports_.store.load_copy(name));
  const bool same_copy = copy == hash_text(life.stored_as);
  if (stored != shape || !same_copy) LOCKSTEP_TRY(table.ranges.forget());
  if (same_copy)
    table.copy = life.stored_as;
  else
    LOCKSTEP_TRY(note_copy(table, life.stored_as));
  LOCKSTEP_TRY(table.ranges.load(shared_.clock.wall_us()));
  if (table.asked) table.ranges.ask();
  LOCKSTEP_ASSIGN(table.open_count, ports_.store.count_open(table.map.text()));
  LOCKSTEP_TRY(fill_open(table));
  if (!same_copy) table.look_at_all();
  // What else was wrong before nobody remembers: a clean time begins anew (V10).
  table.trouble_us = shared_.clock.wall_us();
  table.loaded = true;
  return {};
}

Status Sweep::note_copy(Table& table, const Hash128& copy) {
  if (table.copy == copy) return {};
  LOCKSTEP_TRY(ports_.store.save_copy(table.map.text(), hash_text(copy)));
  table.copy = copy;
  return {};
}

// As many open findings as are remembered.
Status Sweep::fill_open(Table& table) {
  LOCKSTEP_ASSIGN(const std::vector<Finding> open,
                  ports_.store.open_findings(table.map.text(), options_.suspects_max));
  table.filled_us = shared_.clock.wall_us();
  const std::int64_t looked_us = table.asked ? 0 : table.filled_us;
  for (const Finding& finding : open)
    table.open.try_emplace(finding.key_hash,
                           Table::OpenFinding{.id = finding.id,
                                              .key = finding.key,
                                              .looked_us = looked_us,
                                              .repairing = finding.state == FindingState::Repairing,
                                              .left_alone = finding.state == FindingState::Undone});
  return {};
}

bool Sweep::is_over(const Table& table) const {
  if (!table.told.left.empty()) return true;
  if (std::ranges::any_of(table.open, [](const auto& one) { return one.second.looked_us == 0; }))
    return false;
  return table.loaded && !table.ranges.due(due_before(table), 0) && !table.ranges.busy() &&
         table.awaited_suspects() == 0;
}

void Sweep::leave(Table& table, std::string why) {
  table.told.unverified += table.awaited_suspects();
  table.suspects.clear();
  table.reread.clear();
  table.ranges.release_all();
  table.told.left = std::move(why);
  table.left_us = table.trouble_us = shared_.clock.wall_us();
}

// Whether rows of the table may be compared now.
Result<bool> Sweep::is_ready(Table& table, const TableLife& life) {
  // First, so that also of a table that has stopped it is told what was found.
  if (!table.loaded) LOCKSTEP_TRY(load(table, life));
  if (life.is_stopped()) {
    if (table.told.left.empty()) leave(table, "it has stopped: " + life.reason);
    return false;
  }
  if (!table.told.left.empty()) {
    const auto again = std::chrono::microseconds(options_.left_again).count();
    if (table.asked || shared_.clock.wall_us() - table.left_us < again) return false;
    table.told.left.clear();
  }
  if (!life.is_comparable() || table.version != life.version())
    LOCKSTEP_TRY(begin_anew(table, life));
  // Files that were stored since came with this version of the table's life, or with an older one.
  if (life.is_comparable()) LOCKSTEP_TRY(note_copy(table, life.stored_as));
  table.missed = life.is_whole() ? 0 : life.missed;
  return life.is_comparable();
}

// Never 0, which is before every range: one that was never tried is due.
std::int64_t Sweep::due_before(const Table& table) const {
  if (table.asked || table.heals()) return 1;
  if (!options_.continuous) return 0;
  const std::int64_t before =
      shared_.clock.wall_us() - std::chrono::microseconds(options_.every).count();
  return std::max<std::int64_t>(1, before);
}

// Ranges that were cut small, since servers had to bear much, are neighbours that become due one
// after another: they are one again when the first of them is.
std::int64_t Sweep::due_soon(const Table& table) const {
  constexpr int kPartOf = 16;
  if (table.asked || table.heals()) return 0;
  return std::chrono::microseconds(options_.every).count() / kPartOf;
}

// The continuous comparison has a budget, and yields.
bool Sweep::may_go_on() {
  if (!options_.continuous || shared_.clock.now() < rested()) return false;
  waits_ = ports_.busy();
  return waits_.empty();
}

Status Sweep::prune() {
  const auto now = shared_.clock.now();
  if (now < next_prune_) return {};
  next_prune_ = now + kPruneEvery;
  return ports_.store.prune(
      shared_.clock.wall_us() - std::chrono::microseconds(kClosedKept).count(), kClosedMax);
}

// Suspects in turn with ranges, and of these first what somebody waits for.
Result<Sweep::Step> Sweep::pick() {
  LOCKSTEP_TRY(prune());
  LOCKSTEP_ASSIGN(const bool asked_now, take_request());
  const bool repair_now = take_repairs();
  if (!asked_now && !repair_now && shared_.clock.now() < idle_until_) return Step::Done;
  ready_.assign(tables_.size(), false);
  bool open = false;
  bool urgent = false;  // Somebody waits.
  held_back_ = 0;
  for (std::size_t id = 0; id < tables_.size(); ++id) {
    Table& table = *tables_[id];
    LOCKSTEP_ASSIGN(const bool now, is_ready(table, shared_.board.life(static_cast<TableId>(id))));
    ready_[id] = now;
    if (now) LOCKSTEP_TRY(recall(table));
    if (table.asked && is_over(table)) {
      table.told.over = true;
      table.asked = false;
      tell(table);
      table.answer = table.told;
    }
    if (now && table.heals() && (is_over(table) || !rule_on(Rule::HealComparesAll)))
      LOCKSTEP_TRY(end_heal(static_cast<TableId>(id)));
    urgent = urgent || table.asked || (now && table.heals());
    open = open || !table.suspects.empty();
  }
  take_sample();
  std::optional<std::size_t> suspects;
  std::optional<std::size_t> range;
  if (shared_.clock.now() >= next_look_)
    suspects = next_table([&](const Table& table) {
      return urgent ? table.awaited_suspects() > 0 : !table.suspects.empty();
    });
  if (urgent || may_go_on())
    range = next_table([&](const Table& table) {
      const bool may = (table.asked || table.heals() || !urgent) &&
                       table.suspects.size() <= options_.suspects_max;
      return may ? urgency(table) : 0;
    });
  // In turn: rows that stay in doubt, and proofs that take long, keep nobody else from being read.
  if (suspects && (suspects_turn_ || !range)) {
    suspects_turn_ = false;
    pick_suspects(*suspects);
    return Step::Working;
  }
  suspects_turn_ = true;
  if (range) return pick_range(*range);
  publish();
  if (open || urgent) return Step::Waiting;
  // Thousands of tables are not asked in vain ten times a second.
  const auto now = shared_.clock.now();
  const auto next_range = rested();
  idle_until_ = std::clamp(next_range, now, now + kIdle);
  if (next_range <= now) idle_until_ = now + kIdle;
  return Step::Done;
}

// The table that needs it most; of those that need it as much, in turn.
template <typename Need>
std::optional<std::size_t> Sweep::next_table(Need need) {
  std::optional<std::size_t> next;
  double most = 0;
  for (std::size_t i = 1; i <= tables_.size(); ++i) {
    const std::size_t id = (last_table_ + i) % tables_.size();
    const double its = ready_[id] ? static_cast<double>(need(*tables_[id])) : 0;
    if (its <= most) continue;
    next = id;
    most = its;
  }
  if (next) last_table_ = *next;
  return next;
}

// Of the table's next range; 0: none is due.
double Sweep::urgency(const Table& table) const {
  const auto due = table.ranges.due(due_before(table), options_.chunk_rows);
  if (!due) return 0;
  const std::uint64_t changes = shared_.board.status(table.map.id).events_applied;
  return due->urgency * change_factor(changes, table.ranges.coverage(From::Source).rows());
}

// Open findings are looked at again now and then: somebody may have put the row right.  Of many, no
// more at a time than one look takes, and each more rarely: ranges have their turn, too.
Status Sweep::recall(Table& table) {
  const std::int64_t now_us = shared_.clock.wall_us();
  const auto ago = [&](const Table::OpenFinding& finding) {
    return std::chrono::microseconds(now_us - finding.looked_us);
  };
  if (2 * table.open.size() < std::min<std::uint64_t>(table.open_count, options_.suspects_max) &&
      table.filled_us < now_us - std::chrono::microseconds(options_.look_every).count())
    LOCKSTEP_TRY(fill_open(table));
  const auto every = options_.look_every * (1 + table.open.size() / options_.keys_max);
  std::size_t recalled = 0;
  if (!table.open.empty())
    recalled = static_cast<std::size_t>(std::ranges::count_if(
        table.suspects, [](const auto& one) { return one.second.ranges.empty(); }));
  for (auto& [hash, finding] : table.open) {
    if (const auto asked = to_repair_.find(finding.id); asked != to_repair_.end()) {
      if (budget_.take(shared_.clock.now())) {
        finding.asked = asked->second;
        finding.looked_us = 0;
        to_repair_.erase(asked);
      } else {
        ++held_back_;
      }
    }
    const bool awaited =
        finding.looked_us == 0 || (finding.repairing && ago(finding) > kLookAtRepair);
    const bool in_turn =
        options_.continuous && recalled < options_.keys_max && ago(finding) > every;
    if (!(awaited || in_turn) || table.suspects.size() >= options_.suspects_max) continue;
    finding.looked_us = now_us;
    const bool fresh =
        table.suspects.try_emplace(hash, Suspect{.key = finding.key, .seen_us = now_us}).second;
    recalled += fresh ? 1 : 0;
  }
  return {};
}

Sweep::Work Sweep::work_on(std::size_t id) const {
  Work work;
  work.table = static_cast<TableId>(id);
  work.version = tables_[id]->version;
  work.begun = shared_.clock.now();
  return work;
}

void Sweep::pick_suspects(std::size_t id) {
  Table& table = *tables_[id];
  if (!table.compared) table.compared.emplace(table.map, table.seed);
  work_ = work_on(id);
  state_ = State::Opening;
  if (pick_busy(table)) return;
  // Those that may be found come with their rows, and so not many at a time: the two in turn.
  const auto may = static_cast<std::size_t>(std::ranges::count_if(
      table.suspects, [this](const auto& one) { return may_be_found(one.second); }));
  const bool both = may > 0 && may < table.suspects.size();
  work_.keeps_rows = both ? table.found_next : may > 0;
  if (both) table.found_next = !table.found_next;
  const std::size_t most = work_.keeps_rows ? options_.keys_max : many_keys(table.map);
  for (const auto& [hash, suspect] : table.suspects) {
    if (may_be_found(suspect) != work_.keeps_rows) continue;
    work_.keys.push_back(suspect.key);
    if (work_.keys.size() >= most) break;
  }
}

std::size_t Sweep::many_keys(const TableMap& map) const {
  return std::min(options_.many_keys_max, ChunkReader::kKeyCellsMax / map.key.size());
}

// The position that it is said to be compared at is that of a proof from before S: what is applied
// is visible in S (I5), while a commit whose record lies before S may not be.
Result<Sweep::Step> Sweep::pick_range(std::size_t id) {
  const Lsn position = ports_.applied_through();
  if (position == 0) {
    if (proof_ == 0) proof_ = ports_.prove(ProofOf::Stream);
    return Step::Waiting;
  }
  Table& table = *tables_[id];
  if (table.chunk_rows == 0) table.chunk_rows = options_.chunk_rows;
  if (!table.compared) table.compared.emplace(table.map, table.seed);
  work_ = work_on(id);
  work_.position = position;
  auto form = next_form(table);
  if (!form) return give_up(std::move(form).error());
  work_.form = std::move(*form);
  const std::uint64_t rows = rows_wanted(table);
  work_.rows_wanted = rows;
  const auto due = table.ranges.due(due_before(table), rows, due_soon(table));
  work_.range = due->range;
  work_.order = due->order;
  work_.by_key = table.ranges.two_orders();
  if (work_.form) {
    work_.cutting = cutting_of(table, *due, rows);
    state_ = State::Cutting;
    return Step::Working;
  }
  auto found = cut(table, *due, rows);
  if (!found) return give_up(std::move(found).error());
  return take_range(std::move(*found));
}

// What comes after `cut` is another range.
Result<Sweep::Step> Sweep::take_range(std::optional<std::string> cut) {
  auto taken = tables_[work_.table]->ranges.take(work_.order, work_.range, cut);
  if (!taken) {
    const bool of_table = taken.error().reaction == Reaction::StopTable;
    return of_table ? give_up(std::move(taken).error()) : fail(std::move(taken).error());
  }
  work_.range_id = *taken;
  if (cut) work_.range.upper = std::move(cut);
  state_ = State::Opening;
  return Step::Working;
}

// Of the range that is next, or is compared.  Digested rows take little time and no memory.
std::uint64_t Sweep::rows_max(const Table& table) const {
  const bool more = work_.form && (table.asked || table.heals());
  return more ? std::max(options_.chunk_rows, options_.digested_rows_max) : options_.chunk_rows;
}

// Of the range that is next.  While the servers have to bear much, ranges that nobody waits for are
// smaller, so that they are soon at their end; no smaller than that what each of them costs by
// itself, a proof among it, is little.
std::uint64_t Sweep::rows_wanted(const Table& table) const {
  constexpr double kLeast = 1.0 / 8;
  const std::uint64_t rows = std::min(table.chunk_rows, rows_max(table));
  if (table.asked || table.heals()) return rows;
  const double share = std::max(kLeast, ports_.share());
  return std::max(std::min(options_.chunk_rows_min, rows),
                  static_cast<std::uint64_t>(static_cast<double>(rows) * share));
}

// Where a range ends that has more rows, as the server says whose order it is of.  One that is
// known stays whole until it has twice as many as a new one.
Result<std::optional<std::string>> Sweep::cut(const Table& table, const RangeBook::Due& due,
                                              std::uint64_t rows) {
  std::optional<std::string> cut;
  for (const std::uint64_t most : {2 * rows, rows}) {
    if (most != rows && !due.known) continue;
    LOCKSTEP_ASSIGN(
        cut, reader_of(due.order).bound_after(table.compared->view(due.order), due.range, most));
    if (!cut) break;
  }
  return cut;
}

// A range has half as many rows when the last one took much more time, and up to eight times as
// many when it took much less, but for one that had few rows: the last of a table says nothing.
void Sweep::steer(Table& table, std::uint64_t rows) const {
  constexpr std::int64_t kMost = 8;
  constexpr std::chrono::steady_clock::duration kTick{1};
  const auto took = shared_.clock.now() - work_.read_begun;
  if (took > 2 * options_.chunk_aim)
    table.chunk_rows = std::max(std::min(options_.chunk_rows_min, options_.chunk_rows),
                                std::min(table.chunk_rows, rows_max(table)) / 2);
  else if (2 * took < options_.chunk_aim && 2 * rows >= table.chunk_rows)
    table.chunk_rows = std::min(
        rows_max(table),
        static_cast<std::uint64_t>(std::min(kMost, options_.chunk_aim / std::max(took, kTick))) *
            table.chunk_rows);
}

// After a range that nobody waits for: the servers are for others first.
void Sweep::rest(const Table& table, std::uint64_t rows) {
  if (table.asked || table.heals()) return;
  const auto now = shared_.clock.now();
  last_range_ = {.ended = now, .took = now - work_.begun, .rows = rows, .bytes = work_.bytes};
}

// When the next range may begin, by what counts now: a server that has become calm is not waited
// for as long as one that had to bear much.
std::chrono::steady_clock::time_point Sweep::rested() const {
  constexpr double kThrottledMax = 10;  // A range that had to wait for its proof worked for less.
  constexpr double kMax = 86'400;
  const double took = last_range_.took.count();
  double seconds = took * (1 / options_.share - 1);
  seconds += std::min(took * (1 / ports_.share() - 1), kThrottledMax);
  const auto limited = [&](std::uint64_t amount, std::uint64_t limit) {
    if (limit == 0) return;
    seconds = std::max(seconds, static_cast<double>(amount) / static_cast<double>(limit) - took);
  };
  limited(last_range_.rows, ports_.rows_per_second());
  limited(last_range_.bytes, ports_.bytes_per_second());
  return last_range_.ended + std::chrono::duration_cast<std::chrono::steady_clock::duration>(
                                 std::chrono::duration<double>(std::min(seconds, kMax)));
}

}  // namespace lockstep
