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
    ++list.total;
    if (list.findings.size() < filter.limit) list.findings.push_back(finding);
    return {};
  };
  if (checkpoint) LOCKSTEP_TRY(checkpoint->for_each_finding(add));
  std::ranges::sort(list.findings, {}, &Finding::id);
  const std::set<std::uint64_t> ids(filter.ids.begin(), filter.ids.end());
  if (ids.size() <= list.total) return list;
  return fail(Reaction::Halt, "there is no finding with that id: see lockstep findings list --all",
              ExitCode::Usage);
}

}  // namespace lockstep
