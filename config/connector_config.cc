#include "config/connector_config.h"

#include <fmt/format.h>

#include <algorithm>
#include <boost/json.hpp>
#include <filesystem>
#include <iterator>
#include <map>
#include <optional>
#include <set>
#include <string_view>
#include <utility>

#include "config/connector_keys.h"
#include "pipeline/base/number.h"
#include "pipeline/base/result.h"
#include "pipeline/model/row.h"
#include "pipeline/tables/table_stream.h"

namespace lockstep {
namespace {

constexpr const char* kPlaceholder = "unavailable.value.placeholder";
constexpr const char* kFailureMode = "event.converting.failure.handling.mode";

const DebeziumSection& section(const Manifest& manifest) {
  CHECK(manifest.source.debezium.has_value());
  return *manifest.source.debezium;
}

std::optional<char> hex_byte(std::string_view digits) {
  unsigned byte = 0;
  if (digits.size() != 2 || !parse_number(digits, byte, 16)) return std::nullopt;
  return static_cast<char>(byte);
}

// What one item of an include list matches, if that is one name: what follows a backslash stands
// for itself, or for a byte.
std::optional<std::string> plain_name(std::string_view item) {
  std::string name;
  for (std::size_t i = 0; i < item.size(); ++i) {
    const std::string_view rest = item.substr(i + 1);
    if (std::string_view("*+?[](){}|^$").contains(item[i])) return std::nullopt;
    if (item[i] != '\\') {
      name += item[i];
    } else if (rest.starts_with('x')) {
      const auto byte = hex_byte(rest.substr(1, 2));
      if (!byte) return std::nullopt;
      name += *byte;
      i += 3;
    } else if (rest.empty() || is_word(rest.front())) {
      return std::nullopt;
    } else {
      name += item[++i];
    }
  }
  return name;
}

// The names that an include list lists, in lower case: Debezium does not tell case.  Nothing where
// one is a pattern that only Debezium can judge.
std::optional<std::set<std::string>> listed_names(std::string_view list) {
  constexpr std::string_view kBlanks = " \t\r\n";
  std::set<std::string> names;
  for (std::size_t begin = 0; begin <= list.size();) {
    std::size_t end = begin;
    while (end < list.size() && list[end] != ',') end += list[end] == '\\' ? 2 : 1;
    end = std::min(end, list.size());
    std::string_view item = list.substr(begin, end - begin);
    item.remove_prefix(std::min(item.find_first_not_of(kBlanks), item.size()));
    // A blank at the end that was escaped is trimmed all the same: no pattern is left.
    item = item.substr(0, item.find_last_not_of(kBlanks) + 1);
    const auto name = plain_name(item);
    if (!name) return std::nullopt;
    names.insert(lower(*name));
    begin = end + 1;
  }
  return names;
}

std::string include_list(std::span<const TableSpec> tables) {
  std::string list;
  for (const TableSpec& table : tables)
    list += (list.empty() ? "" : ",") + name_regex(table.name.text());
  return list;
}

// How Connect can get a value that must not be printed.
std::string printed(const Setting& setting, const std::string& path) {
  const bool is_secret = setting.name == "password" || setting.name == "sslpassword";
  switch (setting.reference) {
    case ReferenceKind::File: {
      const std::filesystem::path file(setting.referred);
      return fmt::format("${{directory:{}:{}}}", file.parent_path().string(),
                         file.filename().string());
    }
    case ReferenceKind::Credential:
      return fmt::format("${{directory:/run/credentials:{}}}", setting.referred);
    case ReferenceKind::Env:
      return fmt::format("${{env:{}}}", setting.referred);
    case ReferenceKind::Literal:
      break;
  }
  return is_secret ? fmt::format("${{env:LOCKSTEP_{}}}", path) : setting.value.reveal();
}

using Pairs = std::vector<std::pair<std::string, std::string>>;

void add_database(const Connect& connect, Pairs& config) {
  const auto add = [&](const char* keyword, const char* name) {
    const Setting* const setting = connect.find(keyword);
    if (setting != nullptr) config.emplace_back(name, printed(*setting, "SOURCE_PASSWORD"));
  };
  const Setting* const host =
      connect.find("host") != nullptr ? connect.find("host") : connect.find("hostaddr");
  // JDBC knows no socket directories.
  const bool is_socket = host == nullptr || host->value.reveal().starts_with('/');
  config.emplace_back("database.hostname", is_socket ? "localhost" : printed(*host, "SOURCE_HOST"));
  if (connect.find("port") == nullptr) config.emplace_back("database.port", "5432");
  add("port", "database.port");
  add("dbname", "database.dbname");
  add("user", "database.user");
  add("password", "database.password");
  add("sslmode", "database.sslmode");
  add("sslrootcert", "database.sslrootcert");
  add("sslcert", "database.sslcert");
  add("sslkey", "database.sslkey");
  add("sslpassword", "database.sslpassword");
}

// A table that would stop a connector which fails on values it cannot convert: by ordinary values,
// or by an unchanged TOAST value, which REPLICA IDENTITY FULL resolves.
bool needs_warn(const TableSpec& table) {
  const bool resolved = table.has_whole_images();
  return std::any_of(table.columns.begin(), table.columns.end(), [&](const Column& column) {
    if (column.generated) return false;
    return conversion_fails(column.type) ||
           (!resolved && can_be_toasted(column) && !placeholder_fits(column.type));
  });
}

std::string undo_hex(const std::string& setting) {
  constexpr std::string_view kHex = "hex:";
  if (!setting.starts_with(kHex)) return setting;
  std::string bytes;
  for (std::size_t i = kHex.size(); i + 1 < setting.size(); i += 2) {
    bytes += hex_byte(std::string_view(setting).substr(i, 2)).value_or('\0');
  }
  return bytes;
}

// Compares a running connector with what the manifest needs.
class Comparison {
 public:
  Comparison(const Manifest& manifest, const ConnectorSettings& running)
      : manifest_(manifest), running_(running) {}

