#include "pipeline/reconcile/sweep.h"

#include <algorithm>
#include <numeric>
#include <utility>

#include "pipeline/apply/route.h"
#include "pipeline/base/rules.h"

namespace lockstep {

using From = Compared::From;

Sweep::Sweep(SweepOptions options, Shared shared, SweepPorts ports)
    : options_(options),
      shared_(shared),
      ports_(std::move(ports)),
      reading_(ports_.source, shared),
      tables_(shared.tables.size()),
      budget_(options_.repairs_per_minute) {
  for (std::size_t id = 0; id < tables_.size(); ++id) {
    tables_[id] = std::make_unique<Table>(*shared_.tables[id], ports_.store);
    tables_[id]->begin(options_.seed);
  }
}

void Sweep::Table::begin(std::uint64_t with_seed) {
  seed = with_seed;
  compared.reset();
  ranges.release_all();
  too_large = 0;
  suspects.clear();
  told_of.clear();
  told = {};
  told_changes = 0;
}

void Sweep::Table::count_left_alone() {
  left_alone = static_cast<std::uint64_t>(
      std::ranges::count_if(open, [](const auto& finding) { return finding.second.left_alone; }));
}

void Sweep::Table::look_at_all() {
  for (auto& [hash, finding] : open) finding.looked_us = 0;
}

std::size_t Sweep::Table::awaited_suspects() const {
  return static_cast<std::size_t>(std::ranges::count_if(
      suspects, [](const auto& suspect) { return !suspect.second.is_chance(); }));
}

void Sweep::begin(std::vector<TableId> tables) {
  const MutexLock lock(mutex_);
  wanted_ = std::move(tables);
  status_.running = true;
}

void Sweep::repair(WantedRepairs wanted) {
  const MutexLock lock(mutex_);
  for (const auto& [id, one] : wanted) repairs_.insert_or_assign(id, one);
}

void Sweep::Rows::clear() {
  digests.clear();
  keys.clear();
  cells.clear();
  cell_bytes = 0;
}

// By key hash, which orders both sides alike, whatever their collations say.
void Sweep::Rows::sort() {
  std::vector<std::size_t> order(digests.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::ranges::sort(order, {}, [&](std::size_t i) { return digests[i].key; });
  Rows sorted;
  for (const std::size_t i : order) {
    sorted.digests.push_back(digests[i]);
    sorted.keys.push_back(std::move(keys[i]));
    if (!cells.empty()) sorted.cells.push_back(std::move(cells[i]));
  }
  *this = std::move(sorted);
}

Result<Sweep::Step> Sweep::step() {
  follow_clock();
  LOCKSTEP_TRY(take_marks());
  if (state_ != State::Idle && shared_.board.stopped(work_.table)) finish();
  switch (state_) {
    case State::Idle:
      return to_reread_.empty() ? pick() : begin_reread();
    case State::Cutting: {
      auto stepped = cut_in_parts();
      return stepped ? stepped : give_up(std::move(stepped).error());
    }
    case State::Opening:
      return open();
    case State::Proving:
      return prove();
    case State::Digests:
      return digest();
    case State::Both:
      return read_both();
    case State::Source:
      return read_side(From::Source);
    case State::Target:
      return read_side(From::Target);
    case State::Rereading:
      return reread();
    case State::Landing:
      return land();
  }
  CHECK(false);
  return Step::Done;
}

// ---------------------------------------------------------------- both sides are read

Result<Sweep::Step> Sweep::open() {
  const Table& table = *tables_[work_.table];
  if (!reading_.is_open()) shared_.rereads.watch(work_.table);
  auto ready =
      work_.held ? prepare_held()
                 : reading_.prepare(work_.rereads ? table.map : table.compared->view(From::Source));
  if (!ready) return give_up(std::move(ready).error());
  if (*ready == Reading::Ready::Accepted) {
    // Of a key that was found unequal before, the tables' own changes may be the reason (V7).
    if (!work_.held && !work_.rereads)
      proof_ = ports_.prove(work_.keys.empty() ? ProofOf::Stream : ProofOf::Tables);
    return Step::Working;
  }
  if (*ready != Reading::Ready::Yes) return Step::Waiting;
  if (work_.rereads) return start_reread();
  work_.read_begun = shared_.clock.now();
  if (work_.by_key && work_.order == From::Target) {
    state_ = State::Proving;
    return Step::Working;
  }
  if (work_.form) {
    if (Status started = start_digest(ports_.source, From::Source); !started)
      return give_up_digests(std::move(started).error());
    state_ = State::Digests;
    return Step::Working;
  }
  if (Status started = start(ports_.source, From::Source); !started)
    return give_up(std::move(started).error());
  source_rows_.clear();
  state_ = work_.keys.empty() && !work_.by_key ? State::Both : State::Source;
  return Step::Working;
}

Status Sweep::start(ChunkReader& reader, From side) {
  const TableMap& view = tables_[work_.table]->compared->view(side);
  return work_.keys.empty() ? reader.start_range(view, work_.range)
                            : reader.start_keys(view, work_.keys);
}

// Returns whether there is more.
Result<bool> Sweep::read(ChunkReader& reader, From side, Rows& rows) {
  const Compared& compared = *tables_[work_.table]->compared;
  RowBatch batch;
  LOCKSTEP_ASSIGN(const bool more, reader.read(batch, options_.piece_bytes));
  for (std::size_t i = 0; i < batch.rows(); ++i) {
    RowDigest digest;
    if (!compared.digest(side, batch.row(i), digest, scratch_))
      return fail(Reaction::StopTable, "a row's key is NULL");
    TableSweep& told = tables_[work_.table]->told;
    (side == From::Source ? told.source_bytes : told.target_bytes) += batch.row(i).size();
    work_.bytes += batch.row(i).size();
    rows.digests.push_back(digest);
    rows.keys.push_back(compared.key(side, batch.row(i), scratch_));
    if (!work_.keeps_rows) continue;
    const std::string_view cells = compared.cells(side, batch.row(i), scratch_);
    rows.cell_bytes += cells.size();
    rows.cells.emplace_back(rows.cell_bytes > options_.cell_bytes_max ? "" : cells);
  }
  if (!more) LOCKSTEP_TRY(reader.check_shape(compared.view(side)));
  return more;
}

// Of one side after the other: keys, or a range of one order of two.
Result<Sweep::Step> Sweep::read_side(From side) {
  auto more = read(reader_of(side), side, rows_of(side));
  if (!more) return give_up(std::move(more).error());
  if (work_.by_key && side == work_.order && is_too_large(rows_of(side))) return cut_again();
  if (*more) return Step::Working;
  if (work_.by_key && (side == From::Target || work_.order == From::Target)) return look_up();
  if (side == From::Target) return judge_or_give_up();
  if (work_.by_key) steer(*tables_[work_.table], source_rows_.digests.size());
  reading_.end_reading();  // The snapshot stays registered: what it does not see is remembered.
  state_ = State::Proving;
  return Step::Working;
}

// V3: only what S sees and the target then lacks is missing.
bool Sweep::is_proven() {
  const bool proven = work_.held ? prove_held() : ports_.is_applied(proof_);
  return proven || !rule_on(Rule::CompareAfterProof);
}

Result<Sweep::Step> Sweep::prove() {
  if (!is_proven()) return work_.held ? Step::Working : Step::Waiting;
  if (work_.by_key && work_.order == From::Source) {
    if (Status begun = begin_target(); !begun) return give_up(std::move(begun).error());
    target_rows_.clear();
    return look_up();
  }
  if (Status started = start_target(); !started) return give_up(std::move(started).error());
  if (work_.by_key) {
    work_.read_begun = shared_.clock.now();
    source_rows_.clear();
  }
  state_ = State::Target;
  return Step::Working;
}

// Before anything is claimed of what it sees: a target whose log ends before that by the next start
// has lost what may be claimed.
Status Sweep::begin_target() {
  LOCKSTEP_ASSIGN(const OpenSnapshot snapshot, ports_.target.begin());
  if (snapshot.insert_lsn <= target_end_) return {};
  LOCKSTEP_TRY(ports_.store.save_target_end(snapshot.insert_lsn));
  target_end_ = snapshot.insert_lsn;
  return {};
}

Status Sweep::start_target() {
  LOCKSTEP_TRY(begin_target());
  LOCKSTEP_TRY(start(ports_.target, From::Target));
  target_rows_.clear();
  return {};
}

// A piece of each side in turn, so that no server waits for the other; the target's from the proof
// on.
Result<Sweep::Step> Sweep::read_both() {
  auto stepped = read_piece_of_both();
  if (!stepped) return give_up(std::move(stepped).error());
  if (is_too_large(source_rows_)) return cut_again();
  if (work_.target != Side::Waiting && is_too_large(target_rows_)) return split_orders();
  return work_.source == Side::Read && work_.target == Side::Read ? judge_or_give_up() : *stepped;
}

Result<Sweep::Step> Sweep::read_piece_of_both() {
  bool working = false;
  if (work_.source == Side::Reading) {
    LOCKSTEP_ASSIGN(const bool more, read(ports_.source, From::Source, source_rows_));
    working = true;
    if (!more) {
      work_.source = Side::Read;
      if (!work_.digested) steer(*tables_[work_.table], source_rows_.digests.size());
      reading_.end_reading();  // As in read_side().
    }
  }
  if (work_.target == Side::Waiting && is_proven()) {
    LOCKSTEP_TRY(start_target());
    work_.target = Side::Reading;
  }
  if (work_.target == Side::Reading) {
    LOCKSTEP_ASSIGN(const bool more, read(ports_.target, From::Target, target_rows_));
    working = true;
    if (!more) work_.target = Side::Read;
  }
  return working ? Step::Working : Step::Waiting;
}

Result<Sweep::Step> Sweep::judge_or_give_up() {
  auto judged = judge();
  if (!judged) return give_up(std::move(judged).error());
  return judged;
}

// ---------------------------------------------------------------- what it means

// V5: rows of before and after a copy that began anew say nothing of each other.
bool Sweep::is_outdated() const {
  const TableLife life = shared_.board.life(work_.table);
  return !life.is_comparable() || life.version() != work_.version;
}

Result<Sweep::Step> Sweep::judge() {
  Table& table = *tables_[work_.table];
  source_rows_.sort();
  target_rows_.sort();
  LOCKSTEP_TRY(ask_debts(table));
  if (is_outdated()) {
    finish();
    return Step::Working;
  }
  LOCKSTEP_TRY(work_.keys.empty() ? judge_range(table) : judge_suspects(table));
  if (!more_held()) finish();
  publish();
  return Step::Working;
}

namespace {

constexpr auto kNone = static_cast<std::size_t>(-1);

// Calls `visit` with the positions of each key that is on either side; kNone where it is not.
template <typename Visit>
void for_each_key(const std::vector<RowDigest>& a, const std::vector<RowDigest>& b, Visit visit) {
  std::size_t i = 0;
  std::size_t j = 0;
  while (i < a.size() || j < b.size()) {
    const bool left = j == b.size() || (i < a.size() && a[i].key <= b[j].key);
    const bool right = i == a.size() || (j < b.size() && b[j].key <= a[i].key);
    visit(left ? i++ : kNone, right ? j++ : kNone);
  }
}

// Likewise, of those keys whose rows are not equal.
template <typename Visit>
void for_each_unequal(const std::vector<RowDigest>& a, const std::vector<RowDigest>& b,
                      Visit visit) {
  for_each_key(a, b, [&](std::size_t i, std::size_t j) {
    if (i == kNone || j == kNone || a[i] != b[j]) visit(i, j);
  });
}

}  // namespace

// V4: keys whose last word may be under way.
bool Sweep::in_doubt(const Table& table, const Hash128& key) const {
  if (!rule_on(Rule::LeaveDoubtful)) return false;
  if (owed_.contains(key) || shared_.rereads.may_have(key)) return true;
  const auto lanes = static_cast<std::uint32_t>(shared_.recents.size());
  const Recent& recent = *shared_.recents[lane_of(table.map, key, lanes)];
  return recent.judge(work_.table, key, reading_.snapshot()) != Judgement::Write;
}

bool Sweep::may_be_found(const Suspect& suspect) const {
  return suspect.unequal > 0 && suspect.unequal >= options_.confirmations;
}

// Which of the unequal keys have debts, open or quarantined: the target says so itself.
Status Sweep::ask_debts(const Table& table) {
  owed_.clear();
  accepted_.clear();
  std::vector<Hash128> unequal;
  for_each_unequal(source_rows_.digests, target_rows_.digests, [&](std::size_t i, std::size_t j) {
    unequal.push_back(i == kNone ? target_rows_.digests[j].key : source_rows_.digests[i].key);
  });
  if (unequal.empty()) return {};
  LOCKSTEP_ASSIGN(const KeyDebts debts, ports_.owed.owed(table.map, unequal));
  owed_.insert(debts.owed.begin(), debts.owed.end());
  accepted_.insert(debts.accepted.begin(), debts.accepted.end());
  return {};
}

Status Sweep::judge_range(Table& table) {
  const auto now_us = shared_.clock.wall_us();
  struct Unequal {
    const Hash128& key;
    const std::string& cells;
    bool doubt = false;
  };
  std::vector<Unequal> unequal;
  heals_ = work_.table;
  for_each_unequal(source_rows_.digests, target_rows_.digests, [&](std::size_t i, std::size_t j) {
    const Rows& rows = i == kNone ? target_rows_ : source_rows_;
    const std::size_t at = i == kNone ? j : i;
    const Hash128& key = rows.digests[at].key;
    unequal.push_back({key, rows.keys[at], in_doubt(table, key)});
    if (table.heals() && !unequal.back().doubt && !accepted_.contains(key))
      to_reread_.push_back(rows.keys[at]);
  });
  if (!to_reread_.empty()) table.trouble_us = now_us;
  table.told.healed += to_reread_.size();
  if (reread_as_a_whole(table)) return {};
  for (const auto& [key, cells, doubt] : unequal) {
    const auto [suspect, fresh] =
        table.suspects.try_emplace(key, Suspect{.key = cells,
                                                .unequal = doubt ? 0U : 1U,
                                                .doubts = doubt ? 1U : 0U,
                                                .seen_us = now_us});
    if (fresh) suspect->second.busy = doubt && !owed_.contains(key);
    suspect->second.ranges.push_back(work_.range_id);
  }
  return end_range(table, work_.digested.value_or(rows_of(work_.order).digests.size()),
                   unequal.size());
}

Status Sweep::end_range(Table& table, std::uint64_t rows, std::size_t suspects) {
  if (work_.order == From::Source) table.told.rows += rows;
  table.too_large = 0;
  rest(table, rows);
  return table.ranges.compared(std::exchange(work_.range_id, 0),
                               {work_.range, shared_.clock.wall_us(), work_.position, rows},
                               suspects);
}

Status Sweep::judge_suspects(Table& table) {
  std::unordered_map<Hash128, std::pair<std::size_t, std::size_t>, Hash128Hasher> found;
  for_each_key(source_rows_.digests, target_rows_.digests, [&](std::size_t i, std::size_t j) {
    found[i == kNone ? target_rows_.digests[j].key : source_rows_.digests[i].key] = {i, j};
  });
  table.unequal =
      static_cast<std::uint64_t>(std::ranges::count_if(table.suspects, [&](const auto& suspect) {
        return suspect.second.unequal > 0 && !table.open.contains(suspect.first);
      }));
  table.count_left_alone();
  for (const std::string& cells : work_.keys) {
    const Hash128 key = key_hash(table.map, cells);
    const auto at = found.find(key);
    const auto [i, j] = at == found.end() ? std::pair(kNone, kNone) : at->second;
    LOCKSTEP_TRY(judge_key(table, key, i, j));
  }
  table.unequal = 0;
  table.count_left_alone();
  return {};
}

Status Sweep::judge_key(Table& table, const Hash128& key, std::size_t i, std::size_t j) {
  const auto suspect = table.suspects.find(key);
  if (suspect == table.suspects.end()) return {};
  const bool equal =
      i == kNone || j == kNone ? i == j : source_rows_.digests[i] == target_rows_.digests[j];
  if (equal) {
    table.told.resolved += suspect->second.unequal > 0 ? 1 : 0;
    table.sample_matches += suspect->second.sampled ? 1 : 0;
    LOCKSTEP_TRY(resolve(table, key));
    return drop_suspect(table, suspect, RangeBook::Outcome::Equal);
  }
  if (in_doubt(table, key))
    return suspect->second.is_chance() ? drop_suspect(table, suspect, RangeBook::Outcome::Untold)
                                       : leave_in_doubt(table, suspect);
  table.all_next = work_.held;
  if (!may_be_found(suspect->second)) {
    ++suspect->second.unequal;
    if (!table.heals() || accepted_.contains(key)) return {};
    table.told.healed += suspect->second.unequal == 1 ? 1 : 0;
    heals_ = work_.table;
    to_reread_.push_back(suspect->second.key);
    return {};
  }
  Finding seen;
  seen.kind = j == kNone   ? FindingKind::MissingInTarget
              : i == kNone ? FindingKind::ExtraInTarget
                           : FindingKind::Differing;
  if (i != kNone) seen.source_row = source_rows_.cells[i];
  if (j != kNone) seen.target_row = target_rows_.cells[j];
  table.sample_divergences += suspect->second.sampled ? 1 : 0;
  LOCKSTEP_TRY(find(table, suspect->second, std::move(seen)));
  return drop_suspect(table, suspect, RangeBook::Outcome::Found);
}

Status Sweep::drop_suspect(Table& table, Suspects::iterator suspect, RangeBook::Outcome outcome) {
  work_.settled = true;
  const std::vector<RangeBook::RangeId> ranges = std::move(suspect->second.ranges);
  table.suspects.erase(suspect);
  for (const RangeBook::RangeId range : ranges)
    LOCKSTEP_TRY(table.ranges.suspect_over(range, outcome));
  return {};
}

// ---------------------------------------------------------------- the end of one comparison

Result<Sweep::Step> Sweep::give_up(Error error) {
  const TableId table = work_.table;
  finish();
  if (error.reaction == Reaction::Retry || error.reaction == Reaction::Cancel)
    return fail(std::move(error));
  // Nothing that keeps us from comparing a table keeps it from being moved.  What was compared is
  // still known, but for bounds that nothing can be read by.
  if (error.code == kBrokenBound) LOCKSTEP_TRY(tables_[table]->ranges.forget());
  to_reread_.clear();
  leave(*tables_[table], error.message);
  publish();
  return Step::Working;
}

void Sweep::finish() {
  if (!work_.keys.empty() && !work_.held && !work_.settled)
    next_look_ = shared_.clock.now() + options_.again_after;
  let_go();
  shared_.rereads.end();
  if (work_.range_id != 0) tables_[work_.table]->ranges.released(work_.range_id);
  work_ = {};
  reading_.close();
  ports_.target.end();
  state_ = State::Idle;
}

}  // namespace lockstep
