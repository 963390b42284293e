// Target: one fenced writing connection to the target, and what may be written through it.
//
// Every call is blocking and bounded.  A connection that is lost answers Reaction::Retry; the next
// call connects again.  No port is thread-safe unless it says so: each object belongs to one
// thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "pipeline/base/result.h"
#include "pipeline/model/change.h"
#include "pipeline/model/row.h"
#include "pipeline/model/row_batch.h"
#include "pipeline/model/snapshot.h"
#include "pipeline/model/table.h"
#include "pipeline/ports/reader.h"
#include "pipeline/ports/source.h"

namespace lockstep {

// One row of the target's progress: what lane `lane` has applied of `stream` (I13).
struct ProgressRow {
  std::string stream;
  std::uint32_t lane = 0;
  Position position;
  Xid last_xid = 0;  // Of the last change applied; seeds the widening of 32-bit xids.
  Xid max_xid = 0;   // Largest ever applied; never lowered.
};

struct ChunkMark {
  TableId table = 0;
  std::uint64_t first = 0;  // Sequence numbers of planned chunks it covers, inclusive.
  std::uint64_t last = 0;
  KeyRange range;
  std::uint64_t rows = 0;
};

struct Debt {
  TableId table = 0;
  Hash128 key_hash;
  std::string key;  // Key cells, as last seen.
  Xid xid = 0;      // 0: any snapshot begun after the debt was opened serves.
  std::int64_t commit_us = 0;
  DebtReason reason = DebtReason::None;
  std::uint32_t attempts = 0;
  bool quarantined = false;
  std::string detail;  // The server's message, for people; holds no values.
};

enum class WriteKind : std::uint8_t {
  Upsert,  // INSERT ... ON CONFLICT (key) DO UPDATE.
  Update,  // Of the cells that are available; a row that is hit nowhere opens a MissingRow debt.
  Delete,
  Forget,    // Writes no row: the key's debts go as the run's rule says (a settled debt without a
             // row).
  OpenDebt,  // Writes no row: only opens the write's debt.
};

// What a run does to the debts its keys already have.
enum class DebtRule : std::uint8_t {
  Keep,          // A partial update.
  Clear,         // A full image or delete of the stream: all debts of the key.
  ClearVisible,  // A row read under run.snapshot: those whose xid it sees.
};

struct Write {
  std::string_view row;  // Cells in TableMap::columns order; Delete, Forget, OpenDebt: unused.
  std::string_view key;  // Key cells in key order.
  Hash128 key_hash;
  Xid xid = 0;
  std::int64_t commit_us = 0;
  DebtReason debt = DebtReason::None;  // Opened (or raised) by this write, after the run's rule.
  std::string_view detail;             // Of the debt, for people.
};

// What becomes of the rows that hold a unique value which a row needs.
enum class Holders : std::uint8_t {
  Stay,   // The row becomes a debt.
  Evict,  // Of a settled debt: they are deleted and read again (I17).
  Keep,   // Of a settled debt: they stay, and the debt is quarantined and names them.
};

// Writes of one table and one kind, executed in order as one statement or several.
// Keys are distinct within a run; runs execute in order.
struct Run {
  const TableMap* table = nullptr;
  WriteKind kind = WriteKind::Upsert;
  DebtRule rule = DebtRule::Clear;
  Holders holders = Holders::Stay;
  const Snapshot* snapshot = nullptr;  // Set with ClearVisible.
  std::vector<Write> writes;           // Update: all have the same available columns.

  // Whether its rows were read for debts: a chunk's rows, read likewise, are never deleted or
  // forgotten, and evict nobody.  A row that the target refuses then counts as an attempt.
  bool settles() const {
    return rule == DebtRule::ClearVisible &&
           (holders != Holders::Stay || kind != WriteKind::Upsert);
  }
};

struct LaneTransaction {
  std::vector<Run> runs;
  std::vector<ProgressRow> progress;
  std::uint64_t batch = 0;  // This lane's transaction counter; stored with its progress.
  // Rows of progress that go, by stream and lane: their tables are where the stream is.
  std::vector<std::pair<std::string, std::uint32_t>> rejoined{};
};

struct DebtOpened {
  TableId table = 0;
  Hash128 key_hash;
  DebtReason reason = DebtReason::None;
};

struct ApplyOutcome {
  // Set: nothing was committed, this table cannot go on (its column is gone, its grant revoked).
  std::optional<ChangeBatch::Stop> stop;
  std::vector<DebtOpened> opened;
  std::uint64_t rows_written = 0;
  std::uint64_t set_aside = 0;  // Debts that were quarantined.
};

// A lane whose progress a TRUNCATE raises: it is the lane's transaction `batch`.
struct RaisedLane {
  std::uint32_t lane = 0;
  std::uint64_t batch = 0;
};

struct Truncation {
  TableId table = 0;
  std::string stream;
  Position position;  // All lanes' progress of `stream` rises to it.
  std::vector<RaisedLane> lanes;
  Xid xid = 0;                 // Debts of the table that are not newer go.
  Position horizon;            // The event's own LSN; events below it are dropped (I15).
  bool forget_chunks = false;  // Several partitions: all chunks of the table are not done.
};

// One writing connection to the target, fenced by the epoch (I12).  One thread each: a lane, or a
// scanner for its direct COPY and done-marks.
//
// Halt with code "fenced" when another incarnation owns the migration.
//
// After a lost connection the next call connects again and first makes sure that the old backend
// (pid, backend_start) is gone, ending it if need be: statements that were sent may still be
// carried out, and must not land behind newer ones.
class Target {
 public:
  virtual ~Target() = default;

  // Applies one lane transaction: all runs, the debts, the progress; then COMMIT.
  // Isolates rows that the target refuses (Violation, Refused) or swallows: each becomes a debt,
  // the others go on.  A debt that could not be settled has one attempt more; after `debt_attempts`
  // it is quarantined, and so is one whose settling evicts another row again and again.
  // Retry: the transaction may or may not have committed; applying it again is safe.
  virtual Result<ApplyOutcome> apply(const LaneTransaction& transaction) = 0;

  // Direct COPY of one piece: BEGIN, fence, COPY; then commit or abort.
  // copy() answers Reject when a row exists already (unique violation) or the piece takes too long
  // (lock_timeout, statement_timeout): the caller aborts and sends the rows through the lanes.
  virtual Status copy(const TableMap& table, const RowBatch& rows,
                      std::span<const std::uint32_t> chosen) = 0;
  virtual Status copy_commit(const std::optional<ChunkMark>& done) = 0;
  // Ends the COPY without effect, whatever its state, also after a lost connection: it returns Ok
  // only once the server has ended that transaction (its old backend is gone), because a COMMIT
  // that was sent may still be carried out.  Retry: not known yet, call again.
  virtual Status copy_abort() = 0;

  // Marks a chunk done in a transaction of its own.
  virtual Status mark_done(const ChunkMark& mark) = 0;

  // TRUNCATE (or DELETE where a foreign key refers to the table), progress, horizon, debts (I15).
  virtual Status truncate(const Truncation& truncation) = 0;

  // The open debts of a table that are not quarantined, at most `limit`: those with the fewest
  // attempts first, of these the oldest.
  virtual Result<std::vector<Debt>> open_debts(TableId table, std::size_t limit) = 0;
};

}  // namespace lockstep
