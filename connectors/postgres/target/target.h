// PostgresTarget: the Target port over one PostgreSQL connection.
//
// A lane's transaction travels as one pipeline: fence, statements, debts, progress, COMMIT, sent
// and answered in one round trip.  Only when the server refuses a row is it rolled back and applied
// again through functions that find that row (target/target_isolate.cc).
//
//   target/target.cc           apply(): the pipeline, and what its failures mean
//   target/target_isolate.cc   rows refused; target/target_evict.cc  holders of unique values
//   target/target_copy.cc      direct COPY, done-marks, TRUNCATE, debts for the settler
//   target/target_session      the connection and its fence; target/target_tables  what it
//   staged
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <vector>

#include "connectors/postgres/target/target_debts.h"
#include "connectors/postgres/target/target_session.h"
#include "connectors/postgres/target/target_tables.h"
#include "pipeline/ports/source.h"
#include "pipeline/ports/target.h"

namespace lockstep {

// What settling a debt does to the row that holds its unique value.
enum class HolderPolicy : std::uint8_t {
  Evict,       // Delete it and read it from the source again (I17).
  Quarantine,  // `existing: upsert`: it may be the user's own; name both.
};

struct PostgresTargetOptions {
  TargetSessionOptions session;
  HolderPolicy holders = HolderPolicy::Evict;
  std::uint32_t debt_attempts = 5;  // Then a debt is quarantined.
  std::size_t statement_rows_max = 1000;
  std::size_t statement_bytes_max = 4U << 20U;
  std::chrono::milliseconds copy_lock_max{1000};  // lock_timeout of a direct COPY (I18).
  std::chrono::milliseconds copy_max{10000};      // Its statement_timeout.
  std::chrono::milliseconds truncate_lock_max{5000};
};

// One thread.
//
// Invariant: outside copy() .. copy_commit() or copy_abort() no transaction is open.
class PostgresTarget final : public Target {
 public:
  // Borrows `tables` (by TableId) and `counts`; both outlive it.
  PostgresTarget(PostgresTargetOptions options, const std::vector<const TableMap*>& tables,
                 TableCounts& counts);

  // Connects, or answers why not: for callers that want to know before the first batch.
  // Halt, with exit code Temporary: the target has lost progress that was committed by this object.
  Status open();

  Result<ApplyOutcome> apply(const LaneTransaction& transaction) override;
  Status copy(const TableMap& table, const RowBatch& rows,
              std::span<const std::uint32_t> chosen) override;
  Status copy_commit(const std::optional<ChunkMark>& done) override;
  Status copy_abort() override;
  Status mark_done(const ChunkMark& mark) override;
  Status truncate(const Truncation& truncation) override;
  Result<std::vector<Debt>> open_debts(TableId table, std::size_t limit) override;

 private:
  enum class StepKind : std::uint8_t {
    Write,
    Clear,
    Open,
    NoSwallowers,
    Progress,
    EndProgress,
    CheckAtOnce
  };
  static constexpr const char* kCheckAtOnce = "SET CONSTRAINTS ALL IMMEDIATE";

  // One statement of a lane transaction.  Write: `count` writes of the run from `first`, of `kind`.
  struct Step {
    StepKind kind = StepKind::Write;
    StatementKind statement = StatementKind::Upsert;
    const Run* run = nullptr;
    std::size_t first = 0;
    std::size_t count = 0;
  };

  // A part of a run: what one statement takes.
  struct Piece {
    const Run* run = nullptr;
    std::size_t first = 0;
    std::size_t count = 0;
  };

  // What an attempt has done so far; counted only once it has committed.
  struct Attempt {
    ApplyOutcome outcome;
    std::vector<std::pair<TableId, std::int64_t>> debts;   // Opened (+) and cleared (-).
    std::vector<std::pair<TableId, std::uint64_t>> wrote;  // Rows.
    TableId table = 0;                                     // Of the statement that failed.
  };

  // A row the server refused, and why.
  struct Refusal {
    const Write* write = nullptr;
    DebtReason reason = DebtReason::Refused;
    std::string detail;
    std::string holder;  // The key of the row in its way, which may not be evicted.
  };

