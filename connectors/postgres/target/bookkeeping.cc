// Creating and claiming; the rows themselves are in target/bookkeeping_rows.cc.
#include "connectors/postgres/target/bookkeeping.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>

#include "connectors/postgres/target/bookkeeping_schema.h"
#include "connectors/postgres/wire/rows.h"
#include "pipeline/base/failpoint.h"
#include "pipeline/tables/translate.h"

namespace lockstep {
namespace {

std::uint64_t number(std::string_view text) {
  std::uint64_t value = 0;
  std::from_chars(text.data(), text.data() + text.size(), value);
  return value;
}

PostgresOptions with_setup(PostgresOptions connection) {
  // A process that is stopped inside a transaction must not keep its lock for ever.
  connection.setup.insert(connection.setup.end(),
                          {"SET idle_in_transaction_session_timeout = 60000", "SET jit = off"});
  return connection;
}

}  // namespace

Bookkeeping::Bookkeeping(BookkeepingOptions options)
    : options_(std::move(options)),
      connection_(with_setup(options_.connection)),
      epoch_(options_.epoch) {}

// An error of the bookkeeping concerns no single row or table.
Result<PgResult> Bookkeeping::run(const std::string& sql, const std::vector<PgParam>& params) {
  const bool known = connection_.is_open() || !options_.server;
  if (!connection_.is_open()) ++sessions_;
  Status opened = connection_.open();
  if (opened && !known) opened = same_history(connection_, *options_.server);
  if (!opened) {
    connection_.close();
    return fail(for_server(std::move(opened).error()));
  }
  auto result = params.empty() ? connection_.run(sql) : connection_.run(sql, params);
  if (result.has_value()) return result;
  return fail(for_server(std::move(result).error()));
}

Result<std::vector<std::string>> Bookkeeping::missing_tables() {
  LOCKSTEP_ASSIGN(const PgResult rows,
                  run("SELECT c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = "
                      "c.relnamespace WHERE n.nspname = $1",
                      {{options_.name.schema}}));
  std::vector<std::string> missing = bookkeeping_tables();
  for (int row = 0; row < PQntuples(rows.get()); ++row)
    std::erase(missing, std::string(field(rows, row, 0)));
  return missing;
}

Result<bool> Bookkeeping::exists() {
  LOCKSTEP_ASSIGN(const std::vector<std::string> missing, missing_tables());
  if (!missing.empty()) return false;
  LOCKSTEP_ASSIGN(const PgResult rows,
                  run(fmt::format("SELECT FROM {} WHERE migration = $1", table("fence")),
                      {{options_.name.migration}}));
  return PQntuples(rows.get()) > 0;
}

// Looks before it creates: CREATE ... IF NOT EXISTS asks for the privilege even when there is
// nothing to do, and who runs a migration need not be who may create schemas.
Status Bookkeeping::create() {
  LOCKSTEP_ASSIGN(const std::vector<std::string> missing, missing_tables());
  if (missing.empty()) return check_format();
  const auto create_all = [&]() -> Status {
    // Of two processes that start at once one waits here for the other.
    LOCKSTEP_TRY(run(exclusive_lock_sql({options_.name.schema, ""})));
    LOCKSTEP_ASSIGN(const PgResult schema,
                    run("SELECT FROM pg_namespace WHERE nspname = $1", {{options_.name.schema}}));
    if (PQntuples(schema.get()) == 0)
      LOCKSTEP_TRY(run("CREATE SCHEMA " + quote_identifier(options_.name.schema)));
    for (const std::string& sql : create_bookkeeping_sql(options_.name.schema))
      LOCKSTEP_TRY(run(sql));
    LOCKSTEP_TRY(run("COMMIT"));
    return {};
  };
  LOCKSTEP_TRY(run("BEGIN"));
  Status created = create_all();
  if (created.has_value()) return check_format();
  connection_.close();
  return fail(std::move(created).error().during(fmt::format(
      "while creating the bookkeeping in schema {} of the target (needs CREATE on the database, or "
      "on the schema when it exists)",
      options_.name.schema)));
}

Status Bookkeeping::check_format() {
  LOCKSTEP_ASSIGN(const PgResult rows,
                  run(fmt::format("SELECT max(format) FROM {}", table("fence"))));
  const std::uint64_t format = number(field(rows, 0, 0));
  if (format <= static_cast<std::uint64_t>(kBookkeepingFormat)) return {};
  return fail(Reaction::Halt,
              fmt::format("the bookkeeping in schema {} has format {}, this lockstep knows {}: use "
                          "the newer lockstep that made it",
                          options_.name.schema, format, kBookkeepingFormat));
}

Result<Claim> Bookkeeping::claim() {
  failpoint("prepare_before_claim");
  epoch_ = 0;
  LOCKSTEP_TRY(lock_exclusively());
  Claim claim;
  const auto take_over = [&]() -> Status {
    LOCKSTEP_ASSIGN(claim.epoch, raise_epoch());
    LOCKSTEP_TRY(read_all(claim));
    LOCKSTEP_TRY(run("COMMIT"));
    return {};
  };
  if (Status taken = take_over(); !taken.has_value()) {
    connection_.close();
    return fail(std::move(taken).error().during("while claiming the migration"));
  }
  epoch_ = claim.epoch;
  // Those that hold no lock are fenced already; this frees their connections.
  LOCKSTEP_TRY(end_old_sessions());
  LOCKSTEP_TRY(add_index());
  failpoint("prepare_after_claim");
  return claim;
}

// Once no older process writes, since making it waits for all who do.  Where we may not (the schema
// is somebody else's), or another migration of it is writing, there is none: the next start tries
// again.
Status Bookkeeping::add_index() {
  constexpr std::string_view kNoPrivilege = "42501";
  constexpr std::string_view kLockTimeout = "55P03";
  LOCKSTEP_ASSIGN(const PgResult found,
                  run("SELECT FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"
                      " WHERE n.nspname = $1 AND c.relname = $2 AND c.relkind = 'i'",
                      {{options_.name.schema}, {kDebtIndex}}));
  if (PQntuples(found.get()) > 0) return {};
  LOCKSTEP_TRY(run("SET lock_timeout = 5000"));
  const auto made = run(bookkeeping_index_sql(options_.name.schema));
  if (!made && made.error().code != kNoPrivilege && made.error().code != kLockTimeout)
    return fail(made.error());
  LOCKSTEP_TRY(run("RESET lock_timeout"));
  return {};
}

// Leaves a transaction open that holds the lock.
Status Bookkeeping::lock_exclusively() {
  constexpr std::int64_t kRoundMs = 500;
  const std::int64_t patient = options_.patience.count() / kRoundMs;
  const std::int64_t rounds = patient + options_.claim_max.count() / kRoundMs;
  for (std::int64_t round = 0; round <= rounds; ++round) {
    LOCKSTEP_TRY(run("BEGIN"));
    LOCKSTEP_TRY(run(fmt::format("SET LOCAL lock_timeout = {}", kRoundMs)));
    auto locked = run(exclusive_lock_sql(options_.name));
    if (locked.has_value()) {
      LOCKSTEP_TRY(run("SET LOCAL lock_timeout = 0"));
      return {};
    }
    if (locked.error().code != "55P03") {
      connection_.close();
      return fail(std::move(locked).error().during("while claiming the migration"));
    }
    LOCKSTEP_TRY(run("ROLLBACK"));
    if (round >= patient) LOCKSTEP_TRY(end_old_sessions());
  }
  return fail(
      Reaction::Retry,
      "another process still writes for this migration and its server processes do not end: "
      "see pg_locks for an advisory lock, and pg_stat_activity for its pid");
}

// Ends the registered backends of other epochs.  Our own role's need no privilege.
Status Bookkeeping::end_old_sessions() {
  LOCKSTEP_TRY(
      run(fmt::format("SELECT pg_terminate_backend(s.pid) FROM {} AS s JOIN pg_stat_activity AS a"
                      " ON a.pid = s.pid AND a.backend_start = s.backend_start"
                      " WHERE s.migration = {} AND s.epoch <> {} AND a.pid <> pg_backend_pid()",
                      table("session"), quote_literal(options_.name.migration), epoch_)));
  return {};
}

Result<std::uint64_t> Bookkeeping::raise_epoch() {
  LOCKSTEP_ASSIGN(
      const PgResult row,
      run(fmt::format("INSERT INTO {} AS f (migration, format, epoch) VALUES ({}, {}, 1)"
                      " ON CONFLICT (migration) DO UPDATE SET epoch = f.epoch + 1, format = {},"
                      " claimed_at = now() RETURNING epoch",
                      table("fence"), quote_literal(options_.name.migration), kBookkeepingFormat,
                      kBookkeepingFormat)));
  return number(field(row, 0, 0));
}

Status Bookkeeping::begin() {
  LOCKSTEP_TRY(run("BEGIN"));
  LOCKSTEP_TRY(run(shared_lock_sql(options_.name)));
  if (epoch_ == 0) return {};
  const std::string epoch = std::to_string(epoch_);
  auto fence = run(fence_sql(options_.name), {{epoch, false, kInt8Oid}, {"0", false, kInt4Oid}});
  if (fence.has_value()) return {};
  if (fence.error().code != "22P02") return fail(std::move(fence).error());
  return fail(
      Error{Reaction::Halt,
            "another lockstep process has taken over this migration; this one wrote nothing "
            "more",
            ExitCode::BadData, "fenced"});
}

Status Bookkeeping::transact(const std::function<Status()>& body) {
  Status done = begin();
  if (done.has_value()) done = body();
  if (done.has_value()) {
    if (auto committed = run("COMMIT"); !committed.has_value())
      done = fail(std::move(committed).error());
  }
  // The server rolls back what a closed connection left open.
  if (!done.has_value()) connection_.close();
  return done;
}

}  // namespace lockstep