  void identity() {
    must_equal("topic.prefix", section(manifest_).topic_prefix.value);
    must_equal("slot.name", manifest_.source.slot.value);
    must_equal("publication.name", manifest_.source.publication.value);
    const Setting* const dbname = manifest_.source.connect.find("dbname");
    if (dbname != nullptr) must_equal("database.dbname", dbname->value.reveal());
  }

  // Settings that are refused by name, whatever the manifest says.
  void refusals() {
    std::map<std::string, std::string> values = running_;
    for (const auto& [name, value] : wanted_settings()) {
      values.emplace(name, default_setting(name));
    }
    values.emplace("connector.class", "");
    values.erase(kKeyColumns);  // keys() judges it.
    for (const auto& [name, value] : values) {
      const auto reason = refused_setting(name, value);
      if (!reason) continue;
      differences_.push_back(fmt::format("{} is {}: {}", name, shown(name), *reason));
      reported_.push_back(name);
    }
  }

  // Settings with several accepted values: the decoder must know which.
  void choices(const ConnectorSettings& expected) {
    for (const char* const name : {"time.precision.mode", "interval.handling.mode",
                                   "include.unknown.datatypes", kFailureMode, kPlaceholder}) {
      const std::string& wanted = expected.at(name);
      const bool is_reported =
          std::find(reported_.begin(), reported_.end(), name) != reported_.end();
      if (is_reported || alike(name, value_of(name), wanted)) continue;
      differences_.push_back(
          fmt::format("{} is {}, the manifest expects '{}': change the connector, or put it under "
                      "source.debezium.settings",
                      name, shown(name), wanted));
    }
  }

  // `more`: keys of other tables may be among them.
  void keys(std::span<const TableSpec> tables, bool more) {
    const std::string wanted = key_columns(tables);
    const std::string value = value_of(kKeyColumns);
    if (more ? has_key_columns(value, wanted) : same_key_columns(value, wanted)) return;
    differences_.push_back(
        fmt::format("{} is '{}', and the keys of the tables need '{}': events would carry the keys "
                    "of other rows",
                    kKeyColumns, value, wanted));
  }

  void coverage(std::span<const TableSpec> tables) {
    const auto list = running_.find("table.include.list");
    if (list == running_.end() || list->second.empty()) return;
    const auto names = listed_names(list->second);
    if (!names) return;
    for (const TableSpec& table : tables) {
      if (!names->contains(lower(table.name.text())))
        differences_.push_back("table.include.list leaves out " + table.name.text());
    }
  }

