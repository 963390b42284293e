// Preparation: one run of prepare(), from two servers that answer to everything that a run needs.
//
// prepare.cc has its way to a first start and its end, prepare_later.cc what a later start finds,
// prepare_resync.cc what somebody asked for since events were lost.
#pragma once

#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "config/selection.h"
#include "connectors/postgres/source/exported_snapshot.h"
#include "connectors/postgres/target/bookkeeping.h"
#include "connectors/postgres/wire/connection.h"
#include "connectors/postgres/wire/facts.h"
#include "daemon/prepare.h"
#include "daemon/prepare_stream.h"
#include "daemon/resync.h"
#include "daemon/tables.h"

namespace lockstep {

// Used once, on the main thread.
class Preparation {
 public:
  Preparation(const Manifest& manifest, RocksdbStore& store, const Patience& patience,
              std::shared_ptr<ExportedSnapshot>& exported)
      : manifest_(manifest),
        store_(store),
        patience_(patience),
        exported_(exported),
        source_(connect(manifest, Side::Source, "prepare")),
        target_(std::make_shared<PostgresConnection>(
            connection_options(manifest, Side::Target, "run"))),
        bookkeeping_(bookkeeping_options(manifest, "bookkeeping")) {}

  Result<Prepared> run();

 private:
  Status know_servers();
  Status refuse_opposite(const ServerFacts& source);
  Result<std::map<TableName, std::string>> cover_new(const TablePlan& plan);
  Status note_obstacles(const TablePlan& plan, std::map<TableName, std::string>& left_out);
  Status choose_tables();
  Status first_start();
  Status refuse_filled_targets(const std::vector<const TableMap*>& tables);
  Status know_target();
  Result<std::string> what_target_lost();
  Status know_start();
  Status later_start();
  Status leave_stream();
  void add_absent(std::vector<StoredMapping>& mappings) const;
  Status mark_resync();
  std::string what_was_lost(const std::vector<std::pair<std::string, Position>>& begins) const;
  bool heals(const TableMap& table) const;
  Status forget(const TableName& name);
  Status forget_removed();
  Status forget_emptied();
  void leave_forgotten();
  Status forget_unpublished();
  Status hold_tables();
  Status store_reasons();
  Status compare_mappings();
  Status level_lanes(const TableMap& map);
  void floor_and_unseen(const StartFacts& start);
  Status finish();
  void set_sweep(SweepOptions& options) const;
  void mark_filled(std::vector<StoredMapping>& mappings) const;
  Result<std::vector<StoredMapping>> mappings(const ExportedSnapshot* exported = nullptr);
  StreamContext context() {
    return {manifest_,   source_, out_.source, out_.source_specs,
            out_.tables, first_,  patience_,   exported_};
  }

  const Manifest& manifest_;
  RocksdbStore& store_;
  const Patience& patience_;
  std::shared_ptr<ExportedSnapshot>& exported_;
  PostgresConnection source_;
  std::shared_ptr<PostgresConnection> target_;
  Bookkeeping bookkeeping_;
  ServerFacts target_facts_;
  bool first_ = false;  // The stream begins.
  Resync resync_;
  std::set<TableName> begun_;      // Tables of an earlier run.
  std::set<TableName> forgotten_;  // Left out by one since: kForgotten.
  std::set<TableName> filled_;     // Have rows on the target, and are healed.
  Prepared out_;
};

}  // namespace lockstep
