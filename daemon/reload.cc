#include "daemon/reload.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <boost/json.hpp>
#include <map>
#include <utility>

#include "daemon/status_json.h"
#include "daemon/steering_api.h"

namespace lockstep {
namespace {

namespace json = boost::json;

std::string not_hot(const std::string& manifest) {
  return fmt::format(
      "it counts from the next start: put it back, or lockstep stop {} and lockstep run {}",
      manifest, manifest);
}

// What somebody has set stays until he takes it back.
std::string stays(const ShownSetting& set, const std::string& manifest) {
  return fmt::format("stays {}, set by {} at {}; next: lockstep set {} {}=manifest", set.value,
                     set.actor, time_text(set.at_us), manifest, set.name);
}

json::object change_object(const ConfigChange& change) {
  return {{"key", change.key}, {"before", change.before}, {"after", change.after}};
}

// A file with a problem: each at its place, as `validate` prints it.
Reload::Outcome refuse(std::vector<Problem> problems) {
  Reload::Outcome outcome;
  for (const Problem& problem : problems)
    if (problem.severity == Severity::Error)
      outcome.refused.push_back({{problem.file, "", "", false}, problem.print()});
  return outcome;
}

}  // namespace

std::string Reload::Outcome::text() const {
  constexpr std::size_t kShownMax = 5;
  std::vector<std::string> lines;
  for (const Refused& one : refused) lines.push_back(one.change.key + ": " + one.problem);
  for (const Changed& one : changed)
    lines.push_back(one.stays.empty() ? fmt::format("{} = {} (was {})", one.change.key,
                                                    one.change.after, one.change.before)
                                      : one.change.key + " " + one.stays);
  const std::size_t all = lines.size();
  if (all > kShownMax) {
    lines.resize(kShownMax);
    lines.push_back(fmt::format("and {} more", all - kShownMax));
  }
  return fmt::format("{}{}",
                     !refused.empty()  ? "nothing was changed: "
                     : changed.empty() ? "nothing has changed"
                                       : "",
                     fmt::join(lines, "; "));
}

Result<Reload::Outcome> Reload::reload(const Order& order) {
  Parsed parsed = load_manifest(manifest_.path);
  const MutexLock lock(mutex_);
  if (!parsed.manifest) return refuse(std::move(parsed.problems));
  json::object fresh = effective_config(*parsed.manifest);
  std::vector<ConfigChange> changes = config_changes(config_, fresh);
  for (ConfigChange& secret :
       secret_changes(literal_secrets(manifest_), literal_secrets(*parsed.manifest)))
    changes.push_back(std::move(secret));
  Outcome outcome;
  for (const ConfigChange& change : changes)
    if (!change.hot) outcome.refused.push_back({change, not_hot(manifest_.path)});
  if (!outcome.refused.empty() || changes.empty()) return outcome;
  LOCKSTEP_TRY(steering_.reload(*parsed.manifest, order));
  config_ = std::move(fresh);
  const std::vector<ShownSetting> settings = steering_.settings();
  for (ConfigChange& change : changes) {
    const auto set = std::ranges::find(settings, change.key, &ShownSetting::name);
    const bool by_hand = set != settings.end() && !set->actor.empty();
    outcome.changed.push_back({std::move(change), by_hand ? stays(*set, manifest_.path) : ""});
  }
  return outcome;
}

json::value Reload::config() const {
  const MutexLock lock(mutex_);
  return config_;
}

ControlResponse Reload::compare_secrets(const json::object& wanted) const {
  const json::value* const secrets = wanted.if_contains("secrets");
  if (secrets == nullptr || !secrets->is_object())
    return problem(400, "no secrets: {\"secrets\": {\"source.connect.password\": \"..\"}}");
  std::map<std::string, Secret> of_file;
  for (const auto& [key, value] : secrets->get_object())
    if (value.is_string()) of_file[key] = Secret(std::string(value.get_string()));
  json::array changed;
  for (const ConfigChange& change : secret_changes(literal_secrets(manifest_), of_file))
    changed.emplace_back(change.key);
  return {200, json::serialize(json::object{{"changed", std::move(changed)}})};
}

ControlResponse Reload::answer(const ControlRequest& request) {
  const bool of_config = request.path == kConfigPath;
  if (of_config && request.method == "GET") return {200, json::serialize(config())};
  boost::system::error_code broken;
  const json::value parsed = json::parse(request.body, broken);
  if (broken || !parsed.is_object()) return problem(400, "no JSON object");
  if (of_config) return compare_secrets(parsed.get_object());
  const json::value* const why = parsed.get_object().if_contains("reason");
  const std::string reason =
      why != nullptr && why->is_string() ? std::string(why->get_string()) : "";
  const auto outcome = reload({request.actor, reason});
  if (!outcome) return problem(outcome.error());
  json::array changed;
  for (const Outcome::Changed& one : outcome->changed) {
    json::object object = change_object(one.change);
    object["stays"] = one.stays.empty() ? json::value(nullptr) : json::value(one.stays);
    changed.push_back(std::move(object));
  }
  if (outcome->refused.empty())
    return {200, json::serialize(json::object{{"changed", std::move(changed)}})};
  json::array keys;
  for (const Outcome::Refused& one : outcome->refused) {
    json::object key = change_object(one.change);
    key["problem"] = one.problem;
    keys.push_back(std::move(key));
  }
  return {409,
          json::serialize(json::object{{"title", outcome->text()}, {"keys", std::move(keys)}})};
}

}  // namespace lockstep
