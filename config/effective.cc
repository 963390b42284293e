#include "config/effective.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <boost/json.hpp>
#include <map>
#include <optional>
#include <set>
#include <utility>

#include "config/manifest_connect.h"
#include "pipeline/run/control.h"

namespace lockstep {
namespace {

namespace json = boost::json;

constexpr const char* kHidden = "***";

json::value setting_value(const Setting& setting) {
  switch (setting.reference) {
    case ReferenceKind::File:
      return json::object{{"file", setting.referred}};
    case ReferenceKind::Credential:
      return json::object{{"credential", setting.referred}};
    case ReferenceKind::Env:
      return json::object{{"env", setting.referred}};
    case ReferenceKind::Literal:
      break;
  }
  return is_sensitive(setting.name) ? kHidden : json::value(setting.value.reveal());
}

json::object settings_object(const std::vector<Setting>& settings) {
  json::object object;
  for (const Setting& setting : settings) object[setting.name] = setting_value(setting);
  return object;
}

template <typename Words, typename Enum>
std::string_view word(const Words& words, Enum value) {
  return words.at(static_cast<std::size_t>(value));
}

constexpr std::array<std::string_view, 2> kStreams{"direct", "debezium"};
constexpr std::array<std::string_view, 3> kWalActions{"warn", "stop", "drop_slot"};
constexpr std::array<std::string_view, 2> kSnapshots{"merge", "exported"};
constexpr std::array<std::string_view, 3> kModes{"continuous", "once", "off"};
constexpr std::array<std::string_view, 3> kRepairs{"off", "confirm", "auto"};
constexpr std::array<std::string_view, 3> kLaneModes{"auto", "one", "all"};
constexpr std::array<std::string_view, 3> kPartitions{"heal", "stop", "keep"};
constexpr std::array<std::string_view, 2> kKeyless{"refuse", "exact"};
constexpr std::array<std::string_view, 3> kExisting{"refuse", "upsert", "heal"};

std::string seconds_text(std::chrono::seconds seconds) {
  return fmt::format("{}s", seconds.count());
}

std::string pattern_text(const NamePattern& pattern) {
  if (!pattern.is_glob()) return exact_pattern(pattern.exact());
  const auto part = [](const NamePart& one) {
    const bool plain = one.glob || one.text.find_first_of("*?. \"'") == one.text.npos;
    return plain ? one.text : quote_identifier(one.text);
  };
  return part(pattern.schema) + "." + part(pattern.table);
}

json::object debezium_object(const DebeziumSection& debezium) {
  json::object object{{"topic_prefix", debezium.topic_prefix.value},
                      {"format", "json"},
                      {"kafka", settings_object(debezium.kafka)},
                      {"snapshot_events", debezium.reread_snapshot_events ? "reread" : "halt"},
                      {"connect_in_utc", debezium.connect_in_utc}};
  if (debezium.connect_url)
    object["connect"] = json::object{{"url", debezium.connect_url->value},
                                     {"connector", debezium.connector.value},
                                     {"restart_failed", debezium.restart_failed}};
  json::object settings;
  for (const auto& [name, value] : debezium.settings)
    settings[name] = is_sensitive(name) ? kHidden : value.value;
  if (!settings.empty()) object["settings"] = std::move(settings);
  return object;
}

json::object source_object(const SourceSection& source) {
  json::object object{{"connect", settings_object(source.connect.keywords)},
                      {"stream", word(kStreams, source.stream.value)},
                      {"slot", source.slot.value},
                      {"publication", source.publication.value}};
  if (source.debezium)
    object["debezium"] = debezium_object(*source.debezium);
  else
    object["wal_limit"] = json::object{{"mb", source.wal_limit.mb},
                                       {"then", word(kWalActions, source.wal_limit.then)}};
  return object;
}

json::object throttle_object(const ThrottleSection& throttle) {
  json::object object{{"lag_seconds", throttle.lag_seconds},
                      {"replica_lag_seconds", throttle.replica_lag_seconds},
                      {"active_sessions", throttle.active_sessions},
                      {"transaction_ms", throttle.transaction_ms},
                      {"retained_wal_mb", throttle.retained_wal_mb}};
  if (throttle.query)
    object["query"] = json::object{{"side", throttle.query->on_source ? "source" : "target"},
                                   {"sql", throttle.query->sql},
                                   {"at_most", throttle.query->at_most}};
  return object;
}

json::object columns_object(const TableRule& rule) {
  json::object columns;
  const auto put = [&](const char* key, json::object map) {
    if (!map.empty()) columns[key] = std::move(map);
  };
  json::object rename;
  for (const auto& [from, to] : rule.rename) rename[from] = to;
  put("rename", std::move(rename));
  if (!rule.drop.empty()) columns["drop"] = json::array(rule.drop.begin(), rule.drop.end());
  json::object set;
  for (const auto& [column, constant] : rule.set)
    set[column] = constant ? json::value(*constant) : json::value(nullptr);
  put("set", std::move(set));
  json::object bounds;
  for (const std::string& column : rule.reread_arrays) bounds[column] = "reread";
  put("array_bounds", std::move(bounds));
  json::object compare;
  for (const std::string& column : rule.compare_value) compare[column] = "value";
  put("compare", std::move(compare));
  return columns;
}

json::object rule_object(const ManifestRule& rule) {
  json::object object{{"source", pattern_text(rule.source.value)}};
  if (rule.skip) object["skip"] = true;
  if (rule.target) object["target"] = pattern_text(rule.target->value);
  if (json::object columns = columns_object(rule.table); !columns.empty())
    object["columns"] = std::move(columns);
  if (rule.table.lanes != LaneMode::Auto) object["lanes"] = word(kLaneModes, rule.table.lanes);
  if (rule.table.partitions != PartitionPolicy::Heal)
    object["partitions"] = word(kPartitions, rule.table.partitions);
  return object;
}

// What an item of a list is known by: its name, or its source; a second one of the same gets "#2".
std::vector<std::string> labels_of(const json::array& list) {
  std::vector<std::string> labels;
  std::map<std::string, int> seen;
  for (const json::value& item : list) {
    const json::object& object = item.as_object();
    const json::value* name = object.if_contains("name");
    if (name == nullptr) name = object.if_contains("source");
    std::string label = name == nullptr ? "" : std::string(name->as_string());
    if (const int before = seen[label]++; before > 0) label += fmt::format("#{}", before + 1);
    labels.push_back(std::move(label));
  }
  return labels;
}

void flatten(const json::value& value, const std::string& path,
             std::map<std::string, std::string>& flat) {
  if (const json::object* const object = value.if_object()) {
    for (const auto& [key, child] : *object)
      flatten(child, path.empty() ? std::string(key) : path + "." + std::string(key), flat);
    return;
  }
  const json::array* const list = value.if_array();
  if (list == nullptr || list->empty() || !list->front().is_object()) {
    flat[path] = json::serialize(value);
    return;
  }
  const std::vector<std::string> labels = labels_of(*list);
  for (std::size_t i = 0; i < labels.size(); ++i)
    flatten(list->at(i), fmt::format("{}[{}]", path, labels[i]), flat);
}

// Of the rules that both have, the first two that stand in another order: of two that match a table
// the later one wins.
std::optional<ConfigChange> order_change(const json::value& before, const json::value& after) {
  const auto labels = [](const json::value& config) {
    const json::value* const tables = config.as_object().if_contains("tables");
    return tables == nullptr ? std::vector<std::string>() : labels_of(tables->as_array());
  };
  std::vector<std::string> olds = labels(before);
  std::vector<std::string> news = labels(after);
  const std::set<std::string> known(olds.begin(), olds.end());
  const std::set<std::string> wanted(news.begin(), news.end());
  std::erase_if(olds, [&](const std::string& label) { return !wanted.contains(label); });
  std::erase_if(news, [&](const std::string& label) { return !known.contains(label); });
  const auto [was, is] = std::ranges::mismatch(olds, news);
  if (was == olds.end()) return std::nullopt;
  const auto text = [](const std::string& first, const std::string& second) {
    return json::serialize(json::value(first + " before " + second));
  };
  return ConfigChange{"tables.order", text(*was, *is), text(*is, *was), false};
}

std::string yaml_of(const json::value& value, std::size_t indent) {
  const std::string pad(indent, ' ');
  std::string text;
  const json::object* const object = value.if_object();
  const json::array* const list = value.if_array();
  const auto child = [&](const json::value& one) {
    const bool block = (one.is_object() && !one.get_object().empty()) ||
                       (one.is_array() && !one.get_array().empty());
    return block ? "\n" + yaml_of(one, indent + 2) : " " + json::serialize(one) + "\n";
  };
  if (object != nullptr)
    for (const auto& [key, one] : *object)
      text += fmt::format("{}{}:{}", pad, std::string(key), child(one));
  if (list != nullptr)
    for (const json::value& one : *list) {
      // The first key of an item stands behind its dash.
      std::string item = one.is_object() ? yaml_of(one, indent + 2) : json::serialize(one) + "\n";
      if (one.is_object()) item.erase(0, indent + 2);
      text += pad + "- " + item;
    }
  return text;
}

}  // namespace

json::object effective_config(const Manifest& manifest) {
  json::object config{{"version", 1},
                      {"migration", manifest.migration.value},
                      {"state_dir", manifest.state_dir.value.string()}};
  config["source"] = source_object(manifest.source);
  config["target"] = json::object{{"connect", settings_object(manifest.target.connect.keywords)},
                                  {"lanes", manifest.target.lanes.value},
                                  {"schema", manifest.target.schema.value}};
  const BackfillSection& backfill = manifest.backfill;
  json::array order;
  for (const auto& pattern : backfill.order) order.emplace_back(pattern_text(pattern.value));
  config["backfill"] =
      json::object{{"workers", backfill.workers},
                   {"chunk_rows", backfill.chunk_rows},
                   {"rate_limit_rows_per_second", backfill.rate_limit_rows_per_second},
                   {"rate_limit_bytes_per_second", backfill.rate_limit_bytes_per_second},
                   {"order", std::move(order)},
                   {"snapshot", word(kSnapshots, backfill.snapshot.value)}};
  const ReconcileSection& reconcile = manifest.reconcile;
  config["reconcile"] = json::object{{"mode", word(kModes, reconcile.mode.value)},
                                     {"rows_per_second", reconcile.rows_per_second},
                                     {"bytes_per_second", reconcile.bytes_per_second},
                                     {"every", seconds_text(reconcile.every)},
                                     {"repair", word(kRepairs, reconcile.repair.value)},
                                     {"repairs_per_minute", reconcile.repairs_per_minute},
                                     {"range_rows", reconcile.range_rows},
                                     {"sample", reconcile.sample},
                                     {"digests", reconcile.digests ? "auto" : "off"}};
  config["throttle"] = throttle_object(manifest.throttle);
  config["breakers"] = json::object{{"quarantined_rows", manifest.breakers.quarantined_rows},
                                    {"unequal_rows", manifest.breakers.unequal_rows},
                                    {"refused_tries", manifest.breakers.refused_tries}};
  config["listen"] = json::object{
      {"address", manifest.listen.address},
      {"port", manifest.listen.port},
      {"hosts", json::array(manifest.listen.hosts.begin(), manifest.listen.hosts.end())},
      {"page", manifest.listen.page}};
  json::array aggregates;
  for (const ManifestAggregate& one : manifest.aggregates)
    aggregates.push_back({{"name", one.name.value},
                          {"source", one.source.value},
                          {"target", one.target.value},
                          {"tolerance", one.tolerance.empty() ? "0" : one.tolerance},
                          {"every", seconds_text(one.every)}});
  config["aggregates"] = std::move(aggregates);
  config["keyless"] = word(kKeyless, manifest.keyless.value);
  config["existing"] = word(kExisting, manifest.existing.value);
  config["debt_attempts"] = manifest.debt_attempts;
  json::array tables;
  for (const ManifestRule& rule : manifest.rules) tables.push_back(rule_object(rule));
  config["tables"] = std::move(tables);
  return config;
}

std::string config_yaml(const json::object& config) { return yaml_of(config, 0); }

// The run asks for them each time.
bool is_hot(std::string_view key) { return parse_limit(key).has_value(); }

std::vector<ConfigChange> config_changes(const json::value& before, const json::value& after) {
  std::map<std::string, std::string> of_before;
  std::map<std::string, std::string> of_after;
  flatten(before, "", of_before);
  flatten(after, "", of_after);
  std::map<std::string, ConfigChange> changes;
  for (const auto& [key, value] : of_before) changes[key] = {key, value, "", is_hot(key)};
  for (const auto& [key, value] : of_after) {
    ConfigChange& change = changes[key];
    change.key = key;
    change.after = value;
    change.hot = is_hot(key);
  }
  std::vector<ConfigChange> list;
  for (auto& [key, change] : changes)
    if (change.before != change.after) list.push_back(std::move(change));
  if (auto order = order_change(before, after)) list.push_back(*std::move(order));
  return list;
}

std::map<std::string, Secret> literal_secrets(const Manifest& manifest) {
  std::map<std::string, Secret> secrets;
  const auto add = [&](const std::string& path, const std::vector<Setting>& settings) {
    for (const Setting& one : settings)
      if (one.reference == ReferenceKind::Literal && is_sensitive(one.name))
        secrets.insert_or_assign(path + "." + one.name, one.value);
  };
  add("source.connect", manifest.source.connect.keywords);
  add("target.connect", manifest.target.connect.keywords);
  if (!manifest.source.debezium) return secrets;
  add("source.debezium.kafka", manifest.source.debezium->kafka);
  for (const auto& [name, value] : manifest.source.debezium->settings)
    if (is_sensitive(name))
      secrets.insert_or_assign("source.debezium.settings." + name, Secret(value.value));
  return secrets;
}

std::vector<ConfigChange> secret_changes(const std::map<std::string, Secret>& before,
                                         const std::map<std::string, Secret>& after) {
  std::vector<ConfigChange> changes;
  for (const auto& [key, secret] : before) {
    const auto other = after.find(key);
    if (other != after.end() && other->second.reveal() != secret.reveal())
      changes.push_back({key, kHidden, kHidden, false});
  }
  return changes;
}

}  // namespace lockstep
