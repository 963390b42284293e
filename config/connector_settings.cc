#include "config/connector_settings.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "config/connector_keys.h"

namespace lockstep {
namespace {

constexpr std::string_view kDriverOptions = "driver.options";
constexpr std::string_view kJsonConverter = "org.apache.kafka.connect.json.JsonConverter";

// A setting whose value matters to lockstep.
struct Rule {
  std::string_view name;
  std::string_view by_default;  // The connector's own; "" where there is none or the worker's.
  std::string_view accepted;    // Separated by blanks.
  std::string_view reason;      // Why nothing else is accepted.
};

constexpr std::array<Rule, 31> kRules = {{
    {"plugin.name", "decoderbufs", "pgoutput", "it is the only plugin that every server has"},
    {"snapshot.mode", "initial", "no_data never",
     "lockstep copies the tables itself, snapshot events would halt it"},
    {"publication.autocreate.mode", "all_tables", "disabled",
     "the publication must cover the tables fully before the slot is made"},
    {"slot.drop.on.stop", "false", "false", "changes would be lost"},
    {"skipped.operations", "t", "none", "TRUNCATE and every other change must be seen"},
    {"decimal.handling.mode", "precise", "string",
     "the other modes lose NaN, infinity, trailing zeros or digits"},
    {"interval.handling.mode", "numeric", "string numeric", ""},
    {"time.precision.mode", "adaptive", "adaptive_time_microseconds adaptive microseconds",
     "the other modes lose microseconds, infinities or 24:00"},
    {"binary.handling.mode", "bytes", "bytes", "the others turn unchanged values into NULL"},
    {"hstore.handling.mode", "json", "json map", ""},
    {"include.unknown.datatypes", "false", "true false", ""},
    {"event.converting.failure.handling.mode", "warn", "fail warn skip", ""},
    {"lsn.flush.mode", "connector", "connector", "the slot may only move past what is in Kafka"},
    {"flush.lsn.source", "true", "true", "the slot would never move"},
    {"provide.transaction.metadata", "false", "true",
     "the transaction topic tells how far the connector has come"},
    {"tombstones.on.delete", "true", "true",
     "compaction would keep deleted rows, and key changes would not be told from deletes"},
    {"key.converter", "", kJsonConverter, "other converters are not in this version"},
    {"value.converter", "", kJsonConverter, "other converters are not in this version"},
    {"key.converter.schemas.enable", "true", "true false", ""},
    {"value.converter.schemas.enable", "true", "true false", ""},
    {"key.converter.replace.null.with.default", "true", "false",
     "NULL would arrive as the column's default"},
    {"value.converter.replace.null.with.default", "true", "false",
     "NULL would arrive as the column's default"},
    {"money.fraction.digits", "2", "2", "lockstep reads money with two digits"},
    {"schema.name.adjustment.mode", "none", "none", "names must arrive unchanged"},
    {"field.name.adjustment.mode", "none", "none", "names must arrive unchanged"},
    {"topic.delimiter", ".", ".", "topics are found as <prefix>.<schema>.<table>"},
    {"topic.naming.strategy", "io.debezium.schema.SchemaTopicNamingStrategy",
     "io.debezium.schema.SchemaTopicNamingStrategy",
     "topics are found as <prefix>.<schema>.<table>"},
    {"key.converter.decimal.format", "BASE64", "BASE64", "decimals arrive as strings already"},
    {"value.converter.decimal.format", "BASE64", "BASE64", "decimals arrive as strings already"},
    {"connector.class", "", "io.debezium.connector.postgresql.PostgresConnector",
     "lockstep reads the events of this connector"},
    {"tasks.max", "1", "1", "the connector has one task"},
}};

// Defaults of the source's database or role that reach the connector's own sessions.  Those above
// the line change what events hold: 'abcd' arrives as \xcd under bytea_output = escape, -3 days as
// 0 under IntervalStyle = sql_standard, floats lose digits, names of tables and types are others.
// Those below end the connector, or have it wait.  DateStyle, TimeZone and client_encoding are not
// here: the driver sends its own.
constexpr std::array<std::pair<std::string_view, std::string_view>, 11> kPinned = {{
    {"bytea_output", "hex"},
    {"intervalstyle", "postgres"},
    {"extra_float_digits", "3"},
    {"lc_monetary", "C"},
    {"quote_all_identifiers", "off"},
    {"search_path", "pg_catalog"},
    // ----
    {"statement_timeout", "0"},
    {"lock_timeout", "0"},
    {"idle_in_transaction_session_timeout", "0"},
    {"default_transaction_read_only", "off"},
    {"default_transaction_deferrable", "off"},
}};

// Settings that change what events hold; not wanted in any form.
constexpr std::array<std::string_view, 10> kForbidden = {
    "transforms",          "post.processors",          "converters",          "message.key.columns",
    "column.include.list", "column.exclude.list",      "schema.include.list", "schema.exclude.list",
    "table.exclude.list",  "snapshot.mode.custom.name"};
constexpr std::array<std::string_view, 3> kForbiddenPrefixes = {
    "column.mask.", "column.truncate.", "snapshot.select.statement.overrides"};

// Settings that do not change what events hold.
const std::vector<std::string>& harmless_settings() {
  static const std::vector<std::string> names = {"max.batch.size",
                                                 "max.queue.size",
                                                 "max.queue.size.in.bytes",
                                                 "poll.interval.ms",
                                                 "heartbeat.action.query",
                                                 "heartbeat.topics.prefix",
                                                 "status.update.interval.ms",
                                                 "slot.max.retries",
                                                 "slot.retry.delay.ms",
                                                 "retriable.restart.connector.wait.ms",
                                                 "errors.max.retries",
                                                 "xmin.fetch.interval.ms",
                                                 "database.tcpKeepAlive",
                                                 "database.query.timeout.ms",
                                                 "connection.validation.timeout.ms",
                                                 "query.fetch.size",
                                                 "database.hostname",
                                                 "database.port",
                                                 "database.user",
                                                 "database.sslmode",
                                                 "database.sslrootcert",
                                                 "database.sslcert",
                                                 "database.sslkey",
                                                 "slot.failover",
                                                 "signal.data.collection",
                                                 "signal.enabled.channels",
                                                 "custom.metric.tags"};
  return names;
}
constexpr std::array<std::string_view, 3> kHarmlessPrefixes = {"producer.override.",
                                                               "topic.creation.", "driver."};

const Rule* rule_of(std::string_view name) {
  const auto found = std::find_if(kRules.begin(), kRules.end(),
                                  [&](const Rule& rule) { return rule.name == name; });
  return found == kRules.end() ? nullptr : &*found;
}

bool is_word_of(std::string_view words, std::string_view word) {
  while (!words.empty()) {
    const std::string_view first = words.substr(0, words.find(' '));
    if (first == word) return true;
    words.remove_prefix(std::min(words.size(), first.size() + 1));
  }
  return false;
}

template <typename Prefixes>
bool has_prefix(const Prefixes& prefixes, std::string_view name) {
  return std::any_of(prefixes.begin(), prefixes.end(),
                     [&](std::string_view prefix) { return name.starts_with(prefix); });
}

bool is_forbidden(std::string_view name) {
  return std::find(kForbidden.begin(), kForbidden.end(), name) != kForbidden.end() ||
         has_prefix(kForbiddenPrefixes, name);
}

bool is_positive_number(std::string_view text) {
  return !text.empty() && text.size() <= 9 && text[0] != '0' &&
         text.find_first_not_of("0123456789") == std::string_view::npos;
}

std::optional<std::string> refused_placeholder(std::string_view value) {
  constexpr std::string_view kHex = "hex:";
  if (value.empty()) return "it must not be empty";
  if (!value.starts_with(kHex)) return std::nullopt;
  const std::string_view digits = value.substr(kHex.size());
  const bool is_hex = !digits.empty() && digits.size() % 2 == 0 &&
                      digits.find_first_not_of("0123456789abcdefABCDEF") == digits.npos;
  return is_hex ? std::nullopt : std::optional<std::string>("hex: wants pairs of hex digits");
}

// The words of an `options` parameter, as the server splits it: at blanks that no backslash
// escapes.
std::vector<std::string> option_words(std::string_view text) {
  std::vector<std::string> words;
  bool inside = false;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const bool blank = std::string_view(" \t\n\v\f\r").contains(text[i]);
    if (!blank && !inside) words.emplace_back();
    inside = !blank;
    if (text[i] == '\\' && i + 1 < text.size()) ++i;
    if (inside) words.back() += text[i];
  }
  return words;
}

// What `driver.options` gives the server's settings: "-c name=value", "-cname=value" and
// "--name=value"; the last one counts.
std::map<std::string, std::string> settings_of_options(std::string_view text) {
  std::map<std::string, std::string> settings;
  const std::vector<std::string> words = option_words(text);
  for (std::size_t i = 0; i < words.size(); ++i) {
    std::string word = words[i];
    if (word == "-c" && i + 1 < words.size()) {
      word = words[++i];
    } else if (word.starts_with("-c") || word.starts_with("--")) {
      word.erase(0, 2);
    } else {
      continue;
    }
    const std::size_t equals = word.find('=');
    if (equals == std::string::npos) continue;
    std::string name = lower(word.substr(0, equals));
    std::replace(name.begin(), name.end(), '-', '_');
    settings[name] = lower(word.substr(equals + 1));
  }
  return settings;
}

std::optional<std::string> refused_options(const std::string& value) {
  if (value.starts_with("${")) return std::nullopt;  // A config provider hides it.
  const auto given = settings_of_options(value);
  std::string missing;
  for (const auto& [name, wanted] : kPinned) {
    const auto found = given.find(std::string(name));
    if (found != given.end() && found->second == lower(wanted)) continue;
    missing += fmt::format("{}{}={}", missing.empty() ? "" : ", ", name, wanted);
  }
  if (missing.empty()) return std::nullopt;
  return "defaults of the source's database or role would reach the events; it lacks " + missing;
}

}  // namespace

