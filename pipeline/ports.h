// Ports: what the core asks of the outside world.  connectors/ and checkpoint/ implement them for
// real, tests/fakes/ for the simulator.
//
// Every call is blocking and bounded.  A connection that is lost answers Reaction::Retry; the next
// call connects again.  No port is thread-safe: each object belongs to one thread, named here.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "pipeline/change.h"
#include "pipeline/result.h"
#include "pipeline/row.h"
#include "pipeline/row_batch.h"
#include "pipeline/snapshot.h"
#include "pipeline/table.h"

namespace lockstep {

class Clock {
 public:
  virtual ~Clock() = default;
  virtual std::chrono::steady_clock::time_point now() const = 0;
  virtual std::int64_t wall_us() const = 0;  // Microseconds since 1970.
};

// ---------------------------------------------------------------- the source's change stream

// What one poll produced, in stream order per stream.
struct ChangeBatch {
  std::vector<Change> changes;
  std::vector<Watermark> watermarks;  // Valid after all of `changes`.
  struct Stop {
    TableId table;
    Error error;
  };
  std::vector<Stop> stops;  // Tables that cannot go on from here; their streams are paused already.
};

// Source thread only.
class ChangeSource {
 public:
  virtual ~ChangeSource() = default;

  // Names of the streams, by StreamId; grows when a partition or topic appears.
  virtual const std::vector<std::string>& streams() const = 0;

  // Fills `batch` with what arrives until `deadline`, or earlier once it is large enough.
  // Halt: I16.  Waits for the broker or slot; a lost connection is retried inside and shown in
  // state().
  virtual Status poll(ChangeBatch& batch, std::chrono::milliseconds deadline) = 0;

  // Stops reading the streams of `table` (I8); its later events stay in the source.
  virtual Status pause_table(TableId table) = 0;
  // Names of the streams that carry `table`'s changes, as far as they exist yet.
  virtual std::vector<std::string> streams_of(TableId table) const = 0;

  // Everything before `position` of `stream` is durable on the target: may be told to the source
  // (flush LSN) or to people's lag tools (group offset).
  virtual Status acknowledge(StreamId stream, Position position) = 0;

  // One sentence for status: "streaming", "broker unreachable since ...".
  virtual std::string state() const = 0;
};

// Proof that everything committed before an LSN is in the stream, and where the stream then ends
// (V3 of 03-reconcile.md).  Proof thread (the supervisor) only.
class StreamProof {
 public:
  virtual ~StreamProof() = default;
  struct Answer {
    bool reached = false;
    bool exact = false;       // false: V3's near-proof.
    std::string waiting_for;  // When not reached: one sentence for status.
    std::vector<std::pair<std::string, Position>> ends;  // When reached: per stream name.
  };
  // Whether the stream has passed `lsn`; when it has, its ends read afterwards.
  virtual Result<Answer> reached(Lsn lsn) = 0;
};

// ---------------------------------------------------------------- the source's tables

// A half-open range of keys [lower, upper); no bound: unbounded.  Bounds are key cells.
struct KeyRange {
  std::optional<std::string> lower;
  std::optional<std::string> upper;
};

struct OpenSnapshot {
  Snapshot snapshot;
  Lsn insert_lsn = 0;  // pg_current_wal_insert_lsn() read right after S (I6).
  // The stream begins where it ends, and had not begun when it was taken: each transaction is
  // either seen by it or in the stream, those included that ran then.
  bool begins_stream = false;
};

// One source connection; one scan thread each.
class ChunkReader {
 public:
  virtual ~ChunkReader() = default;

