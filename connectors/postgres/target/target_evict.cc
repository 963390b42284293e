// Eviction: a row read again from the source needs a unique value that another row of the target
// holds.  The holder is out of date (the source holds both constraints), so it is deleted and read
// again itself: the one delete that is neither an event nor a repair (I17).
#include <fmt/format.h>

#include "connectors/postgres/target/sql_evict.h"
#include "connectors/postgres/target/target.h"
#include "pipeline/model/key.h"

namespace lockstep {
namespace {

constexpr const char* kDropNewRow = "DROP TABLE pg_temp.lockstep_new";

Result<UniqueIndex> read_index(PostgresConnection& connection, const StatementFailure& failure) {
  LOCKSTEP_ASSIGN(const PgResult rows,
                  connection.run(unique_index_sql(), {{failure.schema, false, kTextOid},
                                                      {failure.constraint, false, kTextOid}}));
  UniqueIndex index;
  for (int row = 0; row < PQntuples(rows.get()); ++row) {
    index.relation = field(rows, row, 0);
    index.parts.push_back({std::string(field(rows, row, 1)), std::string(field(rows, row, 2)),
                           std::string(field(rows, row, 3))});
    index.predicate = field(rows, row, 4);
    index.nulls_equal = field(rows, row, 5) == "t";
    index.partition = field(rows, row, 6);
  }
  return index;
}

// A key column as the source sends it, from what the target sent: an array of a user-defined type
// holds its element's OID, which differs between the servers.
std::string as_source_value(const Type& type, std::string_view bytes) {
  constexpr std::size_t kElementOid = 8;
  constexpr std::size_t kHeader = 12;
  std::string value(bytes);
  if (type.kind != TypeKind::Array || type.inner.empty() || bytes.size() < kHeader) return value;
  std::string oid;
  append_be32(oid, type.inner.front().oid);
  return value.replace(kElementOid, oid.size(), oid);
}

}  // namespace

// An eviction that fails for a reason of the rows is undone and finds no holder: the debt stays.
Result<PostgresTarget::Eviction> PostgresTarget::evict(Piece piece, const StatementFailure& failure,
                                                       Attempt& attempt) {
  PostgresConnection& connection = session_.connection();
  LOCKSTEP_TRY(connection.run("SAVEPOINT eviction"));
  Attempt evicting;
  Result<Eviction> eviction = evict_from(piece, failure, evicting);
  if (!eviction.has_value()) {
    if (!refuses_a_row(eviction.error())) return eviction;
    LOCKSTEP_TRY(connection.run("ROLLBACK TO SAVEPOINT eviction"));
    return Eviction{};
  }
  LOCKSTEP_TRY(connection.run("RELEASE SAVEPOINT eviction"));
  attempt.debts.insert(attempt.debts.end(), evicting.debts.begin(), evicting.debts.end());
  attempt.outcome.opened.insert(attempt.outcome.opened.end(), evicting.outcome.opened.begin(),
                                evicting.outcome.opened.end());
  return eviction;
}

Result<PostgresTarget::Eviction> PostgresTarget::evict_from(Piece piece,
                                                            const StatementFailure& failure,
                                                            Attempt& attempt) {
  PostgresConnection& connection = session_.connection();
  LOCKSTEP_ASSIGN(const UniqueIndex index, read_index(connection, failure));
  if (index.parts.empty()) return Eviction{};
  LOCKSTEP_ASSIGN(const PreparedTable* table, staged_.table(*piece.run->table));
  LOCKSTEP_TRY(stage_new_row(piece));

  // Rows that evict each other again and again cannot both be there.
  std::uint32_t& evictions =
      evictions_[{piece.run->table->id, piece.run->writes[piece.first].key_hash}];
  const bool stays = options_.holders == HolderPolicy::Quarantine ||
                     piece.run->holders == Holders::Keep || ++evictions >= options_.debt_attempts;
  Eviction eviction;
  if (stays) {
    evictions = 0;  // Whoever takes the row up again has put something right.
    LOCKSTEP_ASSIGN(const PgResult shown,
                    connection.run(holders_sql(table->sql, index, HolderAction::Show)));
    if (PQntuples(shown.get()) > 0) eviction.holder_text = field(shown, 0, 0);
  } else {
    LOCKSTEP_ASSIGN(const PgResult holders,
                    connection.run(holders_sql(table->sql, index, HolderAction::Delete), {}, true));
    eviction.holders = static_cast<std::size_t>(PQntuples(holders.get()));
    if (eviction.holders > 0) LOCKSTEP_TRY(open_evicted_debts(piece, holders, attempt));
  }
  LOCKSTEP_TRY(connection.run(kDropNewRow));
  return eviction;
}

Status PostgresTarget::stage_new_row(Piece piece) {
  PostgresConnection& connection = session_.connection();
  LOCKSTEP_ASSIGN(const PreparedTable* table, staged_.table(*piece.run->table));
  LOCKSTEP_TRY(connection.run(create_new_row_sql(*piece.run->table)));
  RowArrayBuilder rows(table->row.oid, table->row.column_oids);
  std::string scratch;
  rows.add_row(table->translator.row(piece.run->writes[piece.first].row, scratch));
  LOCKSTEP_TRY(connection.run(insert_sql(table->sql, kNewRow),
                              {{rows.bytes(), true, table->row.array_oid}}));
  if (const auto complete = complete_new_row_sql(table->sql))
    LOCKSTEP_TRY(connection.run(*complete));
  return {};
}

// The holders' debts take the settled debt's xid: a snapshot that sees it sees what freed the
// value.
Status PostgresTarget::open_evicted_debts(Piece piece, const PgResult& holders, Attempt& attempt) {
  const TableMap& table = *piece.run->table;
  const Write& settled = piece.run->writes[piece.first];
  LOCKSTEP_ASSIGN(
      const PgResult debt,
      session_.connection().run(fmt::format("SELECT xid, commit_us FROM {} WHERE {}",
                                            bookkeeping_table(options_.session.bookkeeping, "debt"),
                                            debt_row_is(table.id, settled.key_hash)),
                                {}, true));
  Write evicted = settled;
  if (PQntuples(debt.get()) == 1) {
    evicted.xid = read_be64(field(debt, 0, 0));
    evicted.commit_us = static_cast<std::int64_t>(read_be64(field(debt, 0, 1)));
  }
  const std::uint32_t evictions = evictions_[{table.id, settled.key_hash}];
  DebtRows rows(table.source.name, DebtState::Fresh);
  for (int row = 0; row < PQntuples(holders.get()); ++row) {
    std::string key;
    for (std::size_t i = 0; i < table.key.size(); ++i)
      append_value(key, as_source_value(table.source_column(table.key[i]).type,
                                        field(holders, row, static_cast<int>(i))));
    evicted.key = key;
    evicted.key_hash = key_hash(table, key);
    rows.add(evicted, {DebtReason::Evicted, {}, {}, evictions - 1});
    attempt.outcome.opened.push_back({table.id, evicted.key_hash, DebtReason::Evicted});
    attempt.debts.emplace_back(table.id, 1);
  }
  LOCKSTEP_TRY(session_.resume());
  LOCKSTEP_TRY(rows.queue(session_, options_.debt_attempts));
  LOCKSTEP_TRY(run_queued());
  return {};
}

}  // namespace lockstep
