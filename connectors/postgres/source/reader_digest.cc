// PostgresReader: digests of ranges, computed by the server, and where ranges are divided.
//
// A row's hash is the server's own of the row's columns (digest_sql.h), which promises the same
// equality as a comparison of rows; of a range count and sum are compared.
#include <poll.h>

#include <algorithm>

#include "connectors/postgres/source/reader.h"
#include "connectors/postgres/wire/catalog.h"
#include "connectors/postgres/wire/rows.h"

namespace lockstep {
namespace {

// By position: the type's name, and its send function's.
constexpr const char* kSends = R"(
SELECT format_type(t.oid, -1), quote_ident(n.nspname) || '.' || quote_ident(p.proname)
FROM unnest($1::oid[]) WITH ORDINALITY u(oid, i) JOIN pg_type t USING (oid)
JOIN pg_proc p ON p.oid = t.typsend JOIN pg_namespace n ON n.oid = p.pronamespace ORDER BY u.i)";

}  // namespace

// Another server's answer may differ, or be none: hash functions are no part of what a version of
// PostgreSQL promises to the next.
Result<std::string> PostgresReader::digest_probe() {
  CHECK(!open_);
  LOCKSTEP_TRY(ready());
  constexpr int kHasRecordHash = 140000;
  if (PQserverVersion(connection_.raw()) < kHasRecordHash) return std::string();
  const auto answer = connection_.run(digest_probe_query());
  if (answer) return text_field(*answer, 0, 0);
  if (answer.error().reaction == Reaction::Retry) return fail(answer.error());
  return std::string();
}

// The types of a row as it is read are told by the server, which knows what a cast makes of it.
Result<std::vector<HashedColumn>> PostgresReader::hashed_columns(const TableMap& table) {
  LOCKSTEP_TRY(connection_.check(connection_.waits([&](PGconn* raw) {
    return PQprepare(raw, "", range_query(table, {}).c_str(), 0, nullptr);
  })));
  LOCKSTEP_ASSIGN(const PgResult row, connection_.check(connection_.waits([](PGconn* raw) {
    return PQdescribePrepared(raw, "");
  })));
  std::vector<Oid> types;
  for (int i = 0; i < PQnfields(row.get()); ++i) types.push_back(PQftype(row.get(), i));
  const std::string oids = oid_array(types);
  LOCKSTEP_ASSIGN(const PgResult sends, connection_.ask(kSends, {{.value = oids}}));
  if (static_cast<std::size_t>(PQntuples(sends.get())) != types.size())
    return fail(Reaction::StopTable, "a column's type has no send function");
  std::vector<HashedColumn> columns;
  for (int i = 0; i < PQntuples(sends.get()); ++i)
    columns.push_back({.oid = types[static_cast<std::size_t>(i)],
                       .type = text_field(sends, i, 0),
                       .send = text_field(sends, i, 1)});
  return columns;
}

Status PostgresReader::start_digest(const TableMap& table, const KeyRange& range,
                                    const DigestForm& form) {
  LOCKSTEP_ASSIGN(const LiteralRange literal, begin_range(table, range));
  if (!form.bounds.empty()) LOCKSTEP_TRY(set_seqscan(false));
  LOCKSTEP_ASSIGN(const std::vector<HashedColumn> columns, hashed_columns(table));
  const std::string sql = digest_query(table, literal, columns, form);
  LOCKSTEP_TRY(send_with_keys(table, sql, form.bounds, Answer::Text));
  reading_ = Reading::Digest;
  parts_ = form.parts();
  return {};
}

Status PostgresReader::start_parts(const TableMap& table, const KeyRange& range,
                                   const DigestForm& form, std::span<const std::size_t> parts) {
  LOCKSTEP_ASSIGN(const LiteralRange literal, begin_range(table, range));
  if (!form.bounds.empty()) LOCKSTEP_TRY(set_seqscan(false));
  const std::string sql = part_rows_query(table, literal, form.bounds.size(), parts);
  return read_with_keys(table, sql, form.bounds);
}

Status PostgresReader::start_bounds(const TableMap& table, const KeyRange& range,
                                    std::uint64_t every, std::size_t most) {
  LOCKSTEP_ASSIGN(const LiteralRange literal, plan_range(table, range));
  const std::string sql = bounds_query(table, literal, every, most);
  LOCKSTEP_TRY(send_with_keys(table, sql, {}, Answer::Binary));
  reading_ = Reading::Bounds;
  return {};
}

bool PostgresReader::answer_is_there(std::chrono::milliseconds wait) {
  PGconn* const connection = connection_.raw();
  const auto until = std::chrono::steady_clock::now() + wait;
  while (PQisBusy(connection) == 1) {
    const auto left =
        std::chrono::ceil<std::chrono::milliseconds>(until - std::chrono::steady_clock::now());
    pollfd socket{.fd = PQsocket(connection), .events = POLLIN, .revents = 0};
    if (poll(&socket, 1, static_cast<int>(std::max<std::int64_t>(left.count(), 0))) == 0)
      return false;
    // An interrupted wait finds nothing new, and goes on.
    if (PQconsumeInput(connection) != 1) break;  // The result says why.
  }
  return true;
}

// Of the statement that was sent; nothing: it has not come after `wait`.
Result<std::optional<PgResult>> PostgresReader::read_answer(std::chrono::milliseconds wait,
                                                            std::string_view doing) {
  if (!connection_.is_open()) return fail(Reaction::Retry, "the connection was lost");
  if (!answer_is_there(wait)) return std::optional<PgResult>();
  reading_ = Reading::Nothing;
  auto rows = connection_.check(connection_.waits(PQgetResult));
  while (connection_.is_open()) {
    PGresult* const more = connection_.waits(PQgetResult);
    if (more == nullptr) break;
    PQclear(more);
  }
  if (!rows)
    return fail(for_table(std::move(rows).error())
                    .during("while " + std::string(doing) + " " + reading_table_));
  return std::optional(std::move(*rows));
}

Result<std::optional<std::vector<PartDigest>>> PostgresReader::read_digest(
    std::chrono::milliseconds wait) {
  CHECK(reading_ == Reading::Digest);
  LOCKSTEP_ASSIGN(const std::optional<PgResult> rows, read_answer(wait, "digesting"));
  if (!rows) return std::optional<std::vector<PartDigest>>();
  std::vector<PartDigest> digests(parts_);
  for (int row = 0; row < PQntuples(rows->get()); ++row)
    digests.at(number_field<std::size_t>(*rows, row, 0)) = {
        .rows = number_field<std::uint64_t>(*rows, row, 1), .sum = text_field(*rows, row, 2)};
  return std::optional(std::move(digests));
}

Result<std::optional<std::vector<std::string>>> PostgresReader::read_bounds(
    std::chrono::milliseconds wait) {
  CHECK(reading_ == Reading::Bounds);
  LOCKSTEP_ASSIGN(const std::optional<PgResult> rows, read_answer(wait, "planning"));
  if (!rows) return std::optional<std::vector<std::string>>();
  std::vector<std::string> keys(static_cast<std::size_t>(PQntuples(rows->get())));
  for (std::size_t i = 0; i < keys.size(); ++i) append_row(keys[i], *rows, static_cast<int>(i));
  return std::optional(std::move(keys));
}

}  // namespace lockstep
