#include "daemon/findings_list.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <set>
#include <utility>

#include "daemon/state_directory.h"

namespace lockstep {
namespace {

bool is_wanted(const Finding& finding, const FindingsFilter& filter) {
  if (!filter.ids.empty()) return std::ranges::find(filter.ids, finding.id) != filter.ids.end();
  return (filter.all || is_open(finding.state)) &&
         (filter.table.empty() || finding.table == filter.table);
}

// Whose transactions they were says `findings show`: else each would be a group.
std::string cause_in_short(const Finding& finding) {
  Finding shown;
  shown.cause = finding.cause;
  if (!finding.writer.foreign.empty())
    shown.writer.foreign = "written on the target by another session";
  return cause_text(shown);
}

}  // namespace

void FindingGroups::add(const Finding& finding) {
  About about{finding.table, finding.kind, finding.state,
              fmt::format("{}", fmt::join(finding.columns, ", ")), cause_in_short(finding)};
  if (groups_.size() >= most_ && !groups_.contains(about))
    std::get<3>(about) = std::get<4>(about) = kVarious;
  FindingGroup& group = groups_[about];
  if (group.rows++ == 0)
    std::tie(group.table, group.kind, group.state, group.columns, group.cause) = about;
  if (group.rows > 1 && group.first_id <= finding.id) return;
  group.first_id = finding.id;
  group.first_key = finding.key;
}

std::vector<FindingGroup> FindingGroups::take() {
  std::vector<FindingGroup> groups;
  for (auto& [about, group] : groups_) groups.push_back(std::move(group));
  groups_.clear();
  std::ranges::sort(groups, [](const FindingGroup& a, const FindingGroup& b) {
    return std::pair(b.rows, a.first_id) < std::pair(a.rows, b.first_id);
  });
  return groups;
}

Result<FindingsList> list_findings(const Manifest& manifest, const FindingsFilter& filter) {
  LOCKSTEP_ASSIGN(const auto checkpoint, open_checkpoint(manifest));
  FindingsList list;
  FindingGroups groups;
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
    if (filter.grouped) groups.add(finding);
    if (filter.grouped && is_open(finding.state) && finding.kind == FindingKind::MissingInTarget)
      ++list.lacking[finding.table].missing;
    if (list.findings.size() >= filter.limit) return {};
    list.seen[finding.id] = seen_as(finding);
    Finding& listed = list.findings.emplace_back(finding);
    if (!filter.with_rows) listed.source_row = listed.target_row = {};
    return {};
  };
  if (checkpoint) LOCKSTEP_TRY(checkpoint->for_each_finding(add));
  list.groups = groups.take();
  for (auto& [table, lacking] : list.lacking) {
    LOCKSTEP_ASSIGN(const auto ranges, checkpoint->load_ranges(table));
    for (const VerifiedRange& range : ranges) lacking.rows += range.rows;
  }
  std::ranges::sort(list.findings, {}, &Finding::id);
  const std::set<std::uint64_t> ids(filter.ids.begin(), filter.ids.end());
  if (ids.size() <= list.total + list.left_out) return list;
  return fail(Reaction::Halt,
              fmt::format("there is no finding with that id: see lockstep findings list {} --all",
                          manifest.path),
              ExitCode::Usage);
}

}  // namespace lockstep
