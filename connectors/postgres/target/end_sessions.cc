#include "connectors/postgres/target/end_sessions.h"

#include <fmt/format.h>

#include "pipeline/tables/translate.h"

namespace lockstep {
namespace {

constexpr int kEndRounds = 60;  // Three seconds.
constexpr const char* kEndPause = "SELECT pg_sleep(0.05)";

// By name, and those that the bookkeeping knows: a pooler may have given them another name.
std::string ours_sql(const BookkeepingName& name, bool registered) {
  std::string sql = fmt::format(
      "FROM pg_stat_activity AS a WHERE a.datname = current_database() AND a.pid <> "
      "pg_backend_pid() AND a.application_name <> current_setting('application_name') AND "
      "(starts_with(a.application_name, {})",
      quote_literal(sessions_prefix(name.migration)));
  if (registered)
    sql += fmt::format(
        " OR EXISTS (SELECT FROM {} AS s WHERE s.migration = {} AND s.pid = a.pid AND "
        "s.backend_start = a.backend_start)",
        bookkeeping_table(name, "session"), quote_literal(name.migration));
  return sql + ")";
}

}  // namespace

std::string sessions_prefix(const std::string& migration) { return "lockstep " + migration + " "; }

Status end_sessions(PostgresConnection& target, const BookkeepingName& name) {
  LOCKSTEP_TRY(target.open());
  LOCKSTEP_ASSIGN(const PgResult known,
                  target.ask(fmt::format("SELECT to_regclass({}) IS NOT NULL",
                                         quote_literal(bookkeeping_table(name, "session")))));
  const std::string ours = ours_sql(name, bool_field(known, 0, 0));
  for (int round = 0; round < kEndRounds; ++round) {
    LOCKSTEP_ASSIGN(const PgResult found, target.ask("SELECT pg_terminate_backend(a.pid) " + ours));
    if (PQntuples(found.get()) == 0) return {};
    LOCKSTEP_TRY(target.ask(kEndPause));
  }
  return fail(Reaction::Retry, "server processes of ours on the target do not end");
}

}  // namespace lockstep
