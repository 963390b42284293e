#include "daemon/findings_api.h"

#include <algorithm>
#include <boost/json.hpp>
#include <utility>
#include <vector>

#include "daemon/status_json.h"
#include "daemon/steering_api.h"
#include "pipeline/base/number.h"

namespace lockstep {
namespace {

namespace json = boost::json;

// There may be a million, and a daemon has other uses for its memory.
constexpr std::uint64_t kMost = 10'000;

json::object listed_finding(const Finding& finding) {
  json::array columns;
  for (const std::string& column : finding.columns) columns.emplace_back(column);
  const std::string cause = cause_text(finding);
  const std::string since = time_text(finding.state_since_us);
  return {{"id", finding.id},
          {"table", finding.table},
          {"kind", kind_text(finding.kind)},
          {"columns", std::move(columns)},
          {"cause", cause.empty() ? json::value(nullptr) : json::value(cause)},
          {"state", state_text(finding.state)},
          {"state_since", since.empty() ? json::value(nullptr) : json::value(since)},
          {"first_seen", time_text(finding.first_seen_us)},
          {"last_seen", time_text(finding.last_seen_us)}};
}

}  // namespace

ControlResponse answer_findings(const CheckpointReader& checkpoint, const ControlRequest& request,
                                const std::function<bool(const std::string& table)>& is_table) {
  std::uint64_t limit = 1000;
  const std::string asked = request.query_value("limit");
  if (!asked.empty() && !parse_number(asked, limit)) return problem(400, "limit is a number");
  limit = std::min(limit, kMost);
  const std::string table = request.query_value("table");
  const bool all = request.query_value("all") == "1";
  std::vector<Finding> found;
  std::uint64_t total = 0;
  const Status read = checkpoint.for_each_finding([&](const Finding& finding) -> Status {
    if ((!all && !is_open(finding.state)) || (!table.empty() && finding.table != table)) return {};
    if (++total > limit) return {};
    Finding& kept = found.emplace_back(finding);
    kept.source_row = kept.target_row = {};
    return {};
  });
  if (!read) return problem(read.error());
  // Findings outlive a table that is moved no more.
  if (total == 0 && !table.empty() && !is_table(table))
    return problem(404, "there is no table " + table + ": see /api/v1/tables");
  std::ranges::sort(found, {}, &Finding::id);
  json::array list;
  for (const Finding& finding : found) list.push_back(listed_finding(finding));
  return {200, json::serialize(json::object{{"findings", std::move(list)}, {"total", total}})};
}

}  // namespace lockstep
