// PostgresProbe: asks the source which transactions are finished, and whether it is still the
// same source.
#pragma once

#include <string>
#include <vector>

#include "connectors/postgres/source/exported_snapshot.h"
#include "connectors/postgres/wire/connection.h"
#include "connectors/postgres/wire/facts.h"
#include "pipeline/ports/probe.h"

namespace lockstep {

// Not thread-safe.  Needs LOGIN, nothing else; without pg_read_all_stats blockers() knows pids, but
// neither names nor ages.
class PostgresProbe : public SourceProbe {
 public:
  struct Options {
    PostgresOptions connection;
    SourceIdentity identity;  // Pinned (P3): another server or timeline is a Halt.
    std::string migration;    // The content of the marker.
    std::string publication;  // That covers the tables.
  };

  explicit PostgresProbe(Options options);

  Result<Snapshot> probe() override;
  std::int64_t clock_us() const override { return clock_us_; }
  Result<Xid> assign_xid() override;
  // Also makes the server flush its log up to here.  Waits for no synchronous standby.
  Result<Lsn> emit_marker() override;
  Result<Lsn> insert_lsn() override;
  Result<std::vector<BlockingTransaction>> blockers(Xid xid) override;
  Result<std::vector<std::vector<TableFile>>> files(
      std::span<const TableMap* const> tables) override;
  Result<std::vector<TableSpec>> definitions(std::span<const TableMap* const> tables) override;
  // Every table of users, as list_tables() says.
  Result<std::vector<TableName>> tables();
  Result<bool> has_rows(std::uint32_t relation) override;
  // files() as an exported snapshot sees them.
  Result<std::vector<std::vector<TableFile>>> files_under(const ExportedSnapshot& snapshot,
                                                          std::span<const TableMap* const> tables);

 private:
  const SourceIdentity identity_;
  const std::string migration_;
  const std::string publication_;
  PostgresConnection connection_;
  std::int64_t clock_us_ = 0;
};

}  // namespace lockstep
