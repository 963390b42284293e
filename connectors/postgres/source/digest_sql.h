// The SQL of digesting a table where it is: what a server makes of a row's bytes.
//
//   seed ─> hash of the key ─> hash of the next column, seeded by it ─> ... ─> the row's hash
//
// A value is hashed by its type's own function where that separates every two values of which COPY
// would send other bytes; else by what its type's send function makes of it.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "connectors/postgres/source/scan_sql.h"
#include "pipeline/model/table.h"
#include "pipeline/ports/digests.h"

namespace lockstep {

// A column of the rows that range_query() selects, as the server describes it.
struct HashedColumn {
  std::uint32_t oid = 0;  // Of its type, which is that of `type`.
  std::string type{};     // Without modifier; of a domain its base.
  std::string send{};     // "pg_catalog.numeric_send".
};

// SELECT of part, rows and sum of their hashes, of every part of the range (parts_query()).
std::string digest_query(const TableMap& table, const LiteralRange& range,
                         const std::vector<HashedColumn>& columns, const DigestForm& form);

// SELECT of what this server makes of fixed values, by every function that is used.
std::string digest_probe_query();

}  // namespace lockstep
