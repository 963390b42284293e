#include "daemon/aggregates/result.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <boost/json.hpp>

#include "daemon/status_json.h"
#include "pipeline/model/row.h"

namespace lockstep {
namespace {

namespace json = boost::json;

constexpr std::array kStates{AggregateState::Pending, AggregateState::Equal,
                             AggregateState::Different, AggregateState::Unaligned,
                             AggregateState::Failed};

json::array values_array(const AggregateResult::Values& values) {
  json::array array;
  for (const auto& value : values)
    array.push_back(value ? json::value(*value) : json::value(nullptr));
  return array;
}

AggregateResult::Values values_of(const json::value& array) {
  AggregateResult::Values values;
  for (const json::value& value : array.as_array())
    values.push_back(value.is_null() ? std::nullopt
                                     : std::optional(std::string(value.as_string())));
  return values;
}

AggregateResult parse_result(const json::object& object) {
  AggregateResult result;
  result.name = text_of(object, "name");
  if (object.contains("statements")) result.statements = text_of(object, "statements");
  const std::string state = text_of(object, "state");
  for (const AggregateState known : kStates)
    if (state_text(known) == state) result.state = known;
  for (const json::value& column : object.at("columns").as_array())
    result.columns.emplace_back(column.as_string());
  result.source = values_of(object.at("source"));
  result.target = values_of(object.at("target"));
  result.at_us = object.at("at_us").to_number<std::int64_t>();
  result.position = parse_lsn(text_of(object, "position")).value_or(0);
  if (!object.at("reason").is_null()) result.reason = text_of(object, "reason");
  return result;
}

std::string values_text(const AggregateResult& result, const AggregateResult::Values& values) {
  if (values.empty()) return "-";
  std::string text;
  for (std::size_t i = 0; i < values.size(); ++i)
    text +=
        fmt::format("{}{}{}", i == 0 ? "" : ", ",
                    values.size() > 1 && i < result.columns.size() ? result.columns[i] + "=" : "",
                    values[i].value_or("NULL"));
  return text;
}

}  // namespace

std::string_view state_text(AggregateState state) {
  switch (state) {
    case AggregateState::Pending:
      return "pending";
    case AggregateState::Equal:
      return "equal";
    case AggregateState::Different:
      return "different";
    case AggregateState::Unaligned:
      return "unaligned";
    case AggregateState::Failed:
      return "failed";
  }
  CHECK(false);
  return {};
}

AggregateResult pending_result(const ManifestAggregate& aggregate) {
  AggregateResult result;
  result.name = aggregate.name.value;
  const auto part = [](const std::string& text) { return fmt::format("{}:{}", text.size(), text); };
  result.statements = hash_text(hash128(
      part(aggregate.source.value) + part(aggregate.target.value) + part(aggregate.tolerance), 0));
  return result;
}

json::array results_json(const std::vector<AggregateResult>& results) {
  json::array array;
  for (const AggregateResult& result : results) {
    json::array columns;
    for (const std::string& column : result.columns) columns.emplace_back(column);
    const bool taken = result.at_us != 0;
    array.push_back(json::object{
        {"name", result.name},
        {"statements", result.statements},
        {"state", state_text(result.state)},
        {"columns", std::move(columns)},
        {"source", values_array(result.source)},
        {"target", values_array(result.target)},
        {"at", taken ? json::value(time_text(result.at_us)) : json::value(nullptr)},
        {"at_us", result.at_us},
        {"position",
         result.position != 0 ? json::value(lsn_text(result.position)) : json::value(nullptr)},
        {"reason", result.reason.empty() ? json::value(nullptr) : json::value(result.reason)}});
  }
  return array;
}

std::vector<AggregateResult> parse_results(std::string_view note) {
  std::vector<AggregateResult> results;
  boost::system::error_code broken;
  const json::value parsed = json::parse(note, broken);
  if (broken || !parsed.is_array()) return results;
  for (const json::value& value : parsed.get_array())
    if (value.is_object()) results.push_back(parse_result(value.get_object()));
  return results;
}

bool is_due(const AggregateResult& last, std::chrono::seconds every, std::int64_t now_us) {
  return last.at_us > now_us || last.at_us + std::chrono::microseconds(every).count() <= now_us;
}

std::vector<AggregateResult> results_of(const Manifest& manifest,
                                        const std::vector<AggregateResult>& stored) {
  std::vector<AggregateResult> results;
  for (const ManifestAggregate& aggregate : manifest.aggregates) {
    AggregateResult& result = results.emplace_back(pending_result(aggregate));
    const auto known = std::ranges::find(stored, result.name, &AggregateResult::name);
    if (known != stored.end() && known->statements == result.statements) result = *known;
  }
  return results;
}

ExitCode exit_of(const std::vector<AggregateResult>& results) {
  const auto any = [&](AggregateState state) {
    return std::ranges::find(results, state, &AggregateResult::state) != results.end();
  };
  if (any(AggregateState::Different)) return ExitCode::Different;
  const bool told = std::ranges::all_of(
      results, [](const AggregateResult& result) { return result.state == AggregateState::Equal; });
  return told ? ExitCode::Ok : ExitCode::Incomplete;
}

std::string results_text(const std::vector<AggregateResult>& results, const std::string& manifest) {
  if (results.empty()) return "the manifest has no aggregates\n";
  std::string text = fmt::format("{:<30} {:<10} {:<30} {:<30} {:<20} {}\n", "name", "state",
                                 "source", "target", "at", "reason");
  for (const AggregateResult& result : results)
    text += fmt::format("{:<30} {:<10} {:<30} {:<30} {:<20} {}\n", result.name,
                        state_text(result.state), values_text(result, result.source),
                        values_text(result, result.target),
                        result.at_us == 0 ? "-" : time_text(result.at_us),
                        result.reason.empty() ? "-" : result.reason);
  switch (exit_of(results)) {
    case ExitCode::Ok:
      return text;
    case ExitCode::Different:
      return text + fmt::format(
                        "next: lockstep reconcile {} --once says which rows differ; when none "
                        "does, the statements do not mean the same\n",
                        manifest);
    default:
      return text + fmt::format(
                        "next: a running daemon takes them as the manifest's `every` says, and "
                        "lockstep reconcile {} --once at once\n",
                        manifest);
  }
}

}  // namespace lockstep
