#include "connectors/postgres/target/target_session.h"

#include <fmt/format.h>

#include <utility>

#include "connectors/postgres/wire/rows.h"
#include "pipeline/base/failpoint.h"
#include "pipeline/tables/translate.h"

namespace lockstep {
namespace {

constexpr const char* kFence = "fence";

// Plans are pinned: with the estimates at hand a batch of a few thousand rows flips to a hash join
// over a scan of the whole table, which is many times slower (07).
std::vector<std::string> session_setup(const TargetSessionOptions& options) {
  std::vector<std::string> setup = options.connection.setup;
  setup.insert(setup.end(),
               {"SET session_replication_role = replica",
                "SET jit = off; SET plan_cache_mode = force_generic_plan; SET enable_seqscan = off;"
                "SET enable_hashjoin = off; SET enable_mergejoin = off;"
                // What a plan costs is how many rows it reads: so the key's own index wins over
                // one that has but a part of the key, also of a table that is small yet.
                "SET seq_page_cost = 0; SET random_page_cost = 0; SET cpu_tuple_cost = 1;"
                "SET cpu_index_tuple_cost = 1; SET cpu_operator_cost = 0.0001;"
                // Who waits for a lock says so, and can be stopped.
                "SET lock_timeout = '5s'",
                fmt::format("SET idle_in_transaction_session_timeout = {}",
                            options.idle_in_transaction_max.count())});
  return setup;
}

PostgresOptions with_setup(const TargetSessionOptions& options) {
  PostgresOptions connection = options.connection;
  connection.setup = session_setup(options);
  return connection;
}

std::string_view diagnostic(const PGresult* result, int which) {
  const char* text = PQresultErrorField(result, which);
  return text == nullptr ? std::string_view() : std::string_view(text);
}

Error halted(std::string message, std::string code) {
  return {Reaction::Halt, std::move(message), ExitCode::BadData, std::move(code)};
}

std::string be32(std::uint32_t value) {
  std::string bytes;
  append_be32(bytes, value);
  return bytes;
}

}  // namespace

TargetSession::TargetSession(TargetSessionOptions options)
    : options_(std::move(options)), connection_(with_setup(options_)) {
  append_be64(epoch_parameter_, options_.epoch);
  pid_parameter_ = be32(0);
}

void TargetSession::close() {
  connection_.close();
  if (backend_) previous_ = std::exchange(backend_, std::nullopt);
  queued_ = 0;
  if (options_.own != nullptr) options_.own->lose(own_);
}

void TargetSession::transaction_over() {
  if (options_.own != nullptr) options_.own->end(own_, xid_);
  xid_ = 0;
}

Status TargetSession::open() {
  // A connection may have been found lost, and closed, below us.
  if (backend_ && !is_open()) close();
  if (is_open()) return {};
  if (auto opened = connection_.open(); !opened.has_value())
    return fail(for_server(std::move(opened).error()));
  ++generation_;
  queued_ = 0;
  pid_parameter_ = be32(0);
  Status ready = options_.server ? same_history(connection_, *options_.server) : Status();
  if (ready.has_value())
    ready = prepare(kFence, fence_sql(options_.bookkeeping), {kInt8Oid, kInt4Oid});
  if (ready.has_value() && previous_) ready = end_backend(*previous_);
  if (ready.has_value()) ready = register_backend();
  if (ready.has_value()) return {};
  close();
  return fail(for_server(std::move(ready).error()).during("while opening a session"));
}

Status TargetSession::end_backend(const Backend& backend) {
  constexpr int kRounds = 100;
  const std::vector<PgParam> who{{backend.pid}, {backend.start}};
  for (int round = 0; round < kRounds; ++round) {
    LOCKSTEP_ASSIGN(const PgResult found,
                    connection_.run("SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                                    " WHERE pid = $1::int4 AND backend_start = $2::timestamptz",
                                    who));
    if (PQntuples(found.get()) == 0) {
      previous_.reset();
      return {};
    }
    LOCKSTEP_TRY(connection_.run("SELECT pg_sleep(0.05)"));
  }
  return fail(Reaction::Retry,
              fmt::format("the target's server process {} of the lost connection has not ended yet",
                          backend.pid));
}

Status TargetSession::register_backend() {
  const BookkeepingName& name = options_.bookkeeping;
  LOCKSTEP_TRY(begin());
  LOCKSTEP_TRY(queue_sql(fmt::format(
      "DELETE FROM {} AS s WHERE migration = {} AND NOT EXISTS (SELECT FROM pg_stat_activity AS a"
      " WHERE a.pid = s.pid AND a.backend_start = s.backend_start)",
      bookkeeping_table(name, "session"), quote_literal(name.migration))));
  LOCKSTEP_TRY(queue_sql(fmt::format(
      "INSERT INTO {} (migration, pid, backend_start, epoch)"
      " SELECT {}, pid, backend_start, {} FROM pg_stat_activity WHERE pid = pg_backend_pid()"
      " ON CONFLICT (migration, pid) DO UPDATE SET"
      " backend_start = excluded.backend_start, epoch = excluded.epoch"
      " RETURNING pid, backend_start",
      bookkeeping_table(name, "session"), quote_literal(name.migration), options_.epoch)));
  LOCKSTEP_ASSIGN(const PipelineOutcome outcome, commit("", ""));
  if (outcome.failure) return fail(fence_error(*outcome.failure));
  const PgResult& registered = outcome.results[kFenceStatements + 1];
  backend_ = Backend{std::string(field(registered, 0, 0)), std::string(field(registered, 0, 1))};
  // The next transaction must run in the same backend (I12).
  pid_parameter_ = field(outcome.results[kFenceStatements - 1], 0, 0);
  return {};
}

Status TargetSession::prepare(const std::string& name, const std::string& sql,
                              const std::vector<std::uint32_t>& types) {
  LOCKSTEP_TRY(connection_.check(connection_.waits([&](PGconn* raw) {
    return PQprepare(raw, name.c_str(), sql.c_str(), static_cast<int>(types.size()), types.data());
  })));
  return {};
}

Status TargetSession::send_failed() {
  Error error = connection_.error_of(nullptr);
  close();
  return fail(std::move(error));
}

Status TargetSession::begin() {
  LOCKSTEP_TRY(resume());
  fenced_ = true;
  xid_ = 0;
  if (options_.own != nullptr) options_.own->begin(own_);
  LOCKSTEP_TRY(queue_sql("BEGIN"));
  LOCKSTEP_TRY(queue_sql(shared_lock_sql(options_.bookkeeping)));
  const std::optional<std::string_view> params[] = {epoch_parameter_, pid_parameter_};
  return queue(kFence, params);
}

Status TargetSession::resume() {
  CHECK(queued_ == 0);
  if (!is_open()) return fail(Reaction::Retry, "target: not connected");
  return PQenterPipelineMode(connection_.raw()) == 1 ? Status() : send_failed();
}

Status TargetSession::queue(const std::string& prepared,
                            std::span<const std::optional<std::string_view>> params) {
  constexpr std::size_t kParametersMax = 16;
  CHECK(params.size() <= kParametersMax);
  const char* values[kParametersMax];
  int lengths[kParametersMax];
  int formats[kParametersMax];
  for (std::size_t i = 0; i < params.size(); ++i) {
    // An empty view may have a null pointer, which libpq would send as NULL.
    const bool empty = params[i].has_value() && params[i]->empty();
    values[i] = !params[i] ? nullptr : empty ? "" : params[i]->data();
    lengths[i] = params[i] ? static_cast<int>(params[i]->size()) : 0;
    formats[i] = 1;
  }
  const int sent = connection_.waits([&](PGconn* raw) {
    return PQsendQueryPrepared(raw, prepared.c_str(), static_cast<int>(params.size()), values,
                               lengths, formats, 1);
  });
  if (sent != 1) return send_failed();
  ++queued_;
  return {};
}

Status TargetSession::queue_sql(const std::string& sql) {
  const int sent = connection_.waits([&](PGconn* raw) {
    return PQsendQueryParams(raw, sql.c_str(), 0, nullptr, nullptr, nullptr, nullptr, 0);
  });
  if (sent != 1) return send_failed();
  ++queued_;
  return {};
}

// The result of one queued statement, and the null that ends it.
Result<PgResult> TargetSession::next_result() {
  PgResult result(connection_.waits(PQgetResult));
  const bool lost = PQstatus(connection_.raw()) == CONNECTION_BAD;
  if (result == nullptr || lost) {
    Error error = connection_.error_of(result.get());
    error.reaction = Reaction::Retry;
    close();
    return fail(std::move(error));
  }
  if (PQresultStatus(result.get()) != PGRES_PIPELINE_SYNC)
    PgResult(connection_.waits(PQgetResult)).reset();
  return result;
}

StatementFailure TargetSession::failure_of(std::size_t statement, const PGresult* result) const {
  StatementFailure failure{statement, connection_.error_of(result),
                           std::string(diagnostic(result, PG_DIAG_SCHEMA_NAME)),
                           std::string(diagnostic(result, PG_DIAG_CONSTRAINT_NAME))};
  // error_of() leaves out what class 22 quotes; here it is our own mark, not a value.
  const std::string_view message = diagnostic(result, PG_DIAG_MESSAGE_PRIMARY);
  if (statement == kFenceStatements - 1) {
    if (message.find(kFencedMark) != message.npos)
      failure.error = halted(
          "another lockstep process has taken over this migration; this one wrote nothing more",
          "fenced");
    if (message.find(kPooledMark) != message.npos)
      failure.error = halted(
          "the target connection changes its server process between transactions: connect to "
          "PostgreSQL directly or through a session-pooling proxy",
          "pooled");
  }
  if (failure.error.code == "26000")
    failure.error = halted(
        "the target forgot a prepared statement: connect to PostgreSQL directly or through a "
        "session-pooling proxy",
        "pooled");
  return failure;
}

Result<PipelineOutcome> TargetSession::flush() {
  if (connection_.waits(PQpipelineSync) != 1) {
    LOCKSTEP_TRY(send_failed());
  }
  PipelineOutcome outcome;
  const std::size_t statements = std::exchange(queued_, 0);
  for (std::size_t i = 0; i < statements; ++i) {
    LOCKSTEP_ASSIGN(PgResult result, next_result());
    const ExecStatusType status = PQresultStatus(result.get());
    if (outcome.failure) continue;
    if (status == PGRES_COMMAND_OK || status == PGRES_TUPLES_OK)
      outcome.results.push_back(std::move(result));
    else
      outcome.failure = failure_of(i, result.get());
  }
  LOCKSTEP_TRY(next_result());  // The synchronisation point.
  if (std::exchange(fenced_, false) && outcome.results.size() >= kFenceStatements)
    xid_ = read_be64(field(outcome.results[kFenceStatements - 1], 0, 1));
  if (PQexitPipelineMode(connection_.raw()) != 1) {
    LOCKSTEP_TRY(send_failed());
  }
  return outcome;
}

Result<PipelineOutcome> TargetSession::commit(std::string_view failpoint_before,
                                              std::string_view failpoint_after) {
  // A test that stops or kills us here must find the transaction open in the server.
  if (connection_.waits(PQflush) < 0) {
    LOCKSTEP_TRY(send_failed());
  }
  if (!failpoint_before.empty()) failpoint(failpoint_before);
  LOCKSTEP_TRY(queue_sql("COMMIT"));
  LOCKSTEP_ASSIGN(PipelineOutcome outcome, flush());
  if (!failpoint_after.empty()) failpoint(failpoint_after);
  if (outcome.failure)
    rollback();
  else  // The server answers ROLLBACK, as a success, to the COMMIT of a failed transaction.
    CHECK(std::string_view(PQcmdStatus(outcome.results.back().get())) == "COMMIT");
  transaction_over();
  return outcome;
}

void TargetSession::rollback() {
  if (!is_open()) return;
  if (PQpipelineStatus(connection_.raw()) != PQ_PIPELINE_OFF ||
      PQtransactionStatus(connection_.raw()) == PQTRANS_ACTIVE) {
    close();  // Broken off in the middle of a pipeline or a COPY: the server rolls back.
    return;
  }
  if (PQtransactionStatus(connection_.raw()) == PQTRANS_IDLE) return transaction_over();
  // Whatever goes wrong here, the connection is of no more use, and the server rolls back.
  if (!connection_.run("ROLLBACK").has_value()) return close();
  transaction_over();
}

Error TargetSession::fence_error(const StatementFailure& failure) {
  Error error = failure.error;
  return failure.statement < kFenceStatements ? for_server(std::move(error)) : error;
}

}  // namespace lockstep
