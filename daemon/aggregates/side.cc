#include "daemon/aggregates/side.h"

#include <fmt/format.h>
#include <poll.h>

#include <algorithm>
#include <array>

#include "connectors/postgres/wire/rows.h"
#include "pipeline/tables/translate.h"

namespace lockstep {
namespace {

// int8, int2, int4, float4, float8, numeric.
constexpr std::array<Oid, 6> kNumbers{20, 21, 23, 700, 701, 1700};
constexpr int kLookEveryMs = 100;  // Whether the run ends.

std::unexpected<Error> failed(Error error) {
  if (error.reaction == Reaction::Retry) return fail(std::move(error));
  error.reaction = Reaction::Halt;
  return fail(std::move(error));
}

}  // namespace

std::string aggregate_sql(const std::string& sql) {
  return "SELECT * FROM (\n" + sql + "\n) aggregate LIMIT 2";
}

Result<OpenSnapshot> AggregateSide::begin(const SourceIdentity& server) {
  LOCKSTEP_TRY(connection_.open());
  const Status known =
      side_ == Side::Source ? same_source(connection_, server) : same_history(connection_, server);
  if (!known) {
    connection_.close();
    return fail(known.error());
  }
  LOCKSTEP_ASSIGN(const PgResult row,
                  connection_.run("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY;"
                                  "SELECT pg_current_snapshot(), pg_current_wal_insert_lsn()"));
  LOCKSTEP_ASSIGN(Snapshot snapshot, parse_snapshot(field(row, 0, 0)));
  LOCKSTEP_ASSIGN(const Lsn position, parse_lsn(field(row, 0, 1)));
  return OpenSnapshot{std::move(snapshot), position};
}

Result<std::uint64_t> AggregateSide::owed(const BookkeepingName& bookkeeping,
                                          const std::string& states) {
  LOCKSTEP_TRY(connection_.open());
  LOCKSTEP_ASSIGN(
      const PgResult row,
      connection_.ask(fmt::format("SELECT count(*) FROM {} WHERE migration = {} AND state IN ({})",
                                  bookkeeping_table(bookkeeping, "debt"),
                                  quote_literal(bookkeeping.migration), states)));
  return number_field<std::uint64_t>(row, 0, 0);
}

// What it asks for may come too late: either way the connection is of no more use.
void AggregateSide::cancel() {
  connection_.cancel();
  connection_.close();
}

Result<PgResult> AggregateSide::wait_for_row(const std::string& sql) {
  PGconn* const raw = connection_.raw();
  if (PQsendQueryParams(raw, sql.c_str(), 0, nullptr, nullptr, nullptr, nullptr, 0) != 1)
    return fail(connection_.error_of(nullptr));
  while (PQisBusy(raw) == 1) {
    pollfd readable{PQsocket(raw), POLLIN, 0};
    const int ready = ::poll(&readable, 1, kLookEveryMs);
    if (over_.drained()) {
      cancel();
      return fail(Reaction::Cancel, "the run ends");
    }
    if (ready > 0 && PQconsumeInput(raw) != 1) {
      Error error = connection_.error_of(nullptr);
      connection_.close();
      return fail(std::move(error));
    }
  }
  auto row = connection_.check(PQgetResult(raw));
  while (connection_.is_open() && PgResult(PQgetResult(raw)) != nullptr) {
  }
  return row;
}

Result<AggregateRow> AggregateSide::row_of(const std::string& sql) {
  if (!connection_.is_open()) return fail(Reaction::Retry, "the connection was lost");
  LOCKSTEP_TRY(connection_.run("SAVEPOINT aggregate"));
  auto answer = wait_for_row(aggregate_sql(sql));
  if (!answer && connection_.is_open())
    LOCKSTEP_TRY(connection_.run("ROLLBACK TO SAVEPOINT aggregate"));
  if (!answer) return failed(std::move(answer).error());
  if (const int rows = PQntuples(answer->get()); rows != 1)
    return fail(Reaction::Halt, rows == 0 ? "it returned no row" : "it returned several rows");
  AggregateRow row;
  for (int i = 0; i < PQnfields(answer->get()); ++i) {
    row.columns.emplace_back(PQfname(answer->get(), i));
    row.values.push_back(is_null(*answer, 0, i) ? std::nullopt
                                                : std::optional(text_field(*answer, 0, i)));
    row.numbers.push_back(std::ranges::find(kNumbers, PQftype(answer->get(), i)) != kNumbers.end());
  }
  return row;
}

Result<bool> AggregateSide::are_near(const std::string& a, const std::string& b,
                                     const std::string& tolerance) {
  const std::string most = tolerance.empty() ? "0" : tolerance;
  LOCKSTEP_ASSIGN(const PgResult row,
                  connection_.run("SELECT abs($1::numeric - $2::numeric) <= $3::numeric",
                                  {{.value = a}, {.value = b}, {.value = most}}));
  return bool_field(row, 0, 0);
}

void AggregateSide::end() {
  if (connection_.is_open() && !connection_.run("ROLLBACK")) connection_.close();
}

}  // namespace lockstep
