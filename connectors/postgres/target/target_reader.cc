#include "connectors/postgres/target/target_reader.h"

#include <fmt/chrono.h>
#include <fmt/format.h>

#include <algorithm>
#include <chrono>

#include "connectors/postgres/wire/rows.h"
#include "pipeline/tables/translate.h"

namespace lockstep {

Result<KeyDebts> PostgresTargetReader::owed(const TableMap& table, std::span<const Hash128> keys) {
  ArrayBuilder hashes(kByteaOid);
  for (const Hash128& key : keys) hashes.add(key_hash_bytes(key));
  const std::string sql = fmt::format(
      "SELECT key_hash, state = 'dropped' FROM {} WHERE migration = {} AND source_schema = {} AND "
      "source_table = {}"
      " AND key_hash = ANY($1)",
      quoted({bookkeeping_.schema, "debt"}), quote_literal(bookkeeping_.migration),
      quote_literal(table.source.name.schema), quote_literal(table.source.name.table));
  const std::vector<PgParam> params{
      {.value = hashes.bytes(), .binary = true, .type = kByteaArrayOid}};
  LOCKSTEP_ASSIGN(const PgResult rows, connection().run(sql, params, true));
  KeyDebts debts;
  for (int row = 0; row < PQntuples(rows.get()); ++row) {
    const bool accepted = field(rows, row, 1) == std::string_view("\1", 1);
    (accepted ? debts.accepted : debts.owed).push_back(read_key_hash(field(rows, row, 0)));
  }
  return debts;
}

// A row may name a part of a transaction (a savepoint, a block of PL/pgSQL): its commit has the
// time of the whole.
Result<bool> PostgresTargetReader::is_ours(const RowWriter& writer,
                                           const std::vector<Xid>& candidates) {
  std::string ids;
  for (const Xid xid : candidates) {
    if (xid == writer.xid) return true;
    ids += fmt::format("{}{}", ids.empty() ? "" : ",", static_cast<std::uint32_t>(xid));
  }
  const std::string array = "{" + ids + "}";
  const std::string time = std::to_string(writer.commit_us);
  LOCKSTEP_ASSIGN(
      const PgResult found,
      connection().ask("SELECT EXISTS (SELECT FROM unnest($1::xid[]) x WHERE"
                       " (extract(epoch FROM pg_xact_commit_timestamp(x)) * 1000000)::bigint"
                       " = $2::bigint)",
                       {{.value = array}, {.value = time}}));
  return bool_field(found, 0, 0);
}

// Who else is connected now: a hint, and no more.
Result<std::string> PostgresTargetReader::others() {
  LOCKSTEP_ASSIGN(
      const PgResult rows,
      connection().ask("SELECT DISTINCT format('%s (%s)', coalesce(nullif(application_name, ''),"
                       " 'a session'), usename) FROM pg_stat_activity"
                       " WHERE datname = current_database() AND usename IS NOT NULL"
                       " AND application_name NOT LIKE 'lockstep %' ORDER BY 1"));
  constexpr int kShownMax = 3;
  std::string text;
  for (int row = 0; row < std::min(kShownMax, PQntuples(rows.get())); ++row)
    text += (text.empty() ? "; connected now: " : ", ") + text_field(rows, row, 0);
  if (const int more = PQntuples(rows.get()) - kShownMax; more > 0)
    text += fmt::format(" and {} more", more);
  return text;
}

Result<TargetWriter> PostgresTargetReader::writer(const TableMap& table, const std::string& key) {
  // Fewer of ours were under way at once than that.
  constexpr std::size_t kCandidatesMax = 10'000;
  LOCKSTEP_ASSIGN(const std::optional<RowWriter> wrote, writer_of(table, key));
  if (!wrote) return TargetWriter();
  TargetWriter writer{wrote->xid, ""};
  if (wrote->commit_us == 0) return writer;
  const auto candidates = own_.up_to(wrote->xid, kCandidatesMax, own_.begun());
  if (!candidates) return writer;
  LOCKSTEP_ASSIGN(const bool ours, is_ours(*wrote, *candidates));
  if (ours) return writer;
  LOCKSTEP_ASSIGN(const std::string connected, others());
  const std::chrono::sys_time<std::chrono::microseconds> at{
      std::chrono::microseconds(wrote->commit_us)};
  writer.foreign = fmt::format(
      "written on the target by another session, transaction {}, at {:%Y-%m-%dT%H:%M:%S}Z{}",
      wrote->xid, std::chrono::floor<std::chrono::seconds>(at), connected);
  return writer;
}

}  // namespace lockstep
