// PostgresTargetReader: rows of the target's tables under a snapshot of the target, for a
// comparison with the source's; and the debts that the same snapshot shows.
//
// It is given the target's view of a table (tables/compared.h), whose sides are changed over.
#pragma once

#include <span>
#include <utility>
#include <vector>

#include "connectors/postgres/source/reader.h"
#include "connectors/postgres/target/sql.h"

namespace lockstep {

// Not thread-safe.  Needs SELECT on the tables, and on the bookkeeping.
class PostgresTargetReader final : public PostgresReader, public OwedKeys {
 public:
  PostgresTargetReader(PostgresOptions connection, BookkeepingName bookkeeping)
      : PostgresReader({std::move(connection), std::nullopt, nullptr, false}),
        bookkeeping_(std::move(bookkeeping)) {}

  Result<std::vector<Hash128>> owed(const TableMap& table, std::span<const Hash128> keys) override;

 private:
  const BookkeepingName bookkeeping_;
};

}  // namespace lockstep
