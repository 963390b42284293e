#include "daemon/steering_api.h"

#include <fmt/format.h>

#include <algorithm>
#include <boost/json.hpp>
#include <chrono>
#include <utility>
#include <vector>

#include "daemon/status_json.h"
#include "daemon/waits.h"

namespace lockstep {
namespace {

namespace json = boost::json;

std::string member(const json::object& object, std::string_view key) {
  const json::value* const value = object.if_contains(key);
  return value != nullptr && value->is_string() ? std::string(value->get_string()) : "";
}

constexpr const char* kInvalid = "invalid";  // Error::code of a value, not of a name.

// There is nothing of that name.
std::unexpected<Error> unknown(std::string why) {
  return fail(Reaction::Halt, std::move(why), ExitCode::Usage);
}
std::unexpected<Error> invalid(std::string why) {
  return fail(Error{Reaction::Halt, std::move(why), ExitCode::Usage, kInvalid});
}

std::string known_settings() {
  std::string names;
  for (const Limit limit : kLimits)
    names += (names.empty() ? "" : ", ") + std::string(limit_text(limit));
  return names;
}

// All of them are checked before one is set.
Status change_settings(Steering& steering, const json::object& wanted, const Order& order) {
  const json::value* const values = wanted.if_contains("values");
  if (values == nullptr || !values->is_object() || values->get_object().empty())
    return invalid("no values: {\"values\": {\"NAME\": 1000}}");
  std::vector<std::pair<Limit, std::optional<std::uint64_t>>> changes;
  for (const auto& [name, value] : values->get_object()) {
    const auto limit = parse_limit(name);
    if (!limit)
      return unknown(
          fmt::format("there is no setting {}: {}", std::string(name), known_settings()));
    boost::system::error_code no_number;
    const auto number = value.to_number<std::uint64_t>(no_number);
    if (no_number && !value.is_null())
      return invalid(
          fmt::format("{} is a number of rows per second, or null for what the manifest "
                      "says",
                      std::string(name)));
    if (!value.is_null() && number > kLimitMax)
      return invalid(fmt::format("{} is {} at most", std::string(name), kLimitMax));
    changes.emplace_back(*limit, value.is_null() ? std::nullopt : std::optional(number));
  }
  for (const auto& [limit, value] : changes) LOCKSTEP_TRY(steering.set(limit, value, order));
  return {};
}

}  // namespace

std::string settings_json(const std::vector<ShownSetting>& all) {
  json::array settings;
  for (const ShownSetting& one : all) {
    json::object object{{"name", one.name}, {"value", one.value}, {"manifest", one.manifest}};
    object["by"] = one.actor.empty() ? json::value(nullptr) : json::value(one.actor);
    object["since"] = one.at_us == 0 ? json::value(nullptr) : json::value(time_text(one.at_us));
    settings.push_back(std::move(object));
  }
  return json::serialize(json::object{{"settings", std::move(settings)}});
}

std::string pauses_json(const std::vector<PausedScope>& paused) {
  std::vector<std::string> waits;
  for (const PausedScope& held : paused)
    if (!held.waits_for.empty() && std::ranges::find(waits, held.waits_for) == waits.end())
      waits.push_back(held.waits_for);
  return json::serialize(json::object{
      {"paused", paused_json(paused)},
      {"ended", waits.empty()},
      {"waits_for", waits.empty() ? json::value(nullptr) : json::value(joined_waits(waits))}});
}

ControlResponse problem(unsigned status, const std::string& why) {
  return {status, json::serialize(json::object{{"title", why}})};
}

ControlResponse problem(const Error& error) {
  const bool not_now = error.exit == ExitCode::Config || error.exit == ExitCode::Temporary;
  const unsigned status = error.exit != ExitCode::Usage ? (not_now ? 409 : 500)
                          : error.code == kInvalid      ? 422
                                                        : 404;
  return {status, json::serialize(json::object{{"title", error.message},
                                               {"exit", static_cast<int>(error.exit)}})};
}

Status audit(RocksdbStore& store, const std::string& actor, const std::string& verb,
             const std::string& details) {
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  return store.append_audit(
      {std::chrono::duration_cast<std::chrono::microseconds>(now).count(), actor, verb, details});
}

Result<std::vector<std::string>> resume_held(Steering& steering, const json::object& wanted,
                                             const std::string& actor) {
  std::vector<std::string> names;
  if (const std::string table = member(wanted, "table"); !table.empty()) {
    names = {held_table(table)};
  } else if (wanted.contains("scope")) {
    LOCKSTEP_ASSIGN(names, scopes_of(member(wanted, "scope")));
  } else {
    for (const auto& [name, pause] : steering.control().pauses()) names.push_back(name);
  }
  return steering.resume(names, {actor, member(wanted, "reason")});
}

namespace {

// What a pause is to hold.
Result<std::vector<std::string>> wanted_held(const Steering& steering, const json::object& wanted) {
  const std::string table = member(wanted, "table");
  if (table.empty()) return scopes_of(member(wanted, "scope"));
  if (wanted.contains("scope")) return invalid("a scope or a table, not both");
  if (!steering.selects(table))
    return unknown("the manifest selects no table " + table + ": schema.table as status names it");
  return std::vector<std::string>{held_table(table)};
}

}  // namespace

ControlResponse answer_steering(Steering& steering, const ControlRequest& request) {
  const bool settings = request.path == kSettingsPath;
  if (settings && request.method == "GET") return {200, settings_json(steering.settings())};
  if (request.method != (settings ? "PATCH" : "POST"))
    return problem(405, settings ? "settings take GET and PATCH" : "pauses take GET and POST");
  boost::system::error_code broken;
  const json::value parsed = json::parse(request.body, broken);
  const json::object* const wanted = broken ? nullptr : parsed.if_object();
  if (wanted == nullptr) return problem(400, "no JSON object");
  const Order order{request.actor, member(*wanted, "reason")};
  if (settings) {
    if (const Status changed = change_settings(steering, *wanted, order); !changed)
      return problem(changed.error());
    return {200, settings_json(steering.settings())};
  }
  const auto names = wanted_held(steering, *wanted);
  if (!names) return problem(names.error());
  if (const Status paused = steering.pause(*names, order); !paused) return problem(paused.error());
  RunStatus status;
  show_pauses(steering.control().pauses(), status);
  return {200, pauses_json(status.paused)};
}

}  // namespace lockstep