  // Returns the key `rows` keys after `lower` in key order, or nothing when fewer remain.
  virtual Result<std::optional<std::string>> bound_after(const TableMap& table,
                                                         const std::optional<std::string>& lower,
                                                         std::uint64_t rows) = 0;
  // Begins a REPEATABLE READ READ ONLY transaction and takes its snapshot as the first statement.
  // REQUIRES: none is open.
  virtual Result<OpenSnapshot> begin() = 0;
  // Whether the server has flushed its log up to `lsn` (I6).  REQUIRES: begin().
  virtual Result<bool> flushed(Lsn lsn) = 0;
  // Starts reading the rows of a range, or of a list of keys, under the open snapshot.
  virtual Status start_range(const TableMap& table, const KeyRange& range) = 0;
  virtual Status start_keys(const TableMap& table, std::span<const std::string> keys) = 0;
  // Appends rows to `out` until it holds `max_bytes` or the read is complete.
  // Returns false when the read is complete.
  virtual Result<bool> read(RowBatch& out, std::size_t max_bytes) = 0;
  // StopTable when the table's columns or partitions are not those of `table` any more (I15); Retry
  // when it was rewritten or truncated meanwhile, so that the read is void (I10).
  // REQUIRES: the read is complete (its lock on the table is still held).
  virtual Status check_shape(const TableMap& table) = 0;
  // Ends the transaction, whatever its state.  Safe when none is open.
  virtual void end() = 0;
};

struct BlockingTransaction {
  std::string what;  // "pid 4711 (psql), open for 312 s, xid 8812", "prepared transaction 'x'".
};

// One file of rows of a source table: its own, or one of its leaves'; and the root itself.
struct TableFile {
  std::uint32_t relation = 0;  // Its oid; a leaf keeps it, whatever is done to it.
  std::uint32_t node = 0;      // Another one after each rewrite and TRUNCATE; 0 of a root.
  // Another one after it was attached, or its root published, anew or in another way: changes in
  // between are in no stream.
  std::uint64_t bond = 0;
  std::string name;  // "public.orders_2026", for people; may be unknown.
  // Another one after a column was added, dropped or renamed: a new one has values in every row
  // that no event told, and may have an old one's name.  0: a leaf's, which has its root's.
  std::uint64_t columns = 0;
  friend bool operator==(const TableFile& a, const TableFile& b) {
    return a.relation == b.relation && a.node == b.node && a.bond == b.bond &&
           a.columns == b.columns;
  }
};

// One source connection; one thread.
class SourceProbe {
 public:
  virtual ~SourceProbe() = default;
  // pg_current_snapshot(), and P3/I16 identity checks.  Answers only once the log is flushed past
  // the insert position read right after it (I6): a crash of the source gives the number of an
  // unflushed transaction to another one, which an older probe would then wrongly claim to see.
  virtual Result<Snapshot> probe() = 0;
  virtual Result<Xid> assign_xid() = 0;  // pg_current_xact_id() of a transaction that then commits.
  // Emits a transactional logical message and returns the insert LSN read after its commit.
  virtual Result<Lsn> emit_marker() = 0;
  virtual Result<Lsn> insert_lsn() = 0;
  // The oldest transactions below `xid` that are still running, for status.
  virtual Result<std::vector<BlockingTransaction>> blockers(Xid xid) = 0;
  // The files of each table, by relation; none for a table that was dropped (I15).
  virtual Result<std::vector<std::vector<TableFile>>> files(
      std::span<const TableMap* const> tables) = 0;
  // Whether the relation's file has ever held a row.
  virtual Result<bool> has_rows(std::uint32_t relation) = 0;
};

// ---------------------------------------------------------------- the target

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
};

// Writes of one table and one kind, executed in order as one statement or several.
// Keys are distinct within a run; runs execute in order.
struct Run {
  const TableMap* table = nullptr;
  WriteKind kind = WriteKind::Upsert;
  DebtRule rule = DebtRule::Clear;
  bool evict = false;  // A settled debt: a unique conflict evicts its holders (I17).
  const Snapshot* snapshot = nullptr;  // Set with ClearVisible.
  std::vector<Write> writes;           // Update: all have the same available columns.
};

struct LaneTransaction {
  std::vector<Run> runs;
  std::vector<ProgressRow> progress;
  std::uint64_t batch = 0;  // This lane's transaction counter; stored with its progress.
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
};

struct Truncation {
  TableId table = 0;
  std::string stream;
  Position position;  // All lanes' progress of `stream` rises to it.
  std::vector<std::uint32_t> lanes;
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
  // Isolates rows that the target refuses (Violation, Refused): each becomes a debt, the others go
  // on.  Retry: the transaction may or may not have committed; applying it again is safe.
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

  // Records failed attempts to settle a debt; `quarantine` sets its state.
  virtual Status fail_debt(TableId table, const Hash128& key, std::string_view detail,
                           bool quarantine) = 0;

  // The oldest open debts of a table that are not quarantined, at most `limit`, after `after`.
  virtual Result<std::vector<Debt>> open_debts(TableId table, std::size_t limit) = 0;
};

struct DebtCount {
  TableId table = 0;
  std::uint64_t open = 0;
  std::uint64_t quarantined = 0;
  std::int64_t oldest_commit_us = 0;  // Of the open ones; 0 when none.
};

// The target's bookkeeping of whole tables.  Supervisor thread only.
class Census {
 public:
  virtual ~Census() = default;
  // One entry per table that has debts or quarantined rows.
  virtual Result<std::vector<DebtCount>> count_debts() = 0;
  // What all chunks of the table were read from (I15); `files` as files_text() writes them.
  virtual Status save_files(TableId table, const std::string& files) = 0;
  // The table has stopped, for who asks while no daemon runs.
  virtual Status save_stop(TableId table, const std::string& reason) = 0;
  // No chunk of the table is done any more.
  virtual Status forget_chunks(TableId table) = 0;
  // Tables of which the target's, or a mapped column of it, is not the one that the run began with:
  // it may have its name, and has nothing of what was written.
  virtual Result<std::vector<TableId>> replaced_targets() = 0;
};

// ---------------------------------------------------------------- our own state

// What a lane is about to commit, made durable first, so that after a crash U is known (I5).
struct LaneIntent {
  std::uint32_t lane = 0;
  std::uint64_t epoch = 0;
  std::uint64_t batch = 0;
  std::vector<Xid> unseen;  // U: applied, and not yet seen by a probe.
};

class CheckpointStore {
 public:
  virtual ~CheckpointStore() = default;
  // Safe for concurrent use by the lanes.  Durable on return.
  virtual Status save_intent(const LaneIntent& intent) = 0;
  // Raw bytes of an event that became a debt, for `quarantine show`; bounded by the store.
  virtual Status save_evidence(std::string_view id, std::string_view event) = 0;
};

}  // namespace lockstep
