#include "connectors/postgres/target/target_reader.h"

#include <fmt/format.h>

#include "connectors/postgres/wire/rows.h"
#include "pipeline/tables/translate.h"

namespace lockstep {

Result<std::vector<Hash128>> PostgresTargetReader::owed(const TableMap& table,
                                                        std::span<const Hash128> keys) {
  ArrayBuilder hashes(kByteaOid);
  for (const Hash128& key : keys) hashes.add(key_hash_bytes(key));
  const std::string sql = fmt::format(
      "SELECT key_hash FROM {} WHERE migration = {} AND source_schema = {} AND source_table = {}"
      " AND state <> 'dropped' AND key_hash = ANY($1)",
      quoted({bookkeeping_.schema, "debt"}), quote_literal(bookkeeping_.migration),
      quote_literal(table.source.name.schema), quote_literal(table.source.name.table));
  const std::vector<PgParam> params{
      {.value = hashes.bytes(), .binary = true, .type = kByteaArrayOid}};
  LOCKSTEP_ASSIGN(const PgResult rows, connection().run(sql, params, true));
  std::vector<Hash128> owed;
  for (int row = 0; row < PQntuples(rows.get()); ++row)
    owed.push_back(read_key_hash(field(rows, row, 0)));
  return owed;
}

}  // namespace lockstep
