// RunParts: the connectors of one run, made from the manifest and what prepare() found.
#pragma once

#include <memory>
#include <vector>

#include "connectors/postgres/source/probe.h"
#include "connectors/postgres/target/bookkeeping.h"
#include "connectors/postgres/target/own_transactions.h"
#include "connectors/postgres/target/target.h"
#include "connectors/postgres/target/target_reader.h"
#include "daemon/connector_gap.h"
#include "daemon/prepare.h"
#include "pipeline/decode/debezium/debezium.h"
#include "pipeline/ports/events.h"
#include "pipeline/ports/proof.h"
#include "pipeline/ports/source.h"
#include "pipeline/ports/target.h"
#include "pipeline/run/runner.h"

namespace lockstep {

// Owns what a Runner talks to.  Members in the order they are made; destroyed after the Runner.
struct RunParts {
  std::unique_ptr<DebeziumDecoder> decoder;             // Debezium only.
  std::unique_ptr<PostgresConnection> slot_connection;  // Debezium only; the proof's.
  std::unique_ptr<ChangeSource> source;
  std::unique_ptr<StreamProof> proof;
  std::unique_ptr<Beside> keep_alive;  // Direct only; of the source.
  std::unique_ptr<PostgresProbe> probe;
  std::unique_ptr<PostgresProbe> marker_probe;
  std::unique_ptr<PostgresLedger> ledger;
  std::unique_ptr<TableCounts> debts;
  std::unique_ptr<OwnTransactions> own;  // Of the sessions that write to the target.
  std::vector<std::unique_ptr<Target>> lane_targets;
  std::vector<ScanPorts> scans;
  std::unique_ptr<PostgresReader> compare_source;
  std::unique_ptr<PostgresTargetReader> compare_target;
};

// Makes them; nothing connects yet.  `prepared` outlives the parts.
// `gap` judges a connector's settings; it outlives them.
Result<RunParts> make_parts(const Manifest& manifest, const Prepared& prepared, ConnectorGap& gap);

}  // namespace lockstep
