#include "daemon/row_json.h"

#include <fmt/format.h>

#include <algorithm>
#include <boost/json.hpp>
#include <chrono>

#include "connectors/postgres/wire/rows.h"
#include "daemon/status_json.h"

namespace lockstep {
namespace {

namespace json = boost::json;

json::value time_or_null(std::int64_t us) {
  return us == 0 ? json::value(nullptr) : json::value(time_text(us));
}

template <typename Value>
json::value value_or_null(const std::optional<Value>& value) {
  return value ? json::value(*value) : json::value(nullptr);
}

json::array names_array(const std::vector<std::string>& names) {
  json::array array;
  for (const std::string& name : names) array.emplace_back(name);
  return array;
}

json::object side_object(const SideRow& row) {
  const bool known = row.writer && row.writer->xid != 0;
  return {{"present", row.present},
          {"transaction", known ? json::value(row.writer->xid) : json::value(nullptr)},
          {"written_at", time_or_null(row.writer ? row.writer->commit_us : 0)}};
}

json::value debt_object(const std::optional<QuarantinedRow>& debt) {
  if (!debt) return nullptr;
  return json::object{{"id", debt->id},
                      {"state", debt->state},
                      {"reason", debt->reason},
                      {"attempts", debt->attempts},
                      {"detail", debt->detail},
                      {"transaction", debt->xid},
                      {"commit_time", time_or_null(debt->commit_us)}};
}

json::value found_object(const std::optional<Finding>& finding) {
  if (!finding) return nullptr;
  return json::object{{"id", finding->id},
                      {"state", state_text(finding->state)},
                      {"kind", kind_text(finding->kind)},
                      {"columns", names_array(finding->columns)},
                      {"cause", cause_text(*finding)},
                      {"state_since", time_or_null(finding->state_since_us)},
                      {"position", lsn_text(finding->position)},
                      {"first_seen", time_or_null(finding->first_seen_us)},
                      {"last_seen", time_or_null(finding->last_seen_us)}};
}

json::value verified_object(const std::optional<VerifiedRange>& range) {
  if (!range) return nullptr;
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  const auto age = std::chrono::duration<double>(now - std::chrono::microseconds(range->at_us));
  return json::object{{"position", lsn_text(range->position)},
                      {"at", time_text(range->at_us)},
                      {"age_seconds", std::max(0.0, age.count())},
                      {"rows", range->rows}};
}

std::string_view result_text(ExitCode exit) {
  if (exit == ExitCode::Ok) return "equal";
  return exit == ExitCode::Different ? "different" : "unknown";
}

// ---------------------------------------------------------------- text

std::string list_text(const json::value& value) {
  std::string list;
  if (const json::object* parts = value.if_object())
    for (const auto& [name, part] : *parts)
      list += fmt::format("{}{}={}", list.empty() ? "" : ", ", std::string_view(name),
                          part.is_null() ? "NULL" : std::string(part.as_string()));
  else if (const json::array* names = value.if_array())
    for (const json::value& name : *names)
      list += (list.empty() ? "" : ", ") + std::string(name.as_string());
  else
    list = value.is_null() ? "-" : std::string(value.as_string());
  return list;
}

std::string side_text(const json::object& side) {
  if (!side.at("present").as_bool()) return "absent";
  const std::string transaction = text_of(side, "transaction");
  const std::string at = text_of(side, "written_at");
  return fmt::format("present, written by {}{}",
                     transaction == "-" ? "a transaction that is not known any more"
                                        : "transaction " + transaction,
                     at == "-" ? "" : " at " + at);
}

std::string debt_text(const json::value& value) {
  const json::object* debt = value.if_object();
  if (debt == nullptr) return "none";
  const std::string detail = text_of(*debt, "detail");
  const std::string xid = text_of(*debt, "transaction");
  const std::string at = text_of(*debt, "commit_time");
  return fmt::format("{}: {}{}, {} attempts{}{}; id {}", text_of(*debt, "state"),
                     text_of(*debt, "reason"), detail.empty() ? "" : " (" + detail + ")",
                     text_of(*debt, "attempts"), xid == "0" ? "" : ", of transaction " + xid,
                     at == "-" ? "" : " at " + at, text_of(*debt, "id"));
}

std::string finding_text(const json::value& value) {
  const json::object* finding = value.if_object();
  if (finding == nullptr) return "none";
  const std::string columns = list_text(finding->at("columns"));
  const std::string cause = text_of(*finding, "cause");
  const std::string since = text_of(*finding, "state_since");
  return fmt::format("{} {}{}: {}{}{}, seen from {} to {}", text_of(*finding, "id"),
                     text_of(*finding, "state"), since == "-" ? "" : " since " + since,
                     text_of(*finding, "kind"), columns.empty() ? "" : " in " + columns,
                     cause.empty() ? "" : " (" + cause + ")", text_of(*finding, "first_seen"),
                     text_of(*finding, "last_seen"));
}

std::string verified_text(const json::value& value) {
  const json::object* range = value.if_object();
  if (range == nullptr) return "never, that is known";
  return fmt::format("{:.0f} s ago, at position {} or later, with a range of {} rows",
                     range->at("age_seconds").to_number<double>(), text_of(*range, "position"),
                     text_of(*range, "rows"));
}

// Lines of the two rows, and of what is kept about them.
std::string known_text(const json::object& row) {
  std::string text;
  const auto line = [&](std::string_view name, const std::string& what) {
    text += fmt::format("  {:<16} {}\n", name, what);
  };
  for (const char* side : {"source", "target"}) {
    const json::object& seen = row.at(side).as_object();
    line(fmt::format("on the {}", side), side_text(seen));
    if (const json::value* values = seen.if_contains("row");
        values != nullptr && !values->is_null())
      line("", list_text(*values));
  }
  const std::string columns = list_text(row.at("columns"));
  line("compared", text_of(row, "sides") + (columns.empty() ? "" : " in " + columns));
  line("copied", row.at("copied").as_bool() ? "yes" : "not yet");
  line("debt", debt_text(row.at("debt")));
  line("finding", finding_text(row.at("finding")));
  line("verified", verified_text(row.at("verified")));
  const std::string last = text_of(row, "last_change");
  line("last change", last == "-" ? "not known: only the latest ones are remembered"
                                  : "transaction " + last + " of the source");
  const std::string applied = text_of(row, "applied_through");
  line("applied", applied == "-" ? "not known: the stream's positions name no row"
                                 : "everything of its lane up to " + applied);
  return text;
}

}  // namespace

std::string row_json(const RowFacts& row, const RowVerdict& verdict, KeyTexts& texts,
                     ShowValues values) {
  json::object document{
      {"table", row.table},
      {"target_table", row.target_table},
      {"state", row.state},
      {"reason", row.reason.empty() ? json::value(nullptr) : json::value(row.reason)},
      {"running", row.running},
      {"result", result_text(verdict.exit)},
      {"sides", sides_text(row.sides)}};
  if (row.map != nullptr) {
    const TableName& name = row.map->source.name;
    document["key"] = parts_json(texts.parts(name, row.key), row.key);
    document["key_hash"] = key_hash_text(row.key_hash);
    document["columns"] = names_array(row.columns);
    document["source"] = side_object(row.source);
    document["target"] = side_object(row.target);
    if (values == ShowValues::Yes)
      for (const auto& [side, seen] : {std::pair("source", &row.source), {"target", &row.target}})
        document[side].as_object()["row"] = parts_json(texts.row(name, seen->cells), seen->cells);
    document["copied"] = row.copied;
    document["debt"] = debt_object(row.debt);
    document["finding"] = found_object(row.finding);
    document["verified"] = verified_object(row.verified);
    document["last_change"] = value_or_null(row.last_change);
    document["applied_through"] =
        row.applied ? json::value(lsn_text(*row.applied)) : json::value(nullptr);
  }
  document["verdict"] = verdict.text;
  return json::serialize(document);
}

std::string row_text(const std::string& document) {
  const json::value parsed = json::parse(document);
  const json::object& row = parsed.as_object();
  std::string text = text_of(row, "table");
  if (const json::value* key = row.if_contains("key")) text += " " + list_text(*key);
  text += fmt::format("\n  {:<16} {}{}\n", "table", text_of(row, "state"),
                      row.at("running").as_bool() ? "" : " (lockstep does not run)");
  if (const std::string reason = text_of(row, "reason"); reason != "-")
    text += fmt::format("  {:<16} {}\n", "reason", reason);
  if (row.contains("source")) text += known_text(row);
  return text + text_of(row, "verdict") + "\n";
}

}  // namespace lockstep
