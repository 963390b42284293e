#include "tests/fakes/fake_source.h"

#include <algorithm>

#include "pipeline/model/key.h"

namespace lockstep {

FakeSource::FakeSource(const std::vector<TableMap>& tables, Xid first_xid)
    : tables_(tables),
      state_(tables.size()),
      first_xid_(first_xid),
      next_xid_(first_xid),
      durable_xid_(first_xid - 1) {}

void FakeSource::seed_row(TableId table, const FakeRow& row) {
  put(durable_xid_, table, row.id, row);
}

Xid FakeSource::begin(CommitMode mode) {
  const Xid xid = next_xid_++;
  running_[xid].mode = mode;
  return xid;
}

bool FakeSource::can_write(Xid xid, TableId table, int id) const {
  const Table& state = state_[table];
  if (state.truncated_by != 0 && state.truncated_by != xid) return false;
  const auto chain = state.chains.find(id);
  if (chain == state.chains.end() || chain->second.empty()) return true;
  const Xid last = chain->second.back().xid;
  return last == xid || !running_.contains(last);
}

std::optional<FakeRow> FakeSource::find(Xid xid, TableId table, int id) const {
  if (!can_write(xid, table, id)) return std::nullopt;
  const auto chain = state_[table].chains.find(id);
  if (chain == state_[table].chains.end() || chain->second.empty()) return std::nullopt;
  return chain->second.back().row;
}

bool FakeSource::unique_taken(Xid xid, TableId table, int but, const std::string& value) const {
  if (value.empty() || !tables_[table].source.secondary_unique) return false;
  for (const auto& [id, chain] : state_[table].chains) {
    if (id == but) continue;
    // What another open transaction removes is not free yet.
    for (auto version = chain.rbegin(); version != chain.rend(); ++version) {
      if (version->row && version->row->u == value) return true;
      if (version->xid == xid || !running_.contains(version->xid)) break;
    }
  }
  return false;
}

void FakeSource::put(Xid xid, TableId table, int id, std::optional<FakeRow> row) {
  if (row && disliked_value(*row)) disliked_.emplace(table, id);
  state_[table].chains[id].push_back({xid, std::move(row)});
}

void FakeSource::record(Xid xid, TableId table, std::vector<Change> events) {
  log_record(xid);
  running_.at(xid).changes.push_back({table, insert_lsn_, std::move(events)});
}

void FakeSource::log_record(Xid xid) { unflushed_.emplace_back(++insert_lsn_, xid); }

Change FakeSource::event(Xid xid, TableId table, ChangeKind kind) const {
  Change change;
  change.table = table;
  change.kind = kind;
  change.xid = xid;
  change.commit_us = static_cast<std::int64_t>(insert_lsn_);
  return change;
}

Change FakeSource::row_event(Xid xid, TableId table, const FakeRow& row, Carried carried) const {
  const bool full = carried.a && carried.toast && carried.u;
  Change change = event(xid, table, full ? ChangeKind::Full : ChangeKind::Partial);
  if (!carried.a) change.debt = DebtReason::Doubtful;
  change.row = row_cells(tables_[table], row, carried);
  change.key = key_hash(tables_[table], key_cells(tables_[table], row.id, row.scale));
  return change;
}

Change FakeSource::delete_event(Xid xid, TableId table, const FakeRow& row) const {
  Change change = event(xid, table, ChangeKind::Delete);
  change.row = key_cells(tables_[table], row.id, row.scale);
  change.key = key_hash(tables_[table], change.row);
  return change;
}

bool FakeSource::insert(Xid xid, TableId table, const FakeRow& row) {
  if (!can_write(xid, table, row.id) || find(xid, table, row.id)) return false;
  if (unique_taken(xid, table, row.id, row.u)) return false;
  put(xid, table, row.id, row);
  record(xid, table, {row_event(xid, table, row, {})});
  return true;
}

bool FakeSource::update(Xid xid, TableId table, int id, const FakeRow& row, Wire wire) {
  const std::optional<FakeRow> old = find(xid, table, id);
  if (!old || unique_taken(xid, table, id, row.u)) return false;
  const Carried carried{!wire.doubtful, wire.toast || old->toast != row.toast, true};
  const bool same_key = row.id == id;
  if (!same_key && (!can_write(xid, table, row.id) || find(xid, table, row.id))) return false;
  if (!same_key) put(xid, table, id, std::nullopt);
  put(xid, table, row.id, row);
  std::vector<Change> events;
  if (!same_key || (wire.split_key && old->scale != row.scale))
    events.push_back(delete_event(xid, table, *old));
  events.push_back(row_event(xid, table, row, carried));
  record(xid, table, std::move(events));
  return true;
}

bool FakeSource::remove(Xid xid, TableId table, int id, bool readable) {
  const std::optional<FakeRow> old = find(xid, table, id);
  if (!old) return false;
  put(xid, table, id, std::nullopt);
  Change change = delete_event(xid, table, *old);
  if (!readable) {
    change.kind = ChangeKind::Partial;
    change.debt = DebtReason::Unreadable;
    change.row = row_cells(tables_[table], *old, {false, false, false});
  }
  record(xid, table, {std::move(change)});
  return true;
}

bool FakeSource::swap_unique(Xid xid, TableId table, int first, int second) {
  std::optional<FakeRow> a = find(xid, table, first);
  std::optional<FakeRow> b = find(xid, table, second);
  if (first == second || !a || !b) return false;
  std::swap(a->u, b->u);
  for (const FakeRow& row : {*a, *b}) {
    put(xid, table, row.id, row);
    record(xid, table, {row_event(xid, table, row, {})});
  }
  return true;
}

bool FakeSource::truncate(Xid xid, TableId table) {
  Table& state = state_[table];
  if (running_.at(xid).mode != CommitMode::Sync || state.readers > 0) return false;
  if (state.truncated_by != 0) return false;
  for (const auto& [id, chain] : state.chains)
    if (!can_write(xid, table, id)) return false;
  state.before_truncate = std::move(state.chains);
  state.chains.clear();
  state.truncated_by = xid;
  record(xid, table, {event(xid, table, ChangeKind::Truncate)});
  return true;
}

TableSpec FakeSource::definition(TableId table) const {
  TableSpec spec = tables_[table].source;
  spec.key_id = state_[table].key_version;
  return spec;
}

bool FakeSource::rewrite(TableId table, Keys keys) {
  Table& state = state_[table];
  if (state.readers > 0 || state.truncated_by != 0) return false;
  for (const auto& [id, chain] : state.chains)
    if (!can_write(0, table, id)) return false;
  const Xid xid = begin(CommitMode::Sync);
  std::vector<FakeRow> rows;
  for (auto& [id, chain] : state.chains) {
    if (chain.empty() || !chain.back().row) continue;
    rows.push_back(*chain.back().row);
    rows.back().a += "r";
    rows.back().toast += "r";
  }
  if (keys == Keys::Moved) {
    ++state.key_version;
    for (FakeRow& row : rows) put(xid, table, row.id++, std::nullopt);
  }
  for (FakeRow& row : rows) put(xid, table, row.id, row);
  log_commit(xid);
  flush(insert_lsn_);
  ++state.filenode;
  return make_visible(xid);
}

bool FakeSource::attach(TableId table, std::vector<FakeRow> rows) {
  Table& state = state_[table];
  if (state.readers > 0 || state.truncated_by != 0) return false;
  std::erase_if(rows, [&](const FakeRow& row) {
    return !can_write(0, table, row.id) || find(0, table, row.id) ||
           unique_taken(0, table, row.id, row.u);
  });
  if (rows.empty()) return false;
  constexpr std::uint32_t kFirstRelation = 1000;
  const std::uint32_t relation = kFirstRelation * (table + 1) + ++state.tree_version;
  state.partitions.push_back({relation, relation, 0, "partition " + std::to_string(relation)});
  const Xid xid = begin(CommitMode::Sync);
  for (const FakeRow& row : rows) {
    put(xid, table, row.id, row);
    state.owner[row.id] = relation;
  }
  log_commit(xid);
  flush(insert_lsn_);
  return make_visible(xid);
}

bool FakeSource::lose_partition(TableId table, Loss loss) {
  Table& state = state_[table];
  if (state.partitions.empty() || state.readers > 0 || state.truncated_by != 0) return false;
  TableFile& partition = state.partitions.back();
  std::vector<int> lost;
  for (const auto& [id, owner] : state.owner)
    if (owner == partition.relation) lost.push_back(id);
  if (std::ranges::any_of(lost, [&](int id) { return !can_write(0, table, id); })) return false;
  const Xid xid = begin(CommitMode::Sync);
  for (const int id : lost) put(xid, table, id, std::nullopt);
  log_commit(xid);
  flush(insert_lsn_);
  ++partition.node;
  ++state.tree_version;
  if (loss == Loss::Detached) {
    std::erase_if(state.owner, [&](const auto& one) { return one.second == partition.relation; });
    state.partitions.pop_back();
  }
  return make_visible(xid);
}

std::uint32_t FakeSource::partition_of(TableId table, int id) const {
  const auto owner = state_[table].owner.find(id);
  return owner == state_[table].owner.end() ? 0 : owner->second;
}

std::vector<TableFile> FakeSource::files(TableId table) const {
  const Table& state = state_[table];
  std::vector<TableFile> files{
      {table + 1, state.filenode, 0, tables_[table].text(), state.key_version}};
  files.insert(files.end(), state.partitions.begin(), state.partitions.end());
  return files;
}

void FakeSource::log_commit(Xid xid) {
  Transaction& transaction = running_.at(xid);
  CHECK(transaction.commit_lsn == 0);
  log_record(xid);
  transaction.commit_lsn = insert_lsn_;
  log_.push_back({xid, transaction.commit_lsn, transaction.changes});
}

void FakeSource::undo(Xid xid) {
  for (Table& state : state_) {
    if (state.truncated_by == xid) {
      state.chains = std::move(state.before_truncate);
      state.before_truncate.clear();
      state.truncated_by = 0;
    }
    for (auto& [id, chain] : state.chains)
      std::erase_if(chain, [&](const Version& version) { return version.xid == xid; });
  }
}

void FakeSource::rollback(Xid xid) {
  CHECK(running_.at(xid).commit_lsn == 0);
  log_record(xid);  // Before the transaction is seen as ended.
  undo(xid);
  running_.erase(xid);
}

bool FakeSource::make_visible(Xid xid) {
  const Transaction& transaction = running_.at(xid);
  if (transaction.commit_lsn == 0) return false;
  if (transaction.mode == CommitMode::Sync && transaction.commit_lsn > flush_lsn_) return false;
  for (Table& state : state_) {
    if (state.truncated_by != xid) continue;
    state.before_truncate.clear();
    state.truncated_by = 0;
  }
  running_.erase(xid);
  return true;
}

void FakeSource::flush(Lsn up_to) {
  flush_lsn_ = std::max(flush_lsn_, std::min(up_to, insert_lsn_));
  while (!unflushed_.empty() && unflushed_.front().first <= flush_lsn_) {
    durable_xid_ = std::max(durable_xid_, unflushed_.front().second);
    unflushed_.pop_front();
  }
}

void FakeSource::crash() {
  // The latest first: an open TRUNCATE hides what an earlier transaction wrote.
  for (const Xid xid : open_transactions()) {
    undo(xid);
    running_.erase(xid);
  }
  while (!log_.empty() && log_.back().commit_lsn > flush_lsn_) {
    undo(log_.back().xid);
    running_.erase(log_.back().xid);
    log_.pop_back();
  }
  // What is left is flushed: recovery completes it.
  for (const Xid xid : logged_transactions()) CHECK(make_visible(xid));
  for (Table& state : state_) state.readers = 0;
  unflushed_.clear();
  next_xid_ = durable_xid_ + 1;
  insert_lsn_ = flush_lsn_;
  ++generation_;
}

Snapshot FakeSource::snapshot() const {
  Snapshot snapshot;
  snapshot.xmax = next_xid_;
  for (const auto& [xid, transaction] : running_) snapshot.running.push_back(xid);
  snapshot.xmin = snapshot.running.empty() ? next_xid_ : snapshot.running.front();
  return snapshot;
}

std::vector<Xid> FakeSource::open_transactions() const {
  std::vector<Xid> xids;
  for (const auto& [xid, transaction] : running_)
    if (transaction.commit_lsn == 0) xids.push_back(xid);
  return xids;
}

std::vector<Xid> FakeSource::logged_transactions() const {
  std::vector<Xid> xids;
  for (const auto& [xid, transaction] : running_)
    if (transaction.commit_lsn != 0) xids.push_back(xid);
  return xids;
}

bool FakeSource::lock_shared(TableId table) {
  if (state_[table].truncated_by != 0) return false;
  ++state_[table].readers;
  return true;
}

void FakeSource::unlock_shared(TableId table) { --state_[table].readers; }

std::vector<FakeRow> FakeSource::rows(TableId table, const Snapshot& snapshot) const {
  std::vector<FakeRow> rows;
  for (const auto& [id, chain] : state_[table].chains) {
    const auto seen = std::find_if(chain.rbegin(), chain.rend(), [&](const Version& version) {
      return snapshot.sees(version.xid);
    });
    if (seen != chain.rend() && seen->row) rows.push_back(*seen->row);
  }
  return rows;
}

}  // namespace lockstep
