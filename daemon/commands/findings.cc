#include <fmt/format.h>

#include <algorithm>
#include <boost/json.hpp>
#include <iostream>

#include "daemon/commands/commands.h"
#include "daemon/key_text.h"
#include "daemon/resync.h"
#include "daemon/status_json.h"

namespace lockstep {
namespace {

namespace json = boost::json;

json::object finding_object(const Finding& finding, KeyTexts& texts, bool values) {
  const TableName table = table_of(finding.table);
  json::object object;
  object["id"] = finding.id;
  object["table"] = finding.table;
  object["key"] = parts_json(texts.parts(table, finding.key), finding.key);
  object["kind"] = kind_text(finding.kind);
  json::array columns;
  for (const std::string& column : finding.columns) columns.emplace_back(column);
  object["columns"] = std::move(columns);
  const std::string cause = cause_text(finding);
  object["cause"] = cause.empty() ? json::value(nullptr) : json::value(cause);
  object["state"] = state_text(finding.state);
  const std::string since = time_text(finding.state_since_us);
  object["state_since"] = since.empty() ? json::value(nullptr) : json::value(since);
  object["position"] = lsn_text(finding.position);
  object["first_seen"] = time_text(finding.first_seen_us);
  object["last_seen"] = time_text(finding.last_seen_us);
  if (!values) return object;
  object["source_row"] = parts_json(texts.row(table, finding.source_row), finding.source_row);
  object["target_row"] = parts_json(texts.row(table, finding.target_row), finding.target_row);
  return object;
}

constexpr std::size_t kGroupsShown = 40;

std::string shown(const std::string& text) { return text.empty() ? "-" : text; }

// One line for all rows that differ alike.
void print_summary(const FindingsList& listed, KeyTexts& texts, const std::string& manifest) {
  if (listed.groups.empty()) {
    std::cout << "no findings\n";
    return;
  }
  std::cout << fmt::format("{:>8}  {:<30} {:<18} {:<9} {:<20} {:<32} {:>8}  {}\n", "rows", "table",
                           "kind", "state", "columns", "cause", "first id", "its key");
  std::uint64_t rows = 0;
  const std::size_t lines = std::min(listed.groups.size(), kGroupsShown);
  for (std::size_t i = 0; i < lines; ++i) {
    const FindingGroup& group = listed.groups[i];
    rows += group.rows;
    std::cout << fmt::format("{:>8}  {:<30} {:<18} {:<9} {:<20} {:<32} {:>8}  {}\n", group.rows,
                             group.table, kind_text(group.kind), state_text(group.state),
                             shown(group.columns), shown(group.cause), group.first_id,
                             texts.text(table_of(group.table), group.first_key));
  }
  if (lines < listed.groups.size())
    std::cout << fmt::format("and {} more groups, of {} rows: --table chooses some\n",
                             listed.groups.size() - lines, listed.total - rows);
  std::cout << fmt::format("{} rows in all\n", listed.total);
  for (const auto& [table, lacking] : listed.lacking)
    if (const std::string advice = resync_advice(table, lacking.missing, lacking.rows, manifest);
        !advice.empty())
      std::cout << advice << "\n";
  std::cout << fmt::format("next: lockstep findings show {} {} --show-values\n", manifest,
                           listed.groups.front().first_id);
}

json::array groups_json(const std::vector<FindingGroup>& groups) {
  json::array list;
  for (const FindingGroup& group : groups)
    list.push_back(
        {{"rows", group.rows},
         {"table", group.table},
         {"kind", kind_text(group.kind)},
         {"state", state_text(group.state)},
         {"columns", group.columns},
         {"cause", group.cause.empty() ? json::value(nullptr) : json::value(group.cause)},
         {"first_id", group.first_id}});
  return list;
}

void print_findings(const json::array& findings, std::uint64_t total) {
  for (const json::value& value : findings) {
    const json::object& finding = value.get_object();
    for (const auto& [key, member] : finding)
      std::cout << fmt::format("{:<12} {}\n", std::string(key), text_of(finding, key));
    std::cout << "\n";
  }
  if (findings.empty()) std::cout << "no findings\n";
  if (findings.size() < total)
    std::cout << fmt::format("these are {} of {}: --limit or --table chooses others\n",
                             findings.size(), total);
}

}  // namespace

ExitCode findings_command(const FindingsCommand& command) {
  const auto manifest = load_or_complain(command.manifest);
  if (!manifest) return ExitCode::Config;
  const bool text = command.format == OutputFormat::Text;
  const bool summary = text && command.verb == "list" && !command.show_values;
  FindingsFilter filter = command.filter;
  filter.grouped = command.verb == "list";
  filter.with_rows = command.show_values;
  if (summary) filter.limit = 0;  // They are counted.
  const auto listed = list_findings(*manifest, filter);
  if (!listed) return complain(listed.error());
  KeyTexts texts(*manifest);
  if (summary) {
    print_summary(*listed, texts, command.manifest);
    return ExitCode::Ok;
  }
  json::array findings;
  for (const Finding& finding : listed->findings)
    findings.push_back(finding_object(finding, texts, command.show_values));
  if (text) {
    print_findings(findings, listed->total);
    return ExitCode::Ok;
  }
  json::object document;
  document["total"] = listed->total;
  if (filter.grouped) document["groups"] = groups_json(listed->groups);
  document["findings"] = std::move(findings);
  std::cout << json::serialize(document) << "\n";
  return ExitCode::Ok;
}

}  // namespace lockstep
