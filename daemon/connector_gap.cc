#include "daemon/connector_gap.h"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>
#include <utility>
#include <vector>

#include "config/connector_config.h"
#include "connectors/kafka/proof.h"
#include "daemon/resync.h"

namespace lockstep {
namespace {

constexpr std::string_view kGap = "connector_gap";

std::vector<TableSpec> told_tables(const Prepared& prepared) {
  std::vector<TableSpec> tables = prepared.source_specs;
  for (const StoredMapping& mapping : prepared.claim.mappings)
    if (std::ranges::find(prepared.left_out, mapping.source.text(), &LeftOut::table) !=
        prepared.left_out.end())
      tables.emplace_back().name = mapping.source;
  return tables;
}

}  // namespace

ConnectorGap::ConnectorGap(const Manifest& manifest, RocksdbStore& store, const Prepared& prepared,
                           std::function<void()> plan_again)
    : manifest_(manifest),
      store_(store),
      tables_(told_tables(prepared)),
      plan_again_(std::move(plan_again)) {}

// Marks on the target, which the next start sets, that every table is to be compared: they are kept
// while the state directory may be lost.  No proof comes before the connector is put right, and
// without one no heal comes to its end.
Status ConnectorGap::have_all_compared(const std::string& why) {
  Resync resync;
  for (const TableSpec& table : tables_) resync.tables.insert(table.name.text());
  if (resync.wanted()) LOCKSTEP_TRY(ask_for_resync(store_, resync, "lockstep: " + why));
  return {};
}

// The note outlives the process: a connector may be put right while lockstep is down.
Result<std::string> ConnectorGap::judge(const ConnectorSettings& running) {
  std::vector<std::string> differences = check_connector_tells(manifest_, tables_, running);
  std::ranges::move(settings_that_void_proof(running), std::back_inserter(differences));
  LOCKSTEP_ASSIGN(const auto noted, store_.read().load_note(kGap));
  if (!differences.empty()) {
    const std::string rest =
        differences.size() > 1 ? fmt::format(" (and {} more)", differences.size() - 1) : "";
    std::string reason = fmt::format(
        "it leaves out changes, or keys of them: {}{}; lockstep connector-config {} prints what it "
        "needs",
        differences.front(), rest, manifest_.path);
    if (noted) return reason;
    LOCKSTEP_TRY(have_all_compared("the connector leaves out changes"));
    LOCKSTEP_TRY(store_.save_note(kGap, reason));
    plan_again_();
    return reason;
  }
  if (!noted) return std::string();
  LOCKSTEP_TRY(have_all_compared("the connector was put right"));  // Also what came meanwhile.
  LOCKSTEP_TRY(store_.remove_note(kGap));
  plan_again_();
  return std::string("it was put right, and every table is to be compared first");
}

}  // namespace lockstep
