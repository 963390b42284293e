// Debts as the target's sessions write them: which tables may have any, and the rows of a
// statement; and what else the sessions of one process count together.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "connectors/postgres/target/target_session.h"
#include "connectors/postgres/wire/rows.h"
#include "pipeline/ports/target.h"

namespace lockstep {

// How many debts each table may have at most, so that clearing them costs nothing where there are
// none (07: thousands of index probes per batch).  And how far tables have grown: a plan that was
// made for fewer rows reads them all.
//
// Safe for concurrent use; one object per process, loaded from Claim::debts before any lane starts.
//
// Invariant: never below the rows of the debt table, as far as the calling thread may clear them.
// It may be above: a commit whose answer was lost is counted.  A clear that is left out although
// another lane has just evicted the key leaves a debt that is settled by reading, so no order
// between threads is needed and the counters are relaxed.
class TableCounts {
 public:
  explicit TableCounts(std::size_t tables) : counts_(tables), rows_(tables), overlaps_(tables) {}

  void add(TableId table, std::int64_t debts) {
    counts_[table].fetch_add(debts, std::memory_order_relaxed);
  }
  bool any(TableId table) const { return counts_[table].load(std::memory_order_relaxed) > 0; }

  // Rows that this process wrote, whether or not they were there before.
  void wrote(TableId table, std::uint64_t rows) {
    rows_[table].fetch_add(rows, std::memory_order_relaxed);
  }
  std::uint64_t rows(TableId table) const { return rows_[table].load(std::memory_order_relaxed); }

  // Whether a row that is to be copied may be there already: lanes wrote to the table, or it had
  // rows when the first COPY of this process asked.
  enum class Overlap : std::uint8_t { Unknown, None, Possible };
  Overlap overlap(TableId table) const { return overlaps_[table].load(std::memory_order_relaxed); }
  void overlap(TableId table, Overlap is) { overlaps_[table].store(is, std::memory_order_relaxed); }

 private:
  std::vector<std::atomic<std::int64_t>> counts_;
  std::vector<std::atomic<std::uint64_t>> rows_;
  std::vector<std::atomic<Overlap>> overlaps_;
};

// Whether a plan that was made when `then` rows had been written is too old for `now`.  Of a table
// that grows to N rows each statement is planned log2(N) times.
inline bool outgrown(std::uint64_t then, std::uint64_t now) {
  constexpr std::uint64_t kFew = 50;
  return now - then > std::max(kFew, then);
}

// Whether a failed attempt to settle keeps the debt's attempts and state, or a new event begins
// anew.
enum class DebtState : std::uint8_t { Fresh, Kept };

// Why one of them is opened.
struct DebtNote {
  DebtReason reason = DebtReason::None;
  std::string_view detail;
  std::string_view holder;  // The key of the row in its way; it is quarantined then.
  std::uint32_t attempts = 0;
};

// The rows of one statement that opens debts of one table.
class DebtRows {
 public:
  DebtRows(const TableName& table, DebtState state) : table_(table), state_(state) {}

  void add(const Write& write, const DebtNote& note);
  bool empty() const { return keys_.size() == 0; }
  // Queues the statement; its result counts every row.
  Status queue(TargetSession& session, std::uint32_t debt_attempts) const;

 private:
  const TableName& table_;
  DebtState state_;
  ArrayBuilder hashes_{kByteaOid};
  ArrayBuilder keys_{kByteaOid};
  ArrayBuilder xids_{kXid8Oid};
  ArrayBuilder times_{kInt8Oid};
  ArrayBuilder reasons_{kTextOid};
  ArrayBuilder details_{kTextOid};
  ArrayBuilder holders_{kTextOid};
  ArrayBuilder attempts_{kInt4Oid};
};

// Prepares the statements of this file and of progress, in a new session.
Status prepare_ledger_statements(TargetSession& session, const BookkeepingName& name);

// Queues the statement that removes the debts of a run's keys, by the run's rule.
Status queue_clear_debts(TargetSession& session, const Run& run);

struct ProgressStamp {
  std::uint64_t epoch = 0;
  std::uint64_t batch = 0;
};
Status queue_progress(TargetSession& session, std::span<const ProgressRow> rows,
                      ProgressStamp stamp);
// What LaneTransaction::rejoined says.
Status queue_end_progress(TargetSession& session,
                          std::span<const std::pair<std::string, std::uint32_t>> rows);

Status queue_mark(TargetSession& session, const TableName& table, const ChunkMark& mark);

// The binary form of a pg_snapshot.
std::string snapshot_bytes(const Snapshot& snapshot);

}  // namespace lockstep
