// Debts as the target's sessions write them: which tables may have any, and the rows of a
// statement.
#pragma once

#include <atomic>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "connectors/postgres/target/target_session.h"
#include "connectors/postgres/wire/rows.h"
#include "pipeline/ports/target.h"

namespace lockstep {

// How many debts each table may have at most, so that clearing them costs nothing where there are
// none (07: thousands of index probes per batch).
//
// Safe for concurrent use; one object per process, loaded from Claim::debts before any lane starts.
//
// Invariant: never below the rows of the debt table, as far as the calling thread may clear them.
// It may be above: a commit whose answer was lost is counted.  A clear that is left out although
// another lane has just evicted the key leaves a debt that is settled by reading, so no order
// between threads is needed and the counters are relaxed.
class DebtCounts {
 public:
  explicit DebtCounts(std::size_t tables) : counts_(tables) {}

  void add(TableId table, std::int64_t debts) {
    counts_[table].fetch_add(debts, std::memory_order_relaxed);
  }
  bool any(TableId table) const { return counts_[table].load(std::memory_order_relaxed) > 0; }

 private:
  std::vector<std::atomic<std::int64_t>> counts_;
};

// Whether a failed attempt to settle keeps the debt's attempts and state, or a new event begins
// anew.
enum class DebtState : std::uint8_t { Fresh, Kept };

// The rows of one statement that opens debts of one table.
class DebtRows {
 public:
  DebtRows(const TableName& table, DebtState state) : table_(table), state_(state) {}

  void add(const Write& write, DebtReason reason, std::string_view detail, std::string_view holder);
  bool empty() const { return keys_.size() == 0; }
  // Queues the statement; its result counts every row.
  Status queue(TargetSession& session) const;

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

Status queue_mark(TargetSession& session, const TableName& table, const ChunkMark& mark);

// The binary form of a pg_snapshot.
std::string snapshot_bytes(const Snapshot& snapshot);

}  // namespace lockstep