  // --- target/target.cc
  Result<ApplyOutcome> apply_some(const LaneTransaction& transaction);
  Status check_progress();
  Result<ApplyOutcome> apply_at_once(const LaneTransaction& transaction);
  bool isolates(const Run& run) const;
  Result<std::optional<ChangeBatch::Stop>> for_each_run(
      const LaneTransaction& transaction, const std::function<Status(const Run&)>& prepare);
  Status prepare_run(const Run& run, StatementMode mode);
  std::vector<Step> plan(const LaneTransaction& transaction) const;
  void plan_run(const Run& run, bool may_have_debts, std::vector<Step>& steps) const;
  std::vector<Piece> pieces(const Run& run) const;
  Status queue_step(const Step& step, const LaneTransaction& transaction);
  Status queue_write(const Step& step, StatementMode mode);
  Status queue_no_swallowers(const LaneTransaction& transaction);
  Status queue_open_debts(const Run& run);
  void note_result(const Step& step, const PgResult& result, Attempt& attempt) const;
  ApplyOutcome committed(Attempt attempt);
  void note_written(const Run& run, std::uint64_t rows, Attempt& attempt) const;
  void note_opened(const Run& run, const Hash128& key, Attempt& attempt) const;
  // Nothing: apply it again, in another way.
  Result<std::optional<ApplyOutcome>> failed(const LaneTransaction& transaction,
                                             const std::vector<Step>& steps,
                                             const StatementFailure& failure);
  // The commit's answer was lost: count what may have been opened.
  void count_possible_debts(const LaneTransaction& transaction);
  Error lost(Error error);

  // --- target/target_isolate.cc
  Result<ApplyOutcome> apply_isolated(const LaneTransaction& transaction);
  Status apply_isolated_runs(const LaneTransaction& transaction, Attempt& attempt);
  Status isolate_run(const Run& run, Attempt& attempt);
  Status isolate_piece(Piece piece, std::vector<Refusal>& refused, Attempt& attempt);
  // A row that was refused, by its place in the run.
  struct Failure {
    std::size_t at = 0;
    StatementFailure what;
  };
  Result<std::vector<Failure>> try_piece(Piece piece, Attempt& attempt);
  Result<std::vector<Failure>> halve_piece(Piece piece, StatementFailure failure, Attempt& attempt);
  Status settle_debts_of(const Run& accepted, const std::vector<Refusal>& refused,
                         Attempt& attempt);
  Result<Refusal> refuse(Piece piece, StatementFailure failure, Attempt& attempt);
  void forget_evictions();
  // Runs what has been queued inside the transaction; any failure is an error.
  Result<std::vector<PgResult>> run_queued();

  // --- target/target_evict.cc
  // Deletes the rows that hold a unique value of the piece's one row and opens their debts.
  // Returns how many there were, or, where they may not be evicted, the holder's key.
  struct Eviction {
    std::size_t holders = 0;
    std::string holder_text;
  };
  Result<Eviction> evict(Piece piece, const StatementFailure& failure, Attempt& attempt);
  Result<Eviction> evict_from(Piece piece, const StatementFailure& failure, Attempt& attempt);
  Status stage_new_row(Piece piece);
  Status open_evicted_debts(Piece piece, const PgResult& holders, Attempt& attempt);

  // --- target/target_copy.cc
  Result<const std::string*> constant_cells(const TableMap& table);
  Result<bool> holds_any(const TableMap& table, const RowBatch& rows,
                         std::span<const std::uint32_t> chosen);
  Status send_copy(const TableMap& table, const RowBatch& rows,
                   std::span<const std::uint32_t> chosen);
  Status truncate_by(const Truncation& truncation, const std::string& sql);
  // Runs one fenced transaction of statements with values in their text.
  Result<std::vector<PgResult>> run_fenced(const std::vector<std::string>& statements);
  Error copy_error(Error error);

  const TableMap& map(TableId table) const { return *tables_[table]; }
  std::string debt_row_is(TableId table, const Hash128& key) const;

  const PostgresTargetOptions options_;
  const std::vector<const TableMap*>& tables_;
  TableCounts& counts_;
  TargetSession session_;
  TargetTables staged_;
  std::uint64_t generation_ = 0;  // Of the session whose ledger statements are prepared.
  // Of each stream and lane, as it was committed last.
  std::map<std::pair<std::string, std::uint32_t>, Position> committed_;
  // A COMMIT was refused by what a trigger had put off until then, when nobody can say for which
  // row: from now on it is asked at each statement.
  bool checks_at_once_ = false;
  std::set<TableId> isolated_;  // Had a row refused in their last transaction.
  // How often settling a key has evicted another, since it was last written without.  Rows that
  // cannot both be on the target evict each other for ever otherwise.
  std::map<std::pair<TableId, Hash128>, std::uint32_t> evictions_;
  std::map<TableId, std::string> constants_;
  std::pair<TableId, std::uint64_t> copied_;  // Rows of the COPY that is open.
};

// Whether the server refused a row for a reason of that row, so that the others can go on.
bool refuses_a_row(const Error& error);

// The error of a table's statement: two rows of one statement with one key stop the table, and so
// does an index that is damaged.
Error table_error(const TableMap& table, Error error);

}  // namespace lockstep
