#include <fmt/format.h>
#include <fmt/ranges.h>

#include <array>
#include <boost/json.hpp>
#include <iostream>
#include <map>

#include "daemon/commands/commands.h"
#include "daemon/key_text.h"
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
  object["cause"] = finding.cause.empty() ? json::value(nullptr) : json::value(finding.cause);
  object["state"] = state_text(finding.state);
  object["position"] = lsn_text(finding.position);
  object["first_seen"] = time_text(finding.first_seen_us);
  object["last_seen"] = time_text(finding.last_seen_us);
  if (!values) return object;
  object["source_row"] = parts_json(texts.row(table, finding.source_row), finding.source_row);
  object["target_row"] = parts_json(texts.row(table, finding.target_row), finding.target_row);
  return object;
}

// One line for all rows that differ alike: ten thousand of them have one cause, as a rule.
void print_list(const FindingsList& listed, KeyTexts& texts) {
  if (listed.findings.empty()) {
    std::cout << "no findings\n";
    return;
  }
  using About = std::array<std::string, 5>;  // Table, kind, state, columns, cause.
  std::map<About, std::vector<const Finding*>> groups;
  for (const Finding& finding : listed.findings)
    groups[{finding.table, std::string(kind_text(finding.kind)),
            std::string(state_text(finding.state)),
            fmt::format("{}", fmt::join(finding.columns, ", ")), finding.cause}]
        .push_back(&finding);
  std::cout << fmt::format("{:>8}  {:<30} {:<18} {:<9} {:<20} {:<32} {:>8}  {}\n", "rows", "table",
                           "kind", "state", "columns", "cause", "first id", "its key");
  const auto shown = [](const std::string& text) { return text.empty() ? "-" : text; };
  for (const auto& [about, findings] : groups) {
    const Finding& first = *findings.front();
    std::cout << fmt::format("{:>8}  {:<30} {:<18} {:<9} {:<20} {:<32} {:>8}  {}\n",
                             findings.size(), about[0], about[1], about[2], shown(about[3]),
                             shown(about[4]), first.id, texts.text(table_of(about[0]), first.key));
  }
  if (listed.total > listed.findings.size())
    std::cout << fmt::format("and {} more: see --limit\n", listed.total - listed.findings.size());
  std::cout << "next: lockstep findings show FILE ID --show-values\n";
}

void print_findings(const json::array& findings) {
  for (const json::value& value : findings) {
    const json::object& finding = value.get_object();
    for (const auto& [key, member] : finding)
      std::cout << fmt::format("{:<12} {}\n", std::string(key), text_of(finding, key));
    std::cout << "\n";
  }
  if (findings.empty()) std::cout << "no findings\n";
}

}  // namespace

ExitCode findings_command(const FindingsCommand& command) {
  const auto manifest = load_or_complain(command.manifest);
  if (!manifest) return ExitCode::Config;
  const auto listed = list_findings(*manifest, command.filter);
  if (!listed) return complain(listed.error());
  KeyTexts texts(*manifest);
  if (command.verb == "list" && command.format == OutputFormat::Text && !command.show_values) {
    print_list(*listed, texts);
    return ExitCode::Ok;
  }
  json::array findings;
  for (const Finding& finding : listed->findings)
    findings.push_back(finding_object(finding, texts, command.show_values));
  if (command.format == OutputFormat::Text) {
    print_findings(findings);
    return ExitCode::Ok;
  }
  json::object document;
  document["total"] = listed->total;
  document["findings"] = std::move(findings);
  std::cout << json::serialize(document) << "\n";
  return ExitCode::Ok;
}

}  // namespace lockstep