std::string pinned_options() {
  std::string options;
  for (const auto& [name, value] : kPinned)
    options += fmt::format("{}-c {}={}", options.empty() ? "" : " ", name, value);
  return options;
}

std::optional<std::string> refused_setting(const std::string& name, const std::string& value) {
  if (is_forbidden(name) && !value.empty()) {
    return "it changes which events come, or what they hold";
  }
  if (name == "unavailable.value.placeholder") return refused_placeholder(value);
  if (name == kDriverOptions) return refused_options(value);
  if (name == "heartbeat.interval.ms") {
    if (is_positive_number(value)) return std::nullopt;
    return "without heartbeats an idle database cannot be told from a dead connector";
  }
  const Rule* const rule = rule_of(name);
  if (rule == nullptr || is_word_of(rule->accepted, value)) return std::nullopt;
  if (rule->reason.empty()) return fmt::format("it must be one of: {}", rule->accepted);
  return std::string(rule->reason);
}

std::string default_setting(const std::string& name) {
  if (name == "unavailable.value.placeholder") return "__debezium_unavailable_value";
  if (name == "heartbeat.interval.ms") return "0";
  const Rule* const rule = rule_of(name);
  return rule == nullptr ? std::string() : std::string(rule->by_default);
}

const std::vector<std::pair<std::string, std::string>>& wanted_settings() {
  static const std::vector<std::pair<std::string, std::string>> settings = {
      {"plugin.name", "pgoutput"},
      {"snapshot.mode", "no_data"},
      {"publication.autocreate.mode", "disabled"},
      {"publish.via.partition.root", "true"},
      {"slot.drop.on.stop", "false"},
      {"skipped.operations", "none"},
      {"decimal.handling.mode", "string"},
      {"interval.handling.mode", "string"},
      {"time.precision.mode", "adaptive_time_microseconds"},
      {"binary.handling.mode", "bytes"},
      {"hstore.handling.mode", "json"},
      {"include.unknown.datatypes", "true"},
      {"event.converting.failure.handling.mode", "fail"},
      {"lsn.flush.mode", "connector"},
      {"provide.transaction.metadata", "true"},
      {"heartbeat.interval.ms", "5000"},
      {"tombstones.on.delete", "true"},
      {"key.converter", std::string(kJsonConverter)},
      {"key.converter.schemas.enable", "false"},
      {"key.converter.replace.null.with.default", "false"},
      {"value.converter", std::string(kJsonConverter)},
      {"value.converter.schemas.enable", "false"},
      {"value.converter.replace.null.with.default", "false"},
      {std::string(kDriverOptions), pinned_options()},
  };
  return settings;
}