  // What makes changes of the tables left out, or carry other keys.  `more`: as of keys().
  void tells(std::span<const TableSpec> tables, bool more) {
    identity();
    refusals();
    keys(tables, more);
    coverage(tables);
  }

  std::vector<std::string> take() && { return std::move(differences_); }

 private:
  std::string value_of(const std::string& name) const {
    const auto found = running_.find(name);
    return found == running_.end() ? default_setting(name) : found->second;
  }

  std::string shown(const std::string& name) const {
    const std::string value = value_of(name);
    if (running_.contains(name)) return "'" + value + "'";
    return value.empty() ? "not set on the connector" : fmt::format("'{}' by default", value);
  }

  // skip is warn without the log line; a number of an interval can be told from its text.
  static bool alike(std::string_view name, const std::string& running, const std::string& wanted) {
    if (running == wanted) return true;
    if (name == kFailureMode) return running != "fail" && wanted != "fail";
    if (name == "interval.handling.mode") return running == "string";
    return false;
  }

  void must_equal(const std::string& name, const std::string& wanted) {
    const auto found = running_.find(name);
    const std::string value = found == running_.end() ? "" : found->second;
    // A reference to a config provider hides the value.
    if (value == wanted || value.starts_with("${")) return;
    differences_.push_back(
        fmt::format("{} is '{}', the manifest expects '{}'", name, value, wanted));
  }

