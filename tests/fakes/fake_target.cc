#include "tests/fakes/fake_target.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>

#include "tests/fakes/fake_reader.h"

namespace lockstep {

template <typename Work>
Status FakeTarget::call(std::string_view where, Work work) {
  chaos_.interleave(where);
  if (chaos_.killed()) return killed_process();
  const Fate fate = chaos_.fate(where);
  if (fate == Fate::LostBefore) return lost_connection();
  if (fate == Fate::KilledBefore || fate == Fate::Zombie) return killed_process();
  LOCKSTEP_TRY(store_.check_fence(connection_.epoch));
  if (chaos_.tracing()) chaos_.tell(std::string(where) + " is carried out");
  work();
  if (fate == Fate::LostAfter) return lost_connection();
  if (fate == Fate::KilledAfter) return killed_process();
  return {};
}

Result<ApplyOutcome> FakeTarget::apply(const LaneTransaction& transaction) {
  chaos_.interleave("apply");
  if (chaos_.killed()) return killed_process();
  const auto uses_broken = [&](const Run& run) { return broken_ && run.table->id == *broken_; };
  if (std::ranges::any_of(transaction.runs, uses_broken)) {
    ApplyOutcome outcome;
    outcome.stop = {*broken_, Error{Reaction::StopTable, "its grant was revoked", {}, {}}};
    return outcome;
  }
  const Fate fate = chaos_.fate("apply");
  if (fate == Fate::LostBefore) return lost_connection();
  if (fate == Fate::KilledBefore) return killed_process();
  if (fate == Fate::Zombie) {
    zombies_.push_back(keep_transaction(connection_.epoch, transaction));
    return killed_process();
  }
  auto outcome = store_.apply(connection_.epoch, transaction);
  if (chaos_.tracing())
    chaos_.tell((outcome ? "applied" : outcome.error().message) + text_of(transaction));
  if (fate == Fate::LostAfter) return lost_connection();
  if (fate == Fate::KilledAfter) return killed_process();
  return outcome;
}

Status FakeTarget::copy(const TableMap& table, const RowBatch& rows,
                        std::span<const std::uint32_t> chosen) {
  chaos_.interleave("copy");
  if (chaos_.killed()) return killed_process();
  const Fate fate = chaos_.fate("copy");
  if (fate == Fate::KilledBefore || fate == Fate::KilledAfter) return killed_process();
  if (fate == Fate::LostBefore || fate == Fate::LostAfter) return lost_connection();
  LOCKSTEP_TRY(store_.check_fence(connection_.epoch));
  std::vector<FakeRow> copied;
  for (const std::uint32_t row : chosen) copied.push_back(read_row(table, rows.row(row)).row);
  if (chaos_.tracing())
    for (const FakeRow& row : copied)
      chaos_.tell(fmt::format("COPY t{} {}", table.id, text_of(row)));
  LOCKSTEP_TRY(store_.open_copy(connection_.number, table, std::move(copied)));
  chaos_.interleave("copy_open");
  if (chaos_.killed()) return killed_process();
  return {};
}

Status FakeTarget::copy_commit(const std::optional<ChunkMark>& done) {
  return call("copy_commit", [&] { store_.commit_copy(connection_.number, done); });
}

Status FakeTarget::copy_abort() {
  chaos_.interleave("copy_abort");
  if (chaos_.killed()) return killed_process();
  const Fate fate = chaos_.fate("copy_abort");
  if (fate == Fate::LostBefore) return lost_connection();
  if (fate == Fate::KilledBefore) return killed_process();
  store_.abort_copy(connection_.number);
  return {};
}

Status FakeTarget::mark_done(const ChunkMark& mark) {
  return call("mark_done", [&] { store_.mark(mark); });
}

Status FakeTarget::truncate(const Truncation& truncation) {
  return call("truncate", [&] { store_.truncate(connection_.epoch, truncation); });
}

Result<std::vector<Debt>> FakeTarget::open_debts(TableId table, std::size_t limit) {
  if (chaos_.killed()) return killed_process();
  if (chaos_.fate("open_debts") != Fate::Work) return lost_connection();
  return store_.open_debts(table, limit);
}

Result<std::vector<DebtCount>> FakeLedger::count_debts() {
  std::map<TableId, DebtCount> counts;
  LOCKSTEP_TRY(call("count_debts", [&] {
    for (const Debt& debt : store_.debts()) {
      DebtCount& count = counts[debt.table];
      count.table = debt.table;
      ++(debt.quarantined ? count.quarantined : count.open);
    }
  }));
  std::vector<DebtCount> answer;
  for (const auto& [table, count] : counts) answer.push_back(count);
  return answer;
}

// This target loses nothing: whatever lanes say is committed must be in it.
Status FakeLedger::still_has(const std::function<std::vector<ProgressRow>()>& committed) {
  const std::vector<ProgressRow> stored = store_.progress();
  for (const ProgressRow& row : committed()) {
    const auto found = std::ranges::find_if(stored, [&](const ProgressRow& one) {
      return one.stream == row.stream && one.lane == row.lane && one.position >= row.position;
    });
    if (found == stored.end())
      return fail(Reaction::Halt, "progress of " + row.stream + " is not on the target");
  }
  return {};
}

Status FakeLedger::save_files(TableId table, const std::string& files) {
  return call("save_files", [&] { store_.save_files(table, files); });
}

Status FakeLedger::forget_chunks(TableId table) {
  return call("forget_chunks", [&] { store_.forget_chunks(table); });
}

Status FakeLedger::call(std::string_view where, const std::function<void()>& work) {
  chaos_.interleave(where);
  if (chaos_.killed()) return killed_process();
  const Fate fate = chaos_.fate(where);
  const bool before = fate == Fate::LostBefore || fate == Fate::KilledBefore;
  if (!before) work();
  if (fate == Fate::Work) return {};
  return chaos_.killed() ? Status(killed_process()) : Status(lost_connection());
}

// ---------------------------------------------------------------- the reader of a sweep

// By the last eight bits the other way round: neighbours are far from each other.
int FakeTargetReader::place_of(int id) const {
  if (!other_order_) return id;
  int place = id >> 8;
  for (int bit = 0; bit < 8; ++bit) place = 2 * place + ((id >> bit) & 1);
  return place;
}

bool FakeTargetReader::is_within(const TableMap& table, int id, const KeyRange& range) const {
  const int place = place_of(id);
  return (!range.lower || place >= place_of(key_id(table, *range.lower))) &&
         (!range.upper || place < place_of(key_id(table, *range.upper)));
}

Status FakeTargetReader::alive(std::string_view where) {
  chaos_.interleave(where);
  if (chaos_.killed()) return killed_process();
  const Fate fate = chaos_.fate(where);
  if (fate == Fate::LostBefore || fate == Fate::LostAfter) return lost_connection();
  if (fate == Fate::Refused) return fail(Reaction::Halt, "the target is another server");
  return chaos_.killed() ? Status(killed_process()) : Status();
}

// Of what is committed now.
Result<std::optional<std::string>> FakeTargetReader::bound_after(const TableMap& table,
                                                                 const KeyRange& range,
                                                                 std::uint64_t rows) {
  LOCKSTEP_ASSIGN(std::vector<std::string> keys, bounds_after(table, range, rows, 1));
  return keys.empty() ? std::optional<std::string>() : std::optional(std::move(keys.front()));
}

Result<std::vector<std::string>> FakeTargetReader::bounds_after(const TableMap& table,
                                                                const KeyRange& range,
                                                                std::uint64_t every,
                                                                std::size_t most) {
  LOCKSTEP_TRY(alive("target_bound"));
  std::map<int, std::string> keys;  // By place.
  for (const auto& [id, row] : store_.rows(table.id))
    if (is_within(table, id, range)) keys[place_of(id)] = key_cells(table, id, row.scale);
  std::vector<std::string> bounds;
  std::uint64_t before = 0;
  for (auto& [place, key] : keys) {
    if (before > 0 && before % every == 0 && bounds.size() < most) bounds.push_back(std::move(key));
    ++before;
  }
  return bounds;
}

Status FakeTargetReader::start_bounds(const TableMap& table, const KeyRange& range,
                                      std::uint64_t every, std::size_t most) {
  CHECK(!bounds_);
  LOCKSTEP_ASSIGN(bounds_, bounds_after(table, range, every, most));
  return {};
}

Result<std::optional<std::vector<std::string>>> FakeTargetReader::read_bounds(
    std::chrono::milliseconds) {
  CHECK(bounds_);
  return std::exchange(bounds_, std::nullopt);
}

Result<OpenSnapshot> FakeTargetReader::begin() {
  CHECK(snapshot_.empty());
  LOCKSTEP_TRY(alive("target_snapshot"));
  for (const TableMap& table : tables_) snapshot_.push_back(store_.rows(table.id));
  debts_ = store_.debts();
  accepted_ = store_.accepted();
  return OpenSnapshot{};
}

Status FakeTargetReader::start_range(const TableMap& table, const KeyRange& range) {
  LOCKSTEP_TRY(alive("target_range"));
  rows_.clear();
  next_ = 0;
  take_rows(table, range);
  return {};
}

void FakeTargetReader::take_rows(const TableMap& table, const KeyRange& range) {
  for (const auto& [id, row] : snapshot_[table.id]) {
    if (is_within(table, id, range)) rows_.push_back(row_cells(table, row));
  }
}

Status FakeTargetReader::start_keys(const TableMap& table, std::span<const std::string> keys) {
  LOCKSTEP_TRY(alive("target_keys"));
  rows_.clear();
  next_ = 0;
  for (const std::string& key : keys)
    if (const auto row = snapshot_[table.id].find(key_id(table, key));
        row != snapshot_[table.id].end())
      rows_.push_back(row_cells(table, row->second));
  return {};
}

Result<bool> FakeTargetReader::read(RowBatch& out, std::size_t max_bytes) {
  LOCKSTEP_TRY(alive("target_read"));
  while (next_ < rows_.size() && out.bytes() < max_bytes) out.add(rows_[next_++]);
  return next_ < rows_.size();
}

Status FakeTargetReader::start_digest(const TableMap& table, const KeyRange& range,
                                      const DigestForm& form) {
  LOCKSTEP_TRY(alive("target_range"));
  digest_.clear();
  for (std::size_t part = 0; part < form.parts(); ++part) {
    rows_.clear();
    take_rows(table, part_of(range, form, part));
    digest_.push_back(digest_of(table, rows_, form.seed));
  }
  return {};
}

Result<std::optional<std::vector<PartDigest>>> FakeTargetReader::read_digest(
    std::chrono::milliseconds) {
  LOCKSTEP_TRY(alive("target_digest"));
  return std::optional(digest_);
}

Status FakeTargetReader::start_parts(const TableMap& table, const KeyRange& range,
                                     const DigestForm& form, std::span<const std::size_t> parts) {
  LOCKSTEP_TRY(alive("target_range"));
  rows_.clear();
  next_ = 0;
  for (const std::size_t part : parts) take_rows(table, part_of(range, form, part));
  return {};
}

void FakeTargetReader::end() {
  snapshot_.clear();
  debts_.clear();
  accepted_.clear();
  bounds_.reset();
  rows_.clear();
  next_ = 0;
}

Result<KeyDebts> FakeTargetReader::owed(const TableMap& table, std::span<const Hash128> keys) {
  LOCKSTEP_TRY(alive("owed"));
  const auto among = [&](const std::vector<Debt>& debts) {
    std::vector<Hash128> found;
    for (const Debt& debt : debts)
      if (debt.table == table.id && std::ranges::find(keys, debt.key_hash) != keys.end())
        found.push_back(debt.key_hash);
    return found;
  };
  return KeyDebts{among(debts_), among(accepted_)};
}

}  // namespace lockstep
