// TargetStore: the target database: committed rows and bookkeeping, and the COPYs not committed
// yet.
//
// It keeps PostgreSQL's habits that the merge's races live on: rows of an open COPY are invisible,
// a DELETE or UPDATE of their keys hits nothing, a write of one waits, and a COPY over a row fails.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "checkpoint/unseen.h"
#include "pipeline/ports/target.h"
#include "tests/fakes/fake_table.h"

namespace lockstep {

// A transaction that owns its bytes: what a killed process has sent already.
struct SentTransaction {
  std::uint64_t epoch = 0;
  LaneTransaction transaction;
  std::deque<std::string> bytes;
  std::deque<Snapshot> snapshots;
};
// By pointer: moving it would move the bytes that its writes borrow.
std::unique_ptr<SentTransaction> keep_transaction(std::uint64_t epoch,
                                                  const LaneTransaction& transaction);

// For a trace.
std::string text_of(const LaneTransaction& transaction);

class TargetStore {
 public:
  explicit TargetStore(const std::vector<TableMap>& tables, std::uint32_t debt_attempts = 5)
      : tables_(tables),
        debt_attempts_(debt_attempts),
        rows_(tables.size()),
        files_(tables.size()) {}

  // ---- what the fake connections do
  // Raises the epoch and ends the open COPYs of earlier ones (I12).
  std::uint64_t claim();
  Status check_fence(std::uint64_t epoch) const;
  // Retry: a lock is held by an open COPY.
  Result<ApplyOutcome> apply(std::uint64_t epoch, const LaneTransaction& transaction);
  Status open_copy(std::uint64_t connection, const TableMap& table, std::vector<FakeRow> rows);
  void commit_copy(std::uint64_t connection, const std::optional<ChunkMark>& mark);
  void abort_copy(std::uint64_t connection) { copies_.erase(connection); }
  void mark(const ChunkMark& mark);
  void truncate(std::uint64_t epoch, const Truncation& truncation);
  std::vector<Debt> open_debts(TableId table, std::size_t limit) const;

  // ---- what prepare writes and a new incarnation reads
  void put_progress(std::uint64_t epoch, std::uint64_t batch, const ProgressRow& row);
  std::vector<ProgressRow> progress() const;
  void lose_progress() { progress_.clear(); }  // As a target that is put back.
  std::vector<LaneBatch> lane_batches() const;
  std::vector<ChunkMark> marks() const;
  Position horizon(TableId table) const;
  void put_horizon(TableId table, Position horizon) { horizons_[table] = horizon; }
  const std::string& files(TableId table) const { return files_[table]; }
  void save_files(TableId table, const std::string& files) { files_[table] = files; }
  void forget_chunks(TableId table);
  std::uint64_t epoch() const { return epoch_; }

  // ---- what tests look at
  using Rows = std::map<int, FakeRow>;
  const Rows& rows(TableId table) const { return rows_[table]; }
  Rows& edit_rows(TableId table) { return rows_[table]; }
  std::vector<Debt> debts() const;
  const std::vector<Debt>& accepted() const { return accepted_; }
  // Somebody accepts the difference of every row that is set aside: `quarantine drop`.
  void accept_quarantined();
  bool copying() const { return !copies_.empty(); }
  // A write to these would wait for an open COPY.
  bool locked_by_copy(TableId table, const FakeRow& row) const;

 private:
  struct Copy {
    TableId table = 0;
    std::vector<FakeRow> rows;
  };
  struct StoredProgress {
    ProgressRow row;
    std::uint64_t epoch = 0;
    std::uint64_t batch = 0;
  };
  using DebtKey = std::pair<TableId, Hash128>;

  bool must_wait(const LaneTransaction& transaction) const;
  void carry_out(const Run& run, const Write& write, ApplyOutcome& outcome);
  void upsert(const Run& run, const Write& write, ApplyOutcome& outcome);
  void update(const Run& run, const Write& write, ApplyOutcome& outcome);
  void refuse(const Run& run, const Write& write, DebtReason reason, ApplyOutcome& outcome);
  void remove(const Run& run, const Write& write, ApplyOutcome& outcome);
  // Whether the holder is gone.
  bool evict(const Run& run, const Write& write, int holder, ApplyOutcome& outcome);
  std::optional<int> unique_holder(const TableMap& table, const FakeRow& row) const;
  void clear_debts(const Run& run, const Write& write);
  void open_debt(const Debt& debt, ApplyOutcome& outcome);

  const std::vector<TableMap>& tables_;
  const std::uint32_t debt_attempts_;
  std::vector<Rows> rows_;
  std::vector<std::string> files_;  // By table.
  std::map<DebtKey, Debt> debts_;
  std::vector<Debt> accepted_;
  std::map<DebtKey, std::uint32_t> evictions_;  // By settled key, since it was last written well.
  std::map<std::pair<std::string, std::uint32_t>, StoredProgress> progress_;
  std::map<std::pair<TableId, std::uint64_t>, ChunkMark> marks_;
  std::map<TableId, Position> horizons_;
  std::map<std::uint64_t, Copy> copies_;  // By connection.
  std::uint64_t epoch_ = 0;
};

}  // namespace lockstep
