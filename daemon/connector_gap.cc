#include "daemon/connector_gap.h"

#include <fmt/format.h>

#include <vector>

#include "config/connector_config.h"
#include "daemon/resync.h"

namespace lockstep {
namespace {

constexpr std::string_view kGap = "connector_gap";

}  // namespace

// The note outlives the process: a connector may be put right while lockstep is down.
Result<std::string> ConnectorGap::judge(const ConnectorSettings& running) {
  const std::vector<std::string> differences =
      check_connector_tells(manifest_, prepared_.source_specs, running);
  LOCKSTEP_ASSIGN(const auto noted, store_.read().load_note(kGap));
  if (!differences.empty()) {
    const std::string rest =
        differences.size() > 1 ? fmt::format(" (and {} more)", differences.size() - 1) : "";
    const std::string reason = fmt::format(
        "it leaves out changes, or keys of them: {}{}; lockstep connector-config {} prints what it "
        "needs",
        differences.front(), rest, manifest_.path);
    if (!noted) LOCKSTEP_TRY(store_.save_note(kGap, reason));
    return reason;
  }
  if (!noted) return std::string();
  Resync resync;
  for (const TableMap* table : prepared_.tables)
    if (table->heals()) resync.tables.insert(table->text());
  if (resync.wanted())
    LOCKSTEP_TRY(ask_for_resync(store_, resync, "lockstep: the connector was put right"));
  LOCKSTEP_TRY(store_.remove_note(kGap));
  plan_again_();
  return std::string("it was put right, and every table is to be compared first");
}

}  // namespace lockstep