  const Manifest& manifest_;
  const ConnectorSettings& running_;
  std::vector<std::string> differences_;
  std::vector<std::string> reported_;
};

// Those that refuse no update of the application once they are published.
std::string table_list(std::span<const TableSpec> tables) {
  std::string names;
  for (const TableSpec& table : tables) {
    if (table.key.empty() || !can_be_published(table)) continue;
    names +=
        (names.empty() ? "" : ", ") + std::string(table.only ? "ONLY " : "") + quoted(table.name);
  }
  return names;
}

}  // namespace

std::vector<std::string> colliding_topics(const std::string& prefix,
                                          std::span<const TableSpec> tables) {
  std::vector<std::string> collisions;
  std::map<std::string, TableName> owners;
  for (const TableSpec& table : tables) {
    const std::string topic = topic_name(prefix, table.name);
    const auto [owner, is_new] = owners.emplace(topic, table.name);
    if (is_new) continue;
    collisions.push_back(fmt::format("{} and {} have one topic, {}", owner->second.text(),
                                     table.name.text(), topic));
  }
  return collisions;
}

std::string placeholder_setting(const Manifest& manifest) {
  const auto& settings = section(manifest).settings;
  if (const auto chosen = settings.find(kPlaceholder); chosen != settings.end()) {
    return chosen->second.value;
  }
  const std::string text =
      fmt::format("{}|{}|{}", manifest.migration.value, manifest.source.slot.value,
                  manifest.source.publication.value);
  return fmt::format("__lockstep_{:016x}", hash128(text, 0).low);
}

ConnectorSettings effective_settings(const Manifest& manifest, std::span<const TableSpec> tables) {
  ConnectorSettings settings(wanted_settings().begin(), wanted_settings().end());
  if (std::any_of(tables.begin(), tables.end(), needs_warn)) settings[kFailureMode] = "warn";
  for (const auto& [name, value] : section(manifest).settings) settings[name] = value.value;
  // Of two values for one setting the last one counts.
  std::string& options = settings["driver.options"];
  if (!options.ends_with(pinned_options())) options += " " + pinned_options();
  settings[kPlaceholder] = placeholder_setting(manifest);
  if (const std::string keys = key_columns(tables); !keys.empty()) settings[kKeyColumns] = keys;
  return settings;
}

std::string connector_config_json(const Manifest& manifest, std::span<const TableSpec> tables) {
  const DebeziumSection& debezium = section(manifest);
  Pairs config = {{"connector.class", "io.debezium.connector.postgresql.PostgresConnector"},
                  {"tasks.max", "1"},
                  {"topic.prefix", debezium.topic_prefix.value},
                  {"slot.name", manifest.source.slot.value},
                  {"publication.name", manifest.source.publication.value}};
  add_database(manifest.source.connect, config);
  config.emplace_back("table.include.list", include_list(tables));
  ConnectorSettings settings = effective_settings(manifest, tables);
  for (const auto& [name, value] : wanted_settings()) {
    config.emplace_back(name, settings.at(name));
    settings.erase(name);
  }
  for (const auto& [name, value] : settings) {
    // What the manifest gives for Connect alone (another host name, say) wins over `connect`.
    const auto same = std::find_if(config.begin(), config.end(),
                                   [&](const auto& pair) { return pair.first == name; });
    if (same != config.end()) {
      same->second = value;
    } else {
      config.emplace_back(name, value);
    }
  }
  const std::string& name =
      debezium.connect_url ? debezium.connector.value : manifest.migration.value;
  std::string json =
      "{\n  \"name\": " + boost::json::serialize(boost::json::string(name)) + ",\n  \"config\": {";
  const char* separator = "\n";
  for (const auto& [key, value] : config) {
    json += fmt::format("{}    {}: {}", separator, boost::json::serialize(boost::json::string(key)),
                        boost::json::serialize(boost::json::string(value)));
    separator = ",\n";
  }
  return json + "\n  }\n}\n";
}

std::vector<std::string> check_connector_config(const Manifest& manifest,
                                                std::span<const TableSpec> tables,
                                                const ConnectorSettings& running) {
  Comparison comparison(manifest, running);
  comparison.tells(tables, false);
  comparison.choices(effective_settings(manifest, tables));
  return std::move(comparison).take();
}

std::vector<std::string> check_connector_tells(const Manifest& manifest,
                                               std::span<const TableSpec> tables,
                                               const ConnectorSettings& running) {
  Comparison comparison(manifest, running);
  comparison.tells(tables, true);
  return std::move(comparison).take();
}

DecodeSettings decode_settings(const Manifest& manifest, std::span<const TableSpec> tables) {
  const ConnectorSettings settings = effective_settings(manifest, tables);
  DecodeSettings decode;
  decode.placeholder = undo_hex(settings.at(kPlaceholder));
  decode.placeholder_is_default = decode.placeholder == default_setting(kPlaceholder);
  const std::string& time = settings.at("time.precision.mode");
  decode.time = time == "adaptive"       ? TimePrecision::Adaptive
                : time == "microseconds" ? TimePrecision::Micros
                                         : TimePrecision::AdaptiveMicros;
  decode.include_unknown = settings.at("include.unknown.datatypes") == "true";
  decode.failure_mode_warn = settings.at(kFailureMode) != "fail";
  decode.snapshot_events_reread = section(manifest).reread_snapshot_events;
  decode.connect_runs_in_utc = section(manifest).connect_in_utc;
  return decode;
}

StreamTraits stream_traits(const Manifest& manifest) {
  if (manifest.source.stream.value == StreamKind::Direct) return {StreamKind::Direct, true, true};
  const ConnectorSettings settings = effective_settings(manifest, {});
  return {StreamKind::Debezium, settings.at("interval.handling.mode") == "string",
          settings.at("include.unknown.datatypes") == "true"};
}

std::string publication_sql(const Manifest& manifest, std::span<const TableSpec> tables) {
  return fmt::format("CREATE PUBLICATION {} FOR TABLE {} WITH (publish_via_partition_root = true)",
                     quote_identifier(manifest.source.publication.value), table_list(tables));
}

std::vector<std::string> extend_publication_sql(const Manifest& manifest,
                                                std::span<const TableSpec> tables,
                                                const std::vector<TableName>& missing) {
  std::vector<TableSpec> added;
  std::ranges::copy_if(tables, std::back_inserter(added), [&](const TableSpec& table) {
    return std::ranges::find(missing, table.name) != missing.end();
  });
  const std::string names = table_list(added);
  // Who writes to them queues behind us: too short to be noticed, or to be a deadlock's victim.
  return {"BEGIN", "SET LOCAL lock_timeout = '100ms'",
          fmt::format("LOCK TABLE {} IN SHARE ROW EXCLUSIVE MODE", names),
          fmt::format("ALTER PUBLICATION {} ADD TABLE {}",
                      quote_identifier(manifest.source.publication.value), names),
          "COMMIT"};
}

}  // namespace lockstep
