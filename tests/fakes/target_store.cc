#include "tests/fakes/target_store.h"

#include <fmt/format.h>

#include <algorithm>

#include "pipeline/base/rules.h"
#include "pipeline/model/key.h"

namespace lockstep {
namespace {

// Of two debts of one key: the greater xid, and an unknown one is the greatest.
Xid greater_xid(Xid a, Xid b) { return a == 0 || b == 0 ? 0 : std::max(a, b); }

Debt debt_of(const Run& run, const Write& write, DebtReason reason) {
  Debt debt;
  debt.table = run.table->id;
  debt.key_hash = write.key_hash;
  debt.key = std::string(write.key);
  debt.xid = write.xid;
  debt.commit_us = write.commit_us;
  debt.reason = reason;
  return debt;
}

}  // namespace

std::unique_ptr<SentTransaction> keep_transaction(std::uint64_t epoch,
                                                  const LaneTransaction& transaction) {
  auto sent = std::make_unique<SentTransaction>();
  sent->epoch = epoch;
  sent->transaction = transaction;
  for (Run& run : sent->transaction.runs) {
    if (run.snapshot != nullptr) run.snapshot = &sent->snapshots.emplace_back(*run.snapshot);
    for (Write& write : run.writes) {
      write.row = sent->bytes.emplace_back(write.row);
      write.key = sent->bytes.emplace_back(write.key);
    }
  }
  return sent;
}

std::string text_of(const LaneTransaction& transaction) {
  constexpr std::string_view kinds[] = {"upsert", "update", "delete", "forget", "open debt"};
  std::string text;
  for (const Run& run : transaction.runs) {
    for (const Write& write : run.writes) {
      const bool row = run.kind == WriteKind::Upsert || run.kind == WriteKind::Update;
      text += fmt::format("; t{} {}{} {} xid {}{}", run.table->id,
                          kinds[static_cast<std::size_t>(run.kind)],
                          run.snapshot != nullptr ? " under " + run.snapshot->text() : "",
                          row ? text_of(read_row(*run.table, write.row).row)
                              : std::to_string(key_id(*run.table, write.key)),
                          write.xid, write.debt != DebtReason::None ? " with debt" : "");
    }
  }
  for (const ProgressRow& row : transaction.progress)
    text += fmt::format("; {}[{}] at {}/{}", row.stream, row.lane, row.position.major,
                        row.position.minor);
  return text;
}

std::uint64_t TargetStore::claim() {
  copies_.clear();
  return ++epoch_;
}

Status TargetStore::check_fence(std::uint64_t epoch) const {
  if (!rule_on(Rule::Fence) || epoch == epoch_) return {};
  return fail(
      Error{Reaction::Halt, "another incarnation owns the migration", ExitCode::BadData, "fenced"});
}

bool TargetStore::locked_by_copy(TableId table, const FakeRow& row) const {
  const bool unique = tables_[table].source.secondary_unique && !row.u.empty();
  return std::ranges::any_of(copies_, [&](const auto& entry) {
    const Copy& copy = entry.second;
    return copy.table == table && std::ranges::any_of(copy.rows, [&](const FakeRow& copied) {
             return copied.id == row.id || (unique && copied.u == row.u);
           });
  });
}

bool TargetStore::must_wait(const LaneTransaction& transaction) const {
  if (copies_.empty()) return false;
  for (const Run& run : transaction.runs) {
    for (const Write& write : run.writes) {
      const TableId table = run.table->id;
      if (run.kind == WriteKind::Upsert) {
        if (locked_by_copy(table, read_row(*run.table, write.row).row)) return true;
      } else if (run.kind == WriteKind::Update) {
        // A row of an open COPY is not hit; only its unique value is waited for.
        FakeRow row = read_row(*run.table, write.row).row;
        const bool hits = rows_[table].contains(row.id);
        row.id = -1;
        if (hits && locked_by_copy(table, row)) return true;
      }
    }
  }
  return false;
}

Result<ApplyOutcome> TargetStore::apply(std::uint64_t epoch, const LaneTransaction& transaction) {
  LOCKSTEP_TRY(check_fence(epoch));
  if (must_wait(transaction)) return fail(Reaction::Retry, "waits for a COPY's lock");
  ApplyOutcome outcome;
  for (const Run& run : transaction.runs)
    for (const Write& write : run.writes) carry_out(run, write, outcome);
  for (const ProgressRow& row : transaction.progress) put_progress(epoch, transaction.batch, row);
  for (const auto& row : transaction.rejoined) progress_.erase(row);
  return outcome;
}

void TargetStore::carry_out(const Run& run, const Write& write, ApplyOutcome& outcome) {
  switch (run.kind) {
    case WriteKind::Upsert:
      return upsert(run, write, outcome);
    case WriteKind::Update:
      return update(run, write, outcome);
    case WriteKind::Delete:
      return remove(run, write, outcome);
    case WriteKind::Forget:
      clear_debts(run, write);
      break;
    case WriteKind::OpenDebt: {
      const DebtReason reason =
          write.debt == DebtReason::None ? DebtReason::MissingRow : write.debt;
      return open_debt(debt_of(run, write, reason), outcome);
    }
  }
  if (write.debt != DebtReason::None) open_debt(debt_of(run, write, write.debt), outcome);
}

namespace {

// As the SQL of a real target has it (I17).
bool stays_of_a_delete(DebtReason before, DebtReason now) {
  if (before == DebtReason::Unreadable) return true;
  const bool of_a_delete = before == DebtReason::Refused || before == DebtReason::Swallowed ||
                           before == DebtReason::Divergent;
  return of_a_delete && (now == DebtReason::Doubtful || now == DebtReason::MissingRow ||
                         now == DebtReason::Snapshot || now == DebtReason::DivergentAlone);
}

}  // namespace

std::optional<int> TargetStore::unique_holder(const TableMap& table, const FakeRow& row) const {
  if (!table.source.secondary_unique || row.u.empty()) return std::nullopt;
  for (const auto& [id, other] : rows_[table.id])
    if (id != row.id && other.u == row.u) return id;
  return std::nullopt;
}

void TargetStore::remove(const Run& run, const Write& write, ApplyOutcome& outcome) {
  Rows& rows = rows_[run.table->id];
  const auto found = rows.find(key_id(*run.table, write.key));
  if (found != rows.end() && kept_value(found->second))
    return refuse(run, write, DebtReason::Refused, outcome);
  if (found != rows.end()) rows.erase(found);
  clear_debts(run, write);
  if (write.debt != DebtReason::None) open_debt(debt_of(run, write, write.debt), outcome);
}

void TargetStore::upsert(const Run& run, const Write& write, ApplyOutcome& outcome) {
  const ReadRow read = read_row(*run.table, write.row);
  if (refused_value(read.row)) return refuse(run, write, DebtReason::Refused, outcome);
  if (swallowed_value(read.row)) return refuse(run, write, DebtReason::Swallowed, outcome);
  const std::uint32_t evictions = evictions_[{run.table->id, write.key_hash}];
  while (const auto holder = unique_holder(*run.table, read.row))
    if (run.holders == Holders::Stay || !evict(run, write, *holder, outcome))
      return refuse(run, write, DebtReason::Violation, outcome);
  if (evictions_[{run.table->id, write.key_hash}] == evictions)
    evictions_.erase({run.table->id, write.key_hash});
  rows_[run.table->id][read.row.id] = read.row;
  ++outcome.rows_written;
  clear_debts(run, write);
  if (write.debt != DebtReason::None) open_debt(debt_of(run, write, write.debt), outcome);
}

void TargetStore::update(const Run& run, const Write& write, ApplyOutcome& outcome) {
  const ReadRow read = read_row(*run.table, write.row);
  Rows& rows = rows_[run.table->id];
  const auto found = rows.find(read.row.id);
  if (found == rows.end()) {
    if (rule_on(Rule::DebtForMissingRow))
      open_debt(debt_of(run, write, DebtReason::MissingRow), outcome);
  } else {
    FakeRow row = found->second;
    row.scale = read.row.scale;
    if (read.carried.a) row.a = read.row.a;
    if (read.carried.toast) row.toast = read.row.toast;
    if (read.carried.u) row.u = read.row.u;
    if (refused_value(row)) return refuse(run, write, DebtReason::Refused, outcome);
    if (swallowed_value(row)) return refuse(run, write, DebtReason::MissingRow, outcome);
    if (unique_holder(*run.table, row)) return refuse(run, write, DebtReason::Violation, outcome);
    found->second = row;
    ++outcome.rows_written;
  }
  if (write.debt != DebtReason::None) open_debt(debt_of(run, write, write.debt), outcome);
}

// The row is left out; its key must be read again.  A settlement that failed is one more attempt.
void TargetStore::refuse(const Run& run, const Write& write, DebtReason reason,
                         ApplyOutcome& outcome) {
  if (!rule_on(Rule::DebtOnViolation)) return;
  const auto found = debts_.find({run.table->id, write.key_hash});
  if (run.settles() && found != debts_.end()) {
    Debt& debt = found->second;
    if (debt.reason != DebtReason::Unreadable) debt.reason = reason;
    const bool again_and_again = evictions_[{run.table->id, write.key_hash}] >= debt_attempts_;
    const bool kept = run.holders == Holders::Keep && reason == DebtReason::Violation;
    debt.quarantined = ++debt.attempts >= debt_attempts_ || again_and_again || kept;
    if (debt.quarantined) {
      evictions_.erase({run.table->id, write.key_hash});
      ++outcome.set_aside;
    }
    outcome.opened.push_back({run.table->id, write.key_hash, reason});
    return;
  }
  open_debt(debt_of(run, write, reason), outcome);
}

bool TargetStore::evict(const Run& run, const Write& write, int holder, ApplyOutcome& outcome) {
  Rows& rows = rows_[run.table->id];
  const FakeRow row = rows.at(holder);
  std::uint32_t& evictions = evictions_[{run.table->id, write.key_hash}];
  if (kept_value(row) || run.holders == Holders::Keep || ++evictions >= debt_attempts_)
    return false;
  rows.erase(holder);
  Debt debt = debt_of(run, write, DebtReason::Evicted);
  debt.key = key_cells(*run.table, row.id, row.scale);
  debt.key_hash = key_hash(*run.table, debt.key);
  const auto settled = debts_.find({run.table->id, write.key_hash});
  debt.xid = settled == debts_.end() ? 0 : settled->second.xid;
  debt.attempts = evictions - 1;
  open_debt(debt, outcome);
  return true;
}

void TargetStore::clear_debts(const Run& run, const Write& write) {
  const auto found = debts_.find({run.table->id, write.key_hash});
  if (found == debts_.end() || run.rule == DebtRule::Keep) return;
  if (run.rule == DebtRule::ClearVisible) {
    const Xid xid = found->second.xid;
    // A snapshot begun after a debt without an xid was opened: known of rows read for debts only.
    if (xid == 0 ? !run.settles() : !run.snapshot->sees(xid)) return;
    // It may have been opened after the list of what is forgotten was read.
    if (may_have_been_deleted(found->second.reason) && run.kind == WriteKind::Forget) return;
  }
  debts_.erase(found);
}

void TargetStore::accept_quarantined() {
  for (const auto& [key, debt] : debts_)
    if (debt.quarantined) accepted_.push_back(debt);
  std::erase_if(debts_, [](const auto& debt) { return debt.second.quarantined; });
}

void TargetStore::open_debt(const Debt& debt, ApplyOutcome& outcome) {
  std::erase_if(accepted_, [&](const Debt& accepted) {
    return accepted.table == debt.table && accepted.key_hash == debt.key_hash;
  });
  const auto [found, fresh] = debts_.try_emplace({debt.table, debt.key_hash}, debt);
  if (!fresh) {
    const Debt before = found->second;
    found->second = debt;
    found->second.xid = greater_xid(before.xid, debt.xid);
    if (stays_of_a_delete(before.reason, debt.reason)) found->second.reason = before.reason;
  }
  outcome.opened.push_back({debt.table, debt.key_hash, debt.reason});
}

Status TargetStore::open_copy(std::uint64_t connection, const TableMap& table,
                              std::vector<FakeRow> rows) {
  CHECK(!copies_.contains(connection));
  for (const FakeRow& row : rows) {
    const bool exists = rows_[table.id].contains(row.id) || unique_holder(table, row);
    if (exists || refused_value(row) || swallowed_value(row))
      return fail(Reaction::Reject, "a row exists already, or is refused");
    if (locked_by_copy(table.id, row)) return fail(Reaction::Reject, "lock timeout");
  }
  copies_[connection] = {table.id, std::move(rows)};
  return {};
}

void TargetStore::commit_copy(std::uint64_t connection, const std::optional<ChunkMark>& mark) {
  const auto copy = copies_.find(connection);
  CHECK(copy != copies_.end());
  for (const FakeRow& row : copy->second.rows) {
    CHECK(!rows_[copy->second.table].contains(row.id));
    rows_[copy->second.table][row.id] = row;
  }
  copies_.erase(copy);
  if (mark) this->mark(*mark);
}

void TargetStore::mark(const ChunkMark& mark) {
  std::erase_if(marks_, [&](const auto& entry) {
    return entry.second.table == mark.table && entry.second.first > mark.first &&
           entry.second.last <= mark.last;
  });
  marks_[{mark.table, mark.first}] = mark;
}

void TargetStore::truncate(std::uint64_t epoch, const Truncation& truncation) {
  rows_[truncation.table].clear();
  std::erase_if(debts_, [&](const auto& entry) {
    const Debt& debt = entry.second;
    return debt.table == truncation.table && debt.xid != 0 && debt.xid <= truncation.xid;
  });
  for (const auto& [lane, batch] : truncation.lanes)
    put_progress(epoch, batch,
                 {truncation.stream, lane, truncation.position, truncation.xid, truncation.xid});
  horizons_[truncation.table] = std::max(horizons_[truncation.table], truncation.horizon);
  if (truncation.forget_chunks) forget_chunks(truncation.table);
}

void TargetStore::forget_chunks(TableId table) {
  std::erase_if(marks_, [&](const auto& entry) { return entry.second.table == table; });
}

std::vector<Debt> TargetStore::open_debts(TableId table, std::size_t limit) const {
  std::vector<Debt> open;
  for (const auto& [key, debt] : debts_)
    if (key.first == table && !debt.quarantined) open.push_back(debt);
  std::ranges::stable_sort(open, {}, &Debt::attempts);
  open.resize(std::min(open.size(), limit));
  return open;
}

std::vector<Debt> TargetStore::debts() const {
  std::vector<Debt> all;
  for (const auto& [key, debt] : debts_) all.push_back(debt);
  return all;
}

void TargetStore::put_progress(std::uint64_t epoch, std::uint64_t batch, const ProgressRow& row) {
  StoredProgress& stored = progress_[{row.stream, row.lane}];
  const Position position = std::max(stored.row.position, row.position);
  const Xid max_xid = std::max(stored.row.max_xid, row.max_xid);
  stored = {row, epoch, batch};
  stored.row.position = position;
  stored.row.max_xid = max_xid;
}

std::vector<ProgressRow> TargetStore::progress() const {
  std::vector<ProgressRow> rows;
  for (const auto& [key, stored] : progress_) rows.push_back(stored.row);
  return rows;
}

std::vector<LaneBatch> TargetStore::lane_batches() const {
  std::map<std::uint32_t, LaneBatch> lanes;
  for (const auto& [key, stored] : progress_) {
    const LaneBatch batch{key.second, stored.epoch, stored.batch};
    LaneBatch& last = lanes.try_emplace(key.second, batch).first->second;
    if (std::pair(batch.epoch, batch.batch) > std::pair(last.epoch, last.batch)) last = batch;
  }
  std::vector<LaneBatch> batches;
  for (const auto& [lane, batch] : lanes) batches.push_back(batch);
  return batches;
}

std::vector<ChunkMark> TargetStore::marks() const {
  std::vector<ChunkMark> marks;
  for (const auto& [key, mark] : marks_) marks.push_back(mark);
  return marks;
}

Position TargetStore::horizon(TableId table) const {
  const auto found = horizons_.find(table);
  return found == horizons_.end() ? Position{} : found->second;
}

}  // namespace lockstep
