// Prepare: everything a run needs to know before its first thread starts, in an order that is safe
// to repeat (P1-P5).
//
//   plan tables -> claim the migration -> first start: positions, then P0 -> options of the
//   Assembly
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "checkpoint/rocksdb_store.h"
#include "config/manifest.h"
#include "connectors/postgres/target/bookkeeping.h"
#include "connectors/postgres/target/target.h"
#include "connectors/postgres/wire/facts.h"
#include "daemon/prepare_stream.h"
#include "daemon/tables.h"
#include "pipeline/run/run_options.h"

namespace lockstep {

// A table of the manifest that this run leaves alone.
struct LeftOut {
  std::string table;
  std::string target;
  std::string reason;
  // What the bookkeeping says of it, as of prepare(), which nobody works on since; of `debts` and
  // `quarantined` nothing: not known.
  std::uint64_t rows_done = 0;
  std::optional<std::uint64_t> debts{};
  std::optional<std::uint64_t> quarantined{};
};

inline constexpr const char* kTargetLost = "target_lost";

// What prepare() found; outlives the Runner.
struct Prepared {
  std::vector<TableMap> maps;
  std::vector<const TableMap*> tables;  // By TableId.
  std::vector<TableSpec> source_specs;  // Of `maps`.
  std::vector<LeftOut> left_out;
  SourceIdentity source;
  SourceIdentity target_server;
  int source_version = 0;     // server_version_num
  Xid next_xid = 0;           // What the source was about to hand out; every run begins later.
  Lsn catalog_lsn = 0;        // Where the source's log ended before `source_specs` were read.
  std::set<TableId> renewed;  // DirectOptions::renewed.
  Claim claim;
  std::string foreign_writers;  // Why those of the target cannot be told apart; "": they can (V9).
  std::string hold_direction;   // For every session that writes: hold_direction_sql().
  // The session that holds it while the others are not connected yet.
  std::shared_ptr<PostgresConnection> target;
  std::shared_ptr<ExportedSnapshot> exported;  // Of this start; null: tables are copied by merge.
  RunOptions options;
  std::string resynced;  // What was in no event, when the stream has just begun anew.
  // Why the target may have lost what was compared, as the note kTargetLost says until people are
  // told; "": it has not.
  std::string target_lost;
};

// Says of each table what the bookkeeping knows of it.
void count_left_out(const Claim& claim, std::vector<LeftOut>& tables);

// Prepares a run.  Safe to call again after an error.
//   Retry: a server is away, or something must happen first (the connector's slot is missing): the
//   message says what is waited for.
//   Halt: with exit code Config for what the manifest or an operator must change.
//   Cancel: `patience` ended.
// `exported`: keeps the snapshot of a slot that was made over an error, for the next call.
Result<Prepared> prepare(const Manifest& manifest, RocksdbStore& store, const Patience& patience,
                         std::shared_ptr<ExportedSnapshot>& exported);

}  // namespace lockstep
