#include "daemon/load_watch.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <chrono>
#include <utility>

#include "connectors/postgres/wire/rows.h"
#include "daemon/system_clock.h"
#include "daemon/tables.h"
#include "pipeline/tables/translate.h"

namespace lockstep {
namespace {

constexpr std::chrono::seconds kMeasureEvery{1};
constexpr const char* kUnseen = "our role does not see all of it: GRANT pg_monitor TO it there";

constexpr const char* kSessionsSql =
    "SELECT count(*) FILTER (WHERE state = 'active'),"
    " coalesce(bool_or(query = '<insufficient privilege>'), false) FROM pg_stat_activity"
    " WHERE application_name NOT LIKE 'lockstep %' AND pid <> pg_backend_pid()"
    " AND (backend_type = 'client backend' OR backend_type IS NULL)";

std::optional<double> number_of(std::string_view text) {
  double value = 0;
  const bool is_number =
      std::from_chars(text.data(), text.data() + text.size(), value).ec == std::errc();
  return is_number ? std::optional(value) : std::nullopt;
}

PostgresConnection measuring(const Manifest& manifest, Side side) {
  PostgresOptions options = connection_options(manifest, side, "load");
  options.refused = Refused::Waits;
  options.keywords.emplace_back("connect_timeout", "5");
  options.setup.emplace_back("SET statement_timeout = 5000");
  options.setup.emplace_back("SET default_transaction_read_only = on");
  return PostgresConnection(std::move(options));
}

}  // namespace

std::string replica_lag_sql(std::string_view our_slot) {
  return fmt::format(
      "SELECT coalesce(max(extract(epoch FROM replay_lag)), 0),"
      " coalesce(bool_or(state IS NULL), false) FROM pg_stat_replication"
      " WHERE application_name NOT LIKE 'lockstep %' AND pid IS DISTINCT FROM"
      " (SELECT active_pid FROM pg_replication_slots WHERE slot_name = {})",
      quote_literal(our_slot));
}

LoadWatch::LoadWatch(const Manifest& manifest, Steering& steering)
    : manifest_(manifest),
      steering_(steering),
      source_(measuring(manifest, Side::Source)),
      target_(measuring(manifest, Side::Target)) {}

std::vector<LoadWatch::Question> LoadWatch::questions() const {
  const auto bound = [this](Limit limit) {
    return static_cast<double>(steering_.control().get(limit));
  };
  const std::string kept_sql = fmt::format(
      "SELECT pg_wal_lsn_diff(pg_current_wal_lsn(), restart_lsn) / 1048576, false"
      " FROM pg_replication_slots WHERE slot_name = {}",
      quote_literal(manifest_.source.slot.value));
  const std::string lag_sql = replica_lag_sql(manifest_.source.slot.value);
  std::vector<Question> all{
      {"replica lag of the source", " s", true, lag_sql, bound(Limit::ReplicaLag)},
      {"replica lag of the target", " s", false, lag_sql, bound(Limit::ReplicaLag)},
      {"active sessions of the target", "", false, kSessionsSql, bound(Limit::Sessions)},
      {"log that the source keeps for us", " MiB", true, kept_sql, bound(Limit::RetainedWal)}};
  if (const auto& query = manifest_.throttle.query)
    all.push_back({"throttle.query", "", query->on_source,
                   fmt::format("SELECT ({}\n)::float8, false", query->sql),
                   static_cast<double>(query->at_most)});
  std::erase_if(all, [](const Question& question) { return question.bound <= 0; });
  return all;
}

Gauge LoadWatch::measure(const Question& question) {
  Gauge gauge{question.what, question.unit, std::nullopt, question.bound, ""};
  PostgresConnection& server = question.on_source ? source_ : target_;
  const auto ask = [&]() -> Result<PgResult> {
    LOCKSTEP_TRY(server.open());
    return server.ask(question.sql);
  };
  const auto answer = ask();
  if (!answer) {
    gauge.trouble = answer.error().message;
    return gauge;
  }
  const bool has_row = PQntuples(answer->get()) == 1;
  gauge.value = has_row ? number_of(field(*answer, 0, 0)) : std::nullopt;
  if (!gauge.value) gauge.trouble = "it gives no number";
  if (has_row && bool_field(*answer, 0, 1)) gauge.trouble = kUnseen;
  return gauge;
}

// How much the slot keeps, and how much more the server lets it keep.
void LoadWatch::look_at_wal() {
  const auto ask = [&]() -> Result<PgResult> {
    LOCKSTEP_TRY(source_.open());
    return source_.ask(
        fmt::format("SELECT (pg_wal_lsn_diff(pg_current_wal_lsn(), restart_lsn) / 1048576)::float8,"
                    " (safe_wal_size / 1048576)::float8 FROM pg_replication_slots"
                    " WHERE slot_name = {} AND restart_lsn IS NOT NULL",
                    quote_literal(manifest_.source.slot.value)));
  };
  const auto answer = ask();
  if (!answer || PQntuples(answer->get()) != 1) return steering_.measured(std::nullopt);
  const std::optional<double> kept = number_of(field(*answer, 0, 0));
  if (!kept) return steering_.measured(std::nullopt);
  std::optional<double> limit;
  if (const auto more = number_of(field(*answer, 0, 1))) limit = *kept + *more;
  if (const auto mb = static_cast<double>(manifest_.source.wal_limit.mb); mb > 0)
    limit = limit ? std::min(*limit, mb) : mb;
  forecast_.add(*kept, std::chrono::steady_clock::now());
  steering_.measured(forecast_.forecast(limit));
}

void LoadWatch::look() {
  std::vector<Gauge> gauges;
  for (const Question& question : questions()) gauges.push_back(measure(question));
  steering_.measured(std::move(gauges), SystemClock().now());  // The run's: it looks at the age.
}

void LoadWatch::run() {
  while (!over_.raised()) {
    look_at_wal();
    if (!steering_.control().aborted()) look();  // Of which no session on the target is to be left.
    over_.wait(kMeasureEvery);
  }
}

}  // namespace lockstep
