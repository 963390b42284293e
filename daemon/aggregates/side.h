// AggregateSide: one server's half of the aggregates: a snapshot, and statements under it.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "connectors/postgres/target/sql.h"
#include "connectors/postgres/wire/connection.h"
#include "connectors/postgres/wire/facts.h"
#include "daemon/aggregates/result.h"
#include "pipeline/base/bounded_queue.h"
#include "pipeline/ports/reader.h"
#include "pipeline/tables/definition.h"

namespace lockstep {

// The one row of a statement.
struct AggregateRow {
  std::vector<std::string> columns;
  AggregateResult::Values values;
  std::vector<bool> numbers;  // By column: its type is one of numbers.
};

// A statement of the manifest as it is run: it can only read, and a second row ends it.
std::string aggregate_sql(const std::string& sql);

// One thread.  Once `over` is closed a statement that is under way is cancelled.
class AggregateSide {
 public:
  // Borrows `over`.
  AggregateSide(Side side, PostgresOptions options, BoundedQueue<char>& over)
      : side_(side), connection_(std::move(options)), over_(over) {}

  // Begins a transaction that sees one snapshot, and takes it.  `server`: as the run knows it;
  // Retry or Halt (same_source(), same_history()) when the connection leads to another.
  Result<OpenSnapshot> begin(const SourceIdentity& server);
  // Rows that the target still is to get: open debts; outside of a transaction as of now.
  Result<std::uint64_t> owed(const BookkeepingName& bookkeeping, const std::string& states);
  // Halt: what is wrong with it, or it does not return one row.
  Result<AggregateRow> row_of(const std::string& sql);
  // Whether two numbers are no further apart than `tolerance` ("": not at all).
  Result<bool> are_near(const std::string& a, const std::string& b, const std::string& tolerance);
  // Ends the transaction, whatever its state.
  void end();

 private:
  Result<PgResult> wait_for_row(const std::string& sql);
  void cancel();

  const Side side_;
  PostgresConnection connection_;
  BoundedQueue<char>& over_;
};

}  // namespace lockstep
