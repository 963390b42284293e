// What a scanner asks of the target: direct COPY, done-marks, TRUNCATE, and debts to settle.
#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "connectors/postgres/target/target.h"
#include "pipeline/base/failpoint.h"
#include "pipeline/model/key.h"
#include "pipeline/tables/translate.h"

namespace lockstep {
namespace {

constexpr std::size_t kCopyBufferBytes = 256U << 10U;

std::string copy_header() {
  std::string header("PGCOPY\n\377\r\n\0", 11);
  append_be32(header, 0);  // Flags.
  append_be32(header, 0);  // No header extension.
  return header;
}

}  // namespace

// ---------------------------------------------------------------- direct COPY (I18)

Status PostgresTarget::copy(const TableMap& table, const RowBatch& rows,
                            std::span<const std::uint32_t> chosen) {
  LOCKSTEP_TRY(open());
  LOCKSTEP_TRY(constant_cells(table));
  auto some_exist = holds_any(table, rows, chosen);
  if (!some_exist) return fail(copy_error(for_table(std::move(some_exist).error())));
  if (*some_exist) return fail(Reaction::Reject, "target: a row of the piece exists already");
  LOCKSTEP_TRY(session_.begin());
  LOCKSTEP_TRY(session_.queue_sql(
      fmt::format("SET LOCAL lock_timeout = {}", options_.copy_lock_max.count())));
  LOCKSTEP_TRY(session_.queue_sql(
      fmt::format("SET LOCAL statement_timeout = {}", options_.copy_max.count())));
  if (checks_at_once_) LOCKSTEP_TRY(session_.queue_sql(kCheckAtOnce));
  LOCKSTEP_TRY(run_queued());
  if (auto sent = send_copy(table, rows, chosen); !sent.has_value())
    return fail(copy_error(table_error(table, std::move(sent).error())));
  copied_ = {table.id, chosen.size()};
  return {};
}

// Asked beforehand, a row that exists leaves no error, and no key, in the server's log.  A lane may
// still write one in between; then the COPY fails as it always could.
Result<bool> PostgresTarget::holds_any(const TableMap& table, const RowBatch& rows,
                                       std::span<const std::uint32_t> chosen) {
  using Overlap = TableCounts::Overlap;
  if (counts_.overlap(table.id) == Overlap::None) return false;
  PostgresConnection& connection = session_.connection();
  LOCKSTEP_TRY(
      connection.run(fmt::format("SET lock_timeout = {}", options_.copy_lock_max.count())));
  if (counts_.overlap(table.id) == Overlap::Unknown) {
    LOCKSTEP_ASSIGN(const PgResult found,
                    connection.run("SELECT FROM " + own_rows(table.target) + " LIMIT 1"));
    counts_.overlap(table.id, PQntuples(found.get()) > 0 ? Overlap::Possible : Overlap::None);
    if (PQntuples(found.get()) == 0) return false;
  }
  const StatementSpec spec{table, StatementKind::Find, StatementMode::Plain, {}};
  LOCKSTEP_TRY(staged_.trim());
  LOCKSTEP_TRY(staged_.prepare(spec));
  LOCKSTEP_ASSIGN(const PreparedTable* staged, staged_.table(table));
  RowArrayBuilder keys(staged->key.oid, staged->key.column_oids);
  std::string key;
  std::string scratch;
  for (const std::uint32_t row : chosen) {
    CHECK(extract_key(table, rows.row(row), key));
    keys.add_row(staged->translator.key(key, scratch));
  }
  const std::optional<std::string_view> params[] = {keys.bytes()};
  LOCKSTEP_TRY(session_.resume());
  LOCKSTEP_TRY(session_.queue(staged_.prepared(spec), params));
  LOCKSTEP_ASSIGN(const PipelineOutcome outcome, session_.flush());
  if (outcome.failure) return fail(outcome.failure->error);
  return PQntuples(outcome.results.front().get()) > 0;
}

Status PostgresTarget::send_copy(const TableMap& table, const RowBatch& rows,
                                 std::span<const std::uint32_t> chosen) {
  LOCKSTEP_ASSIGN(const std::string* constants, constant_cells(table));
  const Translator translator(table);
  std::string scratch;
  LOCKSTEP_TRY(session_.connection().run(copy_sql(table)));
  const auto fields = static_cast<std::uint16_t>(table.columns.size() + table.constants.size());
  std::string buffer = copy_header();
  bool accepted = true;
  const auto send = [&] {
    accepted = accepted && session_.connection().waits([&](PGconn* connection) {
      return PQputCopyData(connection, buffer.data(), static_cast<int>(buffer.size())) == 1;
    });
    buffer.clear();
  };
  for (const std::uint32_t chosen_row : chosen) {
    append_be16(buffer, fields);
    buffer += translator.row(rows.row(chosen_row), scratch);
    buffer += *constants;
    if (buffer.size() >= kCopyBufferBytes) send();
  }
  append_be16(buffer, 0xffff);
  send();
  // A server that refused a row has ended the COPY itself: its answer is read below.
  const bool ended = accepted && session_.connection().waits([](PGconn* connection) {
    return PQputCopyEnd(connection, nullptr) == 1;
  });
  std::optional<Error> failure;
  std::string copied;
  while (session_.is_open()) {
    PGresult* result = session_.connection().waits(PQgetResult);
    if (result == nullptr) break;
    auto checked = session_.connection().check(result);
    if (checked.has_value())
      copied = PQcmdTuples(checked->get());
    else if (!failure)
      failure = std::move(checked).error();
  }
  if (failure) return fail(std::move(*failure));
  if (ended && copied != std::to_string(chosen.size()))
    return fail(Reaction::Reject, "target: a trigger swallowed rows of a COPY");
  return ended ? Status() : fail(Reaction::Retry, "target: the COPY broke off");
}

// What makes the rows go through their lanes, which isolate, wait and retry, instead of failing.
Error PostgresTarget::copy_error(Error error) {
  static constexpr std::array<std::string_view, 4> kExpired{"57014", "55P03", "40P01", "40001"};
  if (refuses_a_row(error) || std::ranges::find(kExpired, error.code) != kExpired.end())
    error.reaction = Reaction::Reject;
  return lost(std::move(error));
}

Result<const std::string*> PostgresTarget::constant_cells(const TableMap& table) {
  if (const auto found = constants_.find(table.id); found != constants_.end())
    return &found->second;
  std::string cells;
  if (const std::string sql = constants_sql(table); !sql.empty()) {
    LOCKSTEP_ASSIGN(const PgResult values, session_.connection().run(sql, {}, true));
    for (int i = 0; i < PQnfields(values.get()); ++i) {
      if (is_null(values, 0, i))
        append_null(cells);
      else
        append_value(cells, field(values, 0, i));
    }
  }
  return &constants_.emplace(table.id, std::move(cells)).first->second;
}

Status PostgresTarget::copy_commit(const std::optional<ChunkMark>& done) {
  LOCKSTEP_TRY(session_.resume());
  if (done) {
    failpoint("chunk_before_mark");
    LOCKSTEP_TRY(queue_mark(session_, map(done->table).source.name, *done));
  }
  LOCKSTEP_ASSIGN(const PipelineOutcome outcome,
                  session_.commit("copy_before_commit", "copy_after_commit"));
  if (outcome.failure) {
    Error error = for_server(outcome.failure->error);
    // The next try finds out which rows it is about.
    if (refuses_a_row(outcome.failure->error) && !std::exchange(checks_at_once_, true))
      error.reaction = Reaction::Retry;
    return fail(lost(std::move(error).during("while ending a COPY")));
  }
  if (done) failpoint("chunk_after_mark");
  counts_.wrote(copied_.first, copied_.second);
  return {};
}

// Rolled back on a connection that lives, or ended by open() with the backend of one that does not.
Status PostgresTarget::copy_abort() {
  session_.rollback();
  return open();
}

Status PostgresTarget::mark_done(const ChunkMark& mark) {
  LOCKSTEP_TRY(open());
  LOCKSTEP_TRY(session_.begin());
  LOCKSTEP_TRY(queue_mark(session_, map(mark.table).source.name, mark));
  LOCKSTEP_ASSIGN(const PipelineOutcome outcome,
                  session_.commit("chunk_before_mark", "chunk_after_mark"));
  if (!outcome.failure) return {};
  return fail(lost(
      for_server(TargetSession::fence_error(*outcome.failure)).during("while marking a chunk")));
}

// ---------------------------------------------------------------- TRUNCATE (I15)

Status PostgresTarget::truncate(const Truncation& truncation) {
  const TableMap& table = map(truncation.table);
  if (table.target.referenced) return truncate_by(truncation, delete_all_sql(table));
  Status truncated = truncate_by(truncation, truncate_sql(table));
  if (truncated.has_value()) return truncated;
  // A foreign key that came later, or a role without the TRUNCATE privilege.
  const std::string& code = truncated.error().code;
  if (code != "0A000" && code != "42501") return truncated;
  return truncate_by(truncation, delete_all_sql(table));
}

Status PostgresTarget::truncate_by(const Truncation& truncation, const std::string& sql) {
  const BookkeepingName& name = options_.session.bookkeeping;
  const TableMap& table = map(truncation.table);
  const std::string rows = of_table(name, table.source.name);
  LOCKSTEP_TRY(open());
  LOCKSTEP_TRY(session_.begin());
  LOCKSTEP_TRY(session_.queue_sql(
      fmt::format("SET LOCAL lock_timeout = {}", options_.truncate_lock_max.count())));
  LOCKSTEP_TRY(session_.queue_sql(sql));
  const std::size_t truncates = TargetSession::kFenceStatements + 1;
  LOCKSTEP_TRY(
      session_.queue_sql(fmt::format("DELETE FROM {} WHERE {} AND xid <> '0' AND xid <= '{}'",
                                     bookkeeping_table(name, "debt"), rows, truncation.xid)));
  LOCKSTEP_TRY(session_.queue_sql(fmt::format(
      "UPDATE {} SET horizon_major = {}, horizon_minor = {}"
      " WHERE {} AND (horizon_major, horizon_minor) < ({}, {})",
      bookkeeping_table(name, "mapping"), truncation.horizon.major, truncation.horizon.minor, rows,
      truncation.horizon.major, truncation.horizon.minor)));
  if (truncation.forget_chunks)
    LOCKSTEP_TRY(session_.queue_sql(
        fmt::format("DELETE FROM {} WHERE {}", bookkeeping_table(name, "chunk"), rows)));
  for (const auto& [lane, batch] : truncation.lanes) {
    const ProgressRow row{truncation.stream, lane, truncation.position, truncation.xid,
                          truncation.xid};
    LOCKSTEP_TRY(queue_progress(session_, {&row, 1}, {options_.session.epoch, batch}));
  }
  LOCKSTEP_ASSIGN(const PipelineOutcome outcome,
                  session_.commit("truncate_before_commit", "truncate_after_commit"));
  if (!outcome.failure) {
    const std::string_view cleared = PQcmdTuples(outcome.results[truncates + 1].get());
    counts_.add(table.id, -std::stol(std::string(cleared)));
    return {};
  }
  Error error = TargetSession::fence_error(*outcome.failure);
  if (outcome.failure->statement != truncates)
    error = for_server(std::move(error));
  else if (refuses_a_row(error))
    error.reaction = Reaction::StopTable;  // A trigger refuses it.
  else
    error = table_error(table, std::move(error));
  return fail(lost(std::move(error).during("while truncating " + table.target.name.text())));
}

// ---------------------------------------------------------------- debts (I17)

std::string PostgresTarget::debt_row_is(TableId table, const Hash128& key) const {
  return fmt::format("{} AND key_hash = '\\x{:016x}{:016x}'",
                     of_table(options_.session.bookkeeping, map(table).source.name), key.high,
                     key.low);
}

Result<std::vector<PgResult>> PostgresTarget::run_fenced(
    const std::vector<std::string>& statements) {
  LOCKSTEP_TRY(open());
  LOCKSTEP_TRY(session_.begin());
  for (const std::string& sql : statements) LOCKSTEP_TRY(session_.queue_sql(sql));
  LOCKSTEP_ASSIGN(PipelineOutcome outcome, session_.commit("", ""));
  if (!outcome.failure) return std::move(outcome.results);
  return fail(lost(for_server(TargetSession::fence_error(*outcome.failure))));
}

Result<std::vector<Debt>> PostgresTarget::open_debts(TableId table, std::size_t limit) {
  LOCKSTEP_TRY(open());
  LOCKSTEP_ASSIGN(
      const PgResult rows,
      session_.connection().run(
          next_debts_sql(options_.session.bookkeeping, map(table).source.name, limit), {}, true));
  std::vector<Debt> debts;
  for (int row = 0; row < PQntuples(rows.get()); ++row) {
    Debt& debt = debts.emplace_back();
    debt.table = table;
    debt.key_hash = read_key_hash(field(rows, row, 0));
    debt.key = field(rows, row, 1);
    debt.xid = read_be64(field(rows, row, 2));
    debt.commit_us = static_cast<std::int64_t>(read_be64(field(rows, row, 3)));
    debt.reason = parse_debt_reason(field(rows, row, 4));
    debt.attempts = read_be32(field(rows, row, 5));
    debt.detail = field(rows, row, 6);
    if (!well_formed_cells(debt.key, map(table).key.size()))
      return fail(Reaction::Halt,
                  fmt::format("the debt table holds a broken key of {}: id {:016x}{:016x}",
                              map(table).text(), debt.key_hash.high, debt.key_hash.low));
  }
  return debts;
}

}  // namespace lockstep
