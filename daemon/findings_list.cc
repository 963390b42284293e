#include "daemon/findings_list.h"

#include <algorithm>
#include <set>

#include "checkpoint/checkpoint_reader.h"

namespace lockstep {
namespace {

bool is_wanted(const Finding& finding, const FindingsFilter& filter) {
  if (!filter.ids.empty()) return std::ranges::find(filter.ids, finding.id) != filter.ids.end();
  return (filter.all || is_open(finding.state)) &&
         (filter.table.empty() || finding.table == filter.table);
}

}  // namespace

Result<FindingsList> list_findings(const Manifest& manifest, const FindingsFilter& filter) {
  LOCKSTEP_ASSIGN(const auto checkpoint, CheckpointReader::open(manifest.state_dir.value.string()));
  FindingsList list;
  const auto add = [&](const Finding& finding) -> Status {
    if (!is_wanted(finding, filter)) return {};
    if (!filter.undone && finding.state == FindingState::Undone) {
      ++list.undone;
      return {};
    }
    if (!is_in_scope(finding.kind, filter.scope)) {
      ++list.left_out;
      return {};
    }
    ++list.total;
    if (list.findings.size() >= filter.limit) return {};
    Finding& listed = list.findings.emplace_back(finding);
    if (!filter.with_rows) listed.source_row = listed.target_row = {};
    return {};
  };
  if (checkpoint) LOCKSTEP_TRY(checkpoint->for_each_finding(add));
  std::ranges::sort(list.findings, {}, &Finding::id);
  const std::set<std::uint64_t> ids(filter.ids.begin(), filter.ids.end());
  if (ids.size() <= list.total + list.left_out) return list;
  return fail(Reaction::Halt, "there is no finding with that id: see lockstep findings list --all",
              ExitCode::Usage);
}

}  // namespace lockstep