std::map<std::string, At<std::string>> read_connector_settings(const YamlNode& node,
                                                               const std::string& path,
                                                               Report& report) {
  const Fields fields(node, path, report);
  std::vector<std::string> known = harmless_settings();
  known.emplace_back("unavailable.value.placeholder");
  for (const auto& [name, value] : wanted_settings()) known.push_back(name);
  std::map<std::string, At<std::string>> settings;
  for (const YamlEntry& entry : node.entries) {
    const std::string& name = entry.key.text;
    const auto value = scalar_text(entry.value, fields.name(name), report);
    if (!value) continue;
    const bool completed = name == kDriverOptions;  // By what it lacks.
    if (const auto reason = completed ? std::nullopt : refused_setting(name, *value)) {
      report.error(entry.value.where,
                   fmt::format("{} cannot be '{}': {}", fields.name(name), *value, *reason));
    } else if (std::find(known.begin(), known.end(), name) == known.end() &&
               rule_of(name) == nullptr && !has_prefix(kHarmlessPrefixes, name)) {
      const std::string close = nearest(name, known);
      report.error(entry.key.where, fmt::format("unknown setting {}", fields.name(name)),
                   close.empty()
                       ? "only settings that are known to keep events exact may stand here"
                       : fmt::format("did you mean {}?", close));
    } else {
      settings[name] = {*value, entry.value.where};
    }
  }
  return settings;
}

}  // namespace lockstep
