// PostgresTargetReader: rows of the target's tables under a snapshot of the target, for a
// comparison with the source's; and the debts that the same snapshot shows.
//
// It is given the target's view of a table (tables/compared.h), whose sides are changed over.
#pragma once

#include <span>
#include <string>
#include <utility>
#include <vector>

#include "connectors/postgres/source/reader.h"
#include "connectors/postgres/target/own_transactions.h"
#include "connectors/postgres/target/sql.h"

namespace lockstep {

// Not thread-safe.  Needs SELECT on the tables, and on the bookkeeping.
class PostgresTargetReader final : public PostgresReader, public OwedKeys {
 public:
  // Borrows `own`.  `server`: the target as the run knows it, for same_history().
  PostgresTargetReader(PostgresOptions connection, SourceIdentity server,
                       BookkeepingName bookkeeping, const OwnTransactions& own)
      : PostgresReader({std::move(connection), std::move(server), nullptr, false}),
        bookkeeping_(std::move(bookkeeping)),
        own_(own) {}

  Result<KeyDebts> owed(const TableMap& table, std::span<const Hash128> keys) override;
  // Foreign ones are told of a server that keeps the time of each commit, and of those that wrote
  // since this process began.
  Result<TargetWriter> writer(const TableMap& table, const std::string& key) override;

 private:
  Result<bool> is_ours(const RowWriter& writer, const std::vector<Xid>& candidates);
  Result<std::string> others();

  const BookkeepingName bookkeeping_;
  const OwnTransactions& own_;
};

}  // namespace lockstep
