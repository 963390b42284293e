// TargetSession: one writing connection to the target, fenced, in libpq's pipeline mode.
//
// It knows transactions, not tables: every transaction that writes begins with the shared advisory
// lock and the check of the epoch (I12), is sent in one go, and ends in one COMMIT. target/target
// puts the statements between.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "connectors/postgres/target/own_transactions.h"
#include "connectors/postgres/target/sql.h"
#include "connectors/postgres/wire/connection.h"
#include "connectors/postgres/wire/facts.h"

namespace lockstep {

struct TargetSessionOptions {
  PostgresOptions connection;  // application_name tells lanes and scanners apart.
  BookkeepingName bookkeeping;
  std::uint64_t epoch = 0;  // What Bookkeeping::claim() answered.
  // Of the server that the run was prepared on.
  std::optional<SourceIdentity> server{};
  OwnTransactions* own = nullptr;  // Told of every transaction; may be null.
  // A client that was stopped inside a transaction loses it after this time, and its locks.
  std::chrono::milliseconds idle_in_transaction_max{60000};
};

// A statement of a pipeline that the server refused, and what it names.
struct StatementFailure {
  std::size_t statement = 0;  // Index into the statements queued since begin(), itself included.
  Error error;
  std::string schema;  // Of the violated constraint; "" when the server named none.
  std::string constraint;
};

struct PipelineOutcome {
  std::vector<PgResult> results;  // One per statement queued, up to the failure.
  std::optional<StatementFailure> failure;
};

// Not thread-safe.
//
// Invariant: outside begin() .. commit() or rollback() no transaction is open.
class TargetSession {
 public:
  explicit TargetSession(TargetSessionOptions options);

  // Connects and registers the backend, unless connected.  Ends the backend of the connection
  // before first: what was sent to it may still be carried out, and must not land behind what comes
  // now. Halt "fenced": another incarnation owns the migration; "target_history": the server may
  // lack what was committed.  Waits for the server.
  Status open();
  void close();
  bool is_open() const { return connection_.is_open(); }
  // Grows with each connection: what was prepared or created before is gone.
  std::uint64_t generation() const { return generation_; }
  PostgresConnection& connection() { return connection_; }

  // Prepares a statement, whose OIDs not given the server infers.  REQUIRES: no pipeline is open.
  Status prepare(const std::string& name, const std::string& sql,
                 const std::vector<std::uint32_t>& types);

  // Opens a pipeline with BEGIN and the fence: kFenceStatements statements.
  // REQUIRES: is_open(), no transaction is open.
  Status begin();
  static constexpr std::size_t kFenceStatements = 3;

  // Opens a further pipeline inside the open transaction.
  Status resume();
  // Queues a prepared statement, its parameters in binary form, nothing = NULL; copies them.
  // Its result comes in binary form.
  Status queue(const std::string& prepared,
               std::span<const std::optional<std::string_view>> params);
  // Queues a statement as text.
  Status queue_sql(const std::string& sql);
  // Sends what is queued and reads all answers.  The transaction stays open, failed or not.
  // Retry: the connection was lost and is closed.
  Result<PipelineOutcome> flush();
  // The same with COMMIT as the last statement, between two failpoints.
  // A failure leaves no transaction open.
  Result<PipelineOutcome> commit(std::string_view failpoint_before,
                                 std::string_view failpoint_after);
  void rollback();

  // The error of a failed fence, or `failure`'s own.
  static Error fence_error(const StatementFailure& failure);

 private:
  // A server process of ours, as pg_stat_activity names it; its pid alone may be used again.
  struct Backend {
    std::string pid;
    std::string start;
  };

  void transaction_over();
  Status send_failed();
  Status end_backend(const Backend& backend);
  Status register_backend();
  Result<PgResult> next_result();
  StatementFailure failure_of(std::size_t statement, const PGresult* result) const;

  TargetSessionOptions options_;
  PostgresConnection connection_;
  std::uint64_t generation_ = 0;
  std::string epoch_parameter_;
  std::string pid_parameter_;
  std::optional<Backend> backend_;   // Of the open connection.
  std::optional<Backend> previous_;  // Of a closed one, until it is known to be gone.
  std::size_t queued_ = 0;           // Statements of the open pipeline.
  bool fenced_ = false;              // The open pipeline began the transaction.
  Xid xid_ = 0;                      // Of the open transaction; 0: not known yet.
  OwnTransactions::Session own_;
};

}  // namespace lockstep
