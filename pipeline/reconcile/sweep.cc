#include "pipeline/reconcile/sweep.h"

#include <fmt/format.h>

#include <algorithm>
#include <numeric>
#include <utility>

#include "pipeline/apply/route.h"
#include "pipeline/base/rules.h"

namespace lockstep {

using From = Compared::From;

std::string_view kind_text(FindingKind kind) {
  switch (kind) {
    case FindingKind::MissingInTarget:
      return "missing_in_target";
    case FindingKind::ExtraInTarget:
      return "extra_in_target";
    case FindingKind::Differing:
      return "differing";
  }
  return "unknown";
}

Sweep::Sweep(SweepOptions options, Shared shared, SweepPorts ports)
    : options_(options),
      shared_(shared),
      ports_(std::move(ports)),
      reading_(ports_.source, shared),
      tables_(shared.tables.size()) {}

void Sweep::begin(std::vector<TableId> tables) {
  const MutexLock lock(mutex_);
  wanted_ = std::move(tables);
  status_.running = true;
}

SweepStatus Sweep::status() const {
  const MutexLock lock(mutex_);
  return status_;
}

void Sweep::Rows::clear() {
  digests.clear();
  keys.clear();
  cells.clear();
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
  switch (state_) {
    case State::Idle:
      return pick();
    case State::Opening:
      return open();
    case State::Source:
      return read_source();
    case State::Proving:
      return prove();
    case State::Target:
      return read_target();
  }
  CHECK(false);
  return Step::Done;
}

// ---------------------------------------------------------------- what is next

void Sweep::take_request() {
  std::optional<std::vector<TableId>> wanted;
  {
    const MutexLock lock(mutex_);
    wanted = std::exchange(wanted_, std::nullopt);
    if (!wanted) return;
    status_.findings.clear();
  }
  ++sweep_;
  for (auto& table : tables_) table.reset();
  for (const TableId id : *wanted)
    tables_[id] = std::make_unique<Table>(*shared_.tables[id], options_.seed + sweep_);
  publish();
}

bool Sweep::is_over(const Table& table) const {
  return !table.told.left.empty() || (table.gone_through && table.suspects.empty());
}

void Sweep::leave(Table& table, std::string why) {
  table.told.unverified += table.suspects.size();
  table.suspects.clear();
  table.told.left = std::move(why);
}

// Suspects first: the sooner they are looked at again, the less has changed.
Result<Sweep::Step> Sweep::pick() {
  take_request();
  const bool look = shared_.clock.now() >= next_look_;
  bool open = false;
  for (std::size_t i = 0; i < tables_.size(); ++i) {
    const std::size_t id = (next_table_ + i) % tables_.size();
    if (tables_[id] == nullptr || is_over(*tables_[id])) continue;
    Table& table = *tables_[id];
    const TableLife life = shared_.board.life(static_cast<TableId>(id));
    if (life.is_stopped()) {
      leave(table, "it has stopped: " + life.reason);
      continue;
    }
    open = true;
    if (life.stage != Stage::Following) continue;
    work_ = {static_cast<TableId>(id), {}, {}, life.generation};
    if (look && !table.suspects.empty()) pick_suspects(table);
    if (work_.keys.empty() && table.gone_through) continue;
    next_table_ = id;
    return work_.keys.empty() ? pick_range(table) : Result<Step>(Step::Working);
  }
  publish();
  return open ? Step::Waiting : Step::Done;
}

void Sweep::pick_suspects(Table& table) {
  for (const auto& [hash, suspect] : table.suspects) {
    work_.keys.push_back(suspect.key);
    if (work_.keys.size() >= options_.keys_max) break;
  }
  next_look_ = shared_.clock.now() + options_.again_after;
  state_ = State::Opening;
}

Result<Sweep::Step> Sweep::pick_range(Table& table) {
  work_.range.lower = table.cursor;
  auto upper = ports_.source.bound_after(table.compared.view(From::Source), table.cursor,
                                         options_.chunk_rows);
  if (!upper) return give_up(std::move(upper).error());
  work_.range.upper = std::move(*upper);
  state_ = State::Opening;
  return Step::Working;
}

// ---------------------------------------------------------------- both sides are read

Result<Sweep::Step> Sweep::open() {
  const Compared& compared = tables_[work_.table]->compared;
  auto ready = reading_.prepare(compared.view(From::Source));
  if (!ready) return give_up(std::move(ready).error());
  if (*ready == Reading::Ready::Accepted) {
    proof_ = ports_.prove();
    return Step::Working;
  }
  if (*ready != Reading::Ready::Yes) return Step::Waiting;
  if (Status started = start(ports_.source, From::Source); !started)
    return give_up(std::move(started).error());
  source_rows_.clear();
  state_ = State::Source;
  return Step::Working;
}

Status Sweep::start(ChunkReader& reader, From side) {
  const TableMap& view = tables_[work_.table]->compared.view(side);
  return work_.keys.empty() ? reader.start_range(view, work_.range)
                            : reader.start_keys(view, work_.keys);
}

// Returns whether there is more.
Result<bool> Sweep::read(ChunkReader& reader, From side, Rows& rows) {
  const Compared& compared = tables_[work_.table]->compared;
  RowBatch batch;
  LOCKSTEP_ASSIGN(const bool more, reader.read(batch, options_.piece_bytes));
  for (std::size_t i = 0; i < batch.rows(); ++i) {
    RowDigest digest;
    if (!compared.digest(side, batch.row(i), digest, scratch_))
      return fail(Reaction::StopTable, "a row's key is NULL");
    rows.digests.push_back(digest);
    rows.keys.push_back(compared.key(side, batch.row(i), scratch_));
    if (!work_.keys.empty()) rows.cells.emplace_back(compared.cells(side, batch.row(i), scratch_));
  }
  if (!more) LOCKSTEP_TRY(reader.check_shape(compared.view(side)));
  return more;
}

Result<Sweep::Step> Sweep::read_source() {
  auto more = read(ports_.source, From::Source, source_rows_);
  if (!more) return give_up(std::move(more).error());
  if (*more) return Step::Working;
  reading_.end_reading();  // The snapshot stays registered: what it does not see is remembered.
  state_ = State::Proving;
  return Step::Working;
}

// V3: only what S sees and the target then lacks is missing.
Result<Sweep::Step> Sweep::prove() {
  if (rule_on(Rule::CompareAfterProof) && !ports_.is_applied(proof_)) return Step::Waiting;
  auto started = start_target();
  if (!started) return give_up(std::move(started).error());
  return started;
}

Result<Sweep::Step> Sweep::start_target() {
  LOCKSTEP_ASSIGN([[maybe_unused]] const OpenSnapshot snapshot, ports_.target.begin());
  LOCKSTEP_TRY(start(ports_.target, From::Target));
  target_rows_.clear();
  state_ = State::Target;
  return Step::Working;
}

Result<Sweep::Step> Sweep::read_target() {
  auto more = read(ports_.target, From::Target, target_rows_);
  if (!more) return give_up(std::move(more).error());
  if (*more) return Step::Working;
  auto judged = judge();
  if (!judged) return give_up(std::move(judged).error());
  return judged;
}

// ---------------------------------------------------------------- what it means

Result<Sweep::Step> Sweep::judge() {
  Table& table = *tables_[work_.table];
  source_rows_.sort();
  target_rows_.sort();
  LOCKSTEP_TRY(ask_debts(table));
  const TableLife life = shared_.board.life(work_.table);
  // V5: rows of before and after a copy that began anew say nothing of each other.
  if (life.stage != Stage::Following || life.generation != work_.generation) {
    finish();
    return Step::Working;
  }
  if (work_.keys.empty())
    judge_range(table);
  else
    judge_suspects(table);
  finish();
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

// V4: keys whose last word may be under way.
bool Sweep::in_doubt(const Table& table, const Hash128& key) const {
  if (!rule_on(Rule::LeaveDoubtful)) return false;
  if (owed_.contains(key)) return true;
  const auto lanes = static_cast<std::uint32_t>(shared_.recents.size());
  const Recent& recent = *shared_.recents[lane_of(table.compared.map(), key, lanes)];
  return recent.judge(work_.table, key, reading_.snapshot()) != Verdict::Write;
}

// Which of the unequal keys have debts, open or quarantined: the target says so itself.
Status Sweep::ask_debts(const Table& table) {
  owed_.clear();
  std::vector<Hash128> unequal;
  for_each_key(source_rows_.digests, target_rows_.digests, [&](std::size_t i, std::size_t j) {
    if (i == kNone || j == kNone || source_rows_.digests[i] != target_rows_.digests[j])
      unequal.push_back(i == kNone ? target_rows_.digests[j].key : source_rows_.digests[i].key);
  });
  if (unequal.empty()) return {};
  LOCKSTEP_ASSIGN(const std::vector<Hash128> owed, ports_.owed.owed(table.compared.map(), unequal));
  owed_.insert(owed.begin(), owed.end());
  return {};
}

void Sweep::judge_range(Table& table) {
  const auto now_us = shared_.clock.wall_us();
  for_each_key(source_rows_.digests, target_rows_.digests, [&](std::size_t i, std::size_t j) {
    if (i != kNone && j != kNone && source_rows_.digests[i] == target_rows_.digests[j]) return;
    const Rows& rows = i == kNone ? target_rows_ : source_rows_;
    const std::size_t at = i == kNone ? j : i;
    const Hash128& key = rows.digests[at].key;
    const bool doubt = in_doubt(table, key);
    table.suspects.try_emplace(key,
                               Suspect{rows.keys[at], doubt ? 0U : 1U, doubt ? 1U : 0U, now_us});
  });
  table.told.rows += source_rows_.digests.size();
  const Lsn position = reading_.insert_lsn();
  table.told.verified_through = std::min(table.told.verified_through.value_or(position), position);
  table.cursor = work_.range.upper;
  table.gone_through = !work_.range.upper;
  if (table.suspects.size() > options_.suspects_max)
    leave(table, fmt::format("more than {} rows differ or are in doubt", options_.suspects_max));
}

void Sweep::judge_suspects(Table& table) {
  std::unordered_map<Hash128, std::pair<std::size_t, std::size_t>, Hash128Hasher> found;
  for_each_key(source_rows_.digests, target_rows_.digests, [&](std::size_t i, std::size_t j) {
    found[i == kNone ? target_rows_.digests[j].key : source_rows_.digests[i].key] = {i, j};
  });
  for (const std::string& cells : work_.keys) {
    const Hash128 key = key_hash(table.compared.map(), cells);
    const auto at = found.find(key);
    const auto [i, j] = at == found.end() ? std::pair(kNone, kNone) : at->second;
    judge_key(table, key, i, j);
  }
}

void Sweep::judge_key(Table& table, const Hash128& key, std::size_t i, std::size_t j) {
  const auto suspect = table.suspects.find(key);
  if (suspect == table.suspects.end()) return;
  const bool equal =
      i == kNone || j == kNone ? i == j : source_rows_.digests[i] == target_rows_.digests[j];
  if (equal) {
    table.told.resolved += suspect->second.unequal > 0 ? 1 : 0;
    table.suspects.erase(suspect);
    return;
  }
  if (in_doubt(table, key)) {
    if (++suspect->second.doubts < options_.doubts_max) return;
    ++table.told.unverified;
    table.suspects.erase(suspect);
    return;
  }
  if (++suspect->second.unequal <= options_.confirmations) return;
  const FindingKind kind = j == kNone   ? FindingKind::MissingInTarget
                           : i == kNone ? FindingKind::ExtraInTarget
                                        : FindingKind::Differing;
  std::vector<std::string> columns;
  if (kind == FindingKind::Differing)
    columns = unequal_columns(table.compared.map(), source_rows_.cells[i], target_rows_.cells[j]);
  find(table, suspect->second, kind, std::move(columns));
  table.suspects.erase(suspect);
}

void Sweep::find(Table& table, const Suspect& suspect, FindingKind kind,
                 std::vector<std::string> columns) {
  ++table.told.findings;
  const MutexLock lock(mutex_);
  if (status_.findings.size() >= options_.findings_max) return;
  status_.findings.push_back(
      {table.compared.map().id, suspect.key, kind, std::move(columns), suspect.seen_us});
}

// ---------------------------------------------------------------- the end of one comparison

Result<Sweep::Step> Sweep::give_up(Error error) {
  const TableId table = work_.table;
  finish();
  if (error.reaction != Reaction::StopTable && error.reaction != Reaction::Reject)
    return fail(std::move(error));
  leave(*tables_[table], error.message);
  publish();
  return Step::Working;
}

void Sweep::finish() {
  reading_.close();
  ports_.target.end();
  state_ = State::Idle;
}

void Sweep::publish() {
  const MutexLock lock(mutex_);
  status_.sweep = sweep_;
  status_.running = wanted_.has_value();
  status_.tables.clear();
  for (TableId id = 0; id < tables_.size(); ++id) {
    if (tables_[id] == nullptr) continue;
    TableSweep told = tables_[id]->told;
    told.suspects = tables_[id]->suspects.size();
    told.over = is_over(*tables_[id]);
    status_.running = status_.running || !told.over;
    status_.tables.emplace_back(id, std::move(told));
  }
}

}  // namespace lockstep
