#include "daemon/sweep_json.h"

#include <fmt/format.h>

#include <algorithm>
#include <boost/json.hpp>
#include <charconv>
#include <functional>
#include <optional>

#include "daemon/key_text.h"
#include "daemon/resync.h"
#include "daemon/status_json.h"
#include "daemon/waits.h"

namespace lockstep {
namespace {

namespace json = boost::json;

constexpr std::size_t kFindingsShown = 20;

bool is_complete(const TableSweep& sweep) {
  return sweep.over && sweep.left.empty() && sweep.unverified == 0;
}

json::object table_object(const TableMap& table, const TableSweep& sweep) {
  json::object object;
  object["table"] = table.text();
  object["rows"] = sweep.rows;
  // No position speaks for rows that were never compared.
  object["verified_through"] = sweep.verified_through && is_complete(sweep)
                                   ? json::value(lsn_text(*sweep.verified_through))
                                   : json::value(nullptr);
  object["findings"] = sweep.findings;
  object["missing_in_target"] = sweep.missing;
  object["kept"] = sweep.kept;
  object["resolved"] = sweep.resolved;
  object["repaired"] = sweep.repaired;
  object["repair_failed"] = sweep.failed;
  object["unverified"] = sweep.unverified;
  object["in_doubt"] = sweep.suspects;
  object["ranges"] = ranges_json(sweep, ShowValues::Yes);
  object["ranges_total"] = sweep.ranges_total;
  object["reason"] = sweep.left.empty() ? json::value(nullptr) : json::value(sweep.left);
  return object;
}

json::object finding_object(const Finding& finding) {
  json::object object;
  object["table"] = finding.table;
  object["key"] = hex_text(finding.key);
  object["kind"] = kind_text(finding.kind);
  json::array columns;
  for (const std::string& column : finding.columns) columns.emplace_back(column);
  object["columns"] = std::move(columns);
  const std::string cause = cause_text(finding);
  object["cause"] = cause.empty() ? json::value(nullptr) : json::value(cause);
  object["first_seen"] = time_text(finding.first_seen_us);
  return object;
}

const json::array* array_of(const json::object& object, std::string_view key) {
  const json::value* value = object.if_contains(key);
  return value == nullptr ? nullptr : value->if_array();
}

// The bytes that hex_text() wrote; nothing of any other text.
std::optional<std::string> unhex(std::string_view text) {
  if (!text.starts_with("\\x") || text.size() % 2 != 0) return std::nullopt;
  std::string bytes;
  for (std::size_t i = 2; i < text.size(); i += 2) {
    unsigned byte = 0;
    if (std::from_chars(&text[i], &text[i] + 2, byte, 16).ptr != &text[i] + 2) return std::nullopt;
    bytes += static_cast<char>(byte);
  }
  return bytes;
}

std::string finding_text(const json::object& finding) {
  std::string key;
  if (const json::object* parts = finding.at("key").if_object())
    for (const auto& [name, value] : *parts)
      key += fmt::format("{}{}={}", key.empty() ? "" : ", ", std::string_view(name),
                         std::string_view(value.as_string()));
  else
    key = text_of(finding, "key");
  std::string columns;
  if (const json::array* all = array_of(finding, "columns"))
    for (const json::value& column : *all)
      columns += (columns.empty() ? " in " : ", ") + std::string(column.as_string());
  const std::string cause = text_of(finding, "cause");
  return fmt::format("  {} {}: {}{}{}\n", text_of(finding, "table"), key, text_of(finding, "kind"),
                     columns, cause == "-" ? "" : " (" + cause + ")");
}

}  // namespace

std::string sweep_json(const SweepStatus& status, const std::vector<const TableMap*>& tables,
                       const std::vector<LeftOut>& left_out,
                       const std::vector<AggregateResult>& aggregates,
                       const std::vector<std::string>& waits) {
  json::array shown;
  bool complete = !status.running && status.sweep > 0 && left_out.empty();
  std::uint64_t findings = 0;
  for (const auto& [id, sweep] : status.asked) {
    shown.push_back(table_object(*tables.at(id), sweep));
    complete = complete && is_complete(sweep);
    findings += sweep.findings;
  }
  for (const LeftOut& table : left_out)
    shown.push_back(json::object{{"table", table.table},
                                 {"rows", 0},
                                 {"verified_through", nullptr},
                                 {"findings", 0},
                                 {"missing_in_target", 0},
                                 {"ranges", json::array()},
                                 {"ranges_total", 0},
                                 {"reason", table.reason}});
  json::array found;
  for (const Finding& finding : status.findings) found.push_back(finding_object(finding));
  json::object document;
  const ExitCode taken = exit_of(aggregates);
  complete = complete && taken == ExitCode::Ok;
  document["result"] = findings > 0 || taken == ExitCode::Different ? "different"
                       : complete                                   ? "equal"
                                                                    : "incomplete";
  document["sweep"] = status.sweep;
  document["running"] = status.running;
  document["tables"] = std::move(shown);
  document["findings"] = std::move(found);
  document["findings_total"] = findings;
  json::array waiting;
  for (const std::string& line : waits) waiting.emplace_back(line);
  document["waits"] = std::move(waiting);
  document["aggregates"] = results_json(aggregates);
  return json::serialize(document);
}

namespace {

// The columns and values of a key in place of its bytes, where they can be told.
void name_key(json::value& key, const TableName& table, const std::function<KeyTexts&()>& texts) {
  const auto cells = key.is_string() ? unhex(key.get_string()) : std::nullopt;
  if (!cells) return;
  const auto parts = texts().parts(table, *cells);
  if (parts.empty()) return;
  json::object named;
  for (const auto& [name, text] : parts) named[name] = text.value_or("");
  key = std::move(named);
}

}  // namespace

std::string with_key_texts(const std::string& document, const Manifest& manifest, bool ranges) {
  boost::system::error_code broken;
  json::value parsed = json::parse(document, broken);
  json::object* const object = broken ? nullptr : parsed.if_object();
  if (object == nullptr || !object->contains("tables")) return document;
  std::optional<KeyTexts> planned;  // Both servers are asked, where any key is to be told.
  const auto texts = [&]() -> KeyTexts& { return planned ? *planned : planned.emplace(manifest); };
  if (json::value* const findings = object->if_contains("findings"))
    for (json::value& value : findings->as_array()) {
      json::object& finding = value.as_object();
      name_key(finding["key"], table_of(text_of(finding, "table")), texts);
    }
  if (!ranges) return json::serialize(parsed);
  for (json::value& value : object->at("tables").as_array()) {
    json::object& table = value.as_object();
    json::array* const of_table = table["ranges"].if_array();
    if (of_table == nullptr) continue;  // Of a status, where nobody compares the table.
    for (json::value& range : *of_table)
      for (const char* bound : {"lower", "upper"})
        name_key(range.as_object()[bound], table_of(text_of(table, "table")), texts);
  }
  return json::serialize(parsed);
}

namespace {

std::uint64_t count_of(const json::object& object, std::string_view key) {
  const json::value* const value = object.if_contains(key);
  return value != nullptr && value->is_number() ? value->to_number<std::uint64_t>() : 0;
}

std::string swept_text(const json::object& table, const std::string& manifest) {
  const std::string name = text_of(table, "table");
  std::string text =
      fmt::format("  {}: {} rows, {} findings, verified through {}", name, text_of(table, "rows"),
                  text_of(table, "findings"), text_of(table, "verified_through"));
  if (const std::string left = text_of(table, "unverified"); left != "0" && left != "-")
    text += fmt::format(
        ", {} rows could not be verified: they are to be read again (`lockstep status {}`), or are "
        "in `lockstep quarantine list {}`",
        left, manifest, manifest);
  if (const std::string why = text_of(table, "reason"); why != "-") text += "; " + why;
  text += "\n";
  const std::string hint =
      resync_advice(name, count_of(table, "missing_in_target"), count_of(table, "rows"), manifest);
  return hint.empty() ? text : fmt::format("{}    {}\n", text, hint);
}

// The first of them; of how many, and where the others are.
std::string findings_text(const json::object& document, const std::string& manifest) {
  const json::array* const findings = array_of(document, "findings");
  if (findings == nullptr || findings->empty()) return {};
  std::string text;
  const std::size_t shown = std::min(findings->size(), kFindingsShown);
  for (std::size_t i = 0; i < shown; ++i) text += finding_text((*findings)[i].as_object());
  const std::uint64_t total = std::max(count_of(document, "findings_total"), findings->size());
  if (total > shown) text += fmt::format("  these are {} of {} findings\n", shown, total);
  return text +
         fmt::format("next: lockstep findings list {} counts all of them, by cause\n", manifest);
}

}  // namespace

std::string sweep_text(const std::string& document, const std::string& manifest) {
  boost::system::error_code broken;
  const json::value parsed = json::parse(document, broken);
  const json::object* const object = broken ? nullptr : parsed.if_object();
  if (object == nullptr) return document + "\n";
  std::string text = text_of(*object, "result") + "\n";
  if (const json::array* tables = array_of(*object, "tables"))
    for (const json::value& value : *tables) text += swept_text(value.as_object(), manifest);
  if (const json::array* aggregates = array_of(*object, "aggregates"))
    for (const json::value& value : *aggregates) {
      const std::string state = text_of(value.as_object(), "state");
      text += fmt::format("  aggregate {}: {}{}\n", text_of(value.as_object(), "name"), state,
                          state == "equal" ? "" : ": lockstep aggregates " + manifest);
    }
  return text + findings_text(*object, manifest);
}

Result<std::vector<TableId>> tables_to_compare(const std::vector<const TableMap*>& tables,
                                               const std::string& name,
                                               const std::string& manifest) {
  std::vector<TableId> ids;
  for (const TableMap* table : tables)
    if (name.empty() || table->text() == name) ids.push_back(table->id);
  if (!ids.empty() || name.empty()) return ids;
  return fail(
      Reaction::Halt,
      fmt::format("{} is not moved by this migration: see lockstep status {}", name, manifest),
      ExitCode::Usage);
}

Result<SweepOutcome> sweep_outcome(const std::string& document) {
  boost::system::error_code broken;
  const json::value parsed = json::parse(document, broken);
  const json::object* const object = broken ? nullptr : parsed.if_object();
  if (object == nullptr || !object->contains("sweep"))
    return fail(Reaction::Halt, "the daemon's answer is no document of a sweep: " + document,
                ExitCode::Failed);
  SweepOutcome outcome;
  outcome.sweep = object->at("sweep").to_number<std::uint64_t>();
  outcome.running = object->at("running").as_bool();
  const std::string result = text_of(*object, "result");
  outcome.exit = result == "equal"       ? ExitCode::Ok
                 : result == "different" ? ExitCode::Different
                                         : ExitCode::Incomplete;
  std::vector<std::string> waits;
  if (const json::array* lines = array_of(*object, "waits"))
    for (const json::value& line : *lines) waits.emplace_back(line.as_string());
  outcome.waits = joined_waits(waits);
  return outcome;
}

}  // namespace lockstep
