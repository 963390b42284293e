#include "config/manifest.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <fstream>
#include <utility>

#include "config/connector_settings.h"
#include "config/manifest_aggregates.h"
#include "config/manifest_connect.h"
#include "config/manifest_listen.h"
#include "config/manifest_tables.h"
#include "config/name_pattern.h"
#include "config/yaml_tree.h"
#include "pipeline/base/utf8.h"

namespace lockstep {
namespace {

constexpr std::size_t kFileBytesMax = 1U << 20U;

bool consists_of(std::string_view text, std::string_view others) {
  return std::all_of(text.begin(), text.end(), [&](char c) {
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || others.find(c) != others.npos;
  });
}

Where where_at(std::string_view text, std::size_t offset) {
  const auto head = text.substr(0, offset);
  const auto newlines = std::count(head.begin(), head.end(), '\n');
  const auto line_start = head.rfind('\n') == head.npos ? 0 : head.rfind('\n') + 1;
  return {static_cast<int>(newlines) + 1, static_cast<int>(offset - line_start) + 1};
}

// Reads the manifest's own keys; the parts have files of their own.
class ManifestReader {
 public:
  ManifestReader(const std::string& path, Report& report, Secrets secrets)
      : report_(report), secrets_(secrets) {
    manifest_.path = path;
    directory_ = std::filesystem::absolute(path).parent_path();
  }

  Manifest read(const YamlNode& root) && {
    Fields fields(root, "", report_);
    if (fields.require("version", "version: 1") != nullptr) {
      static_cast<void>(fields.number("version", {1, 1, 1}));
    }
    read_migration(fields);
    read_state_dir(fields);
    if (const YamlNode* const source = fields.require("source")) read_source(*source);
    if (const YamlNode* const target = fields.require("target")) read_target(*target);
    if (const YamlNode* const backfill = fields.find("backfill")) read_backfill(*backfill);
    if (const YamlNode* const reconcile = fields.find("reconcile")) read_reconcile(*reconcile);
    if (const YamlNode* const throttle = fields.find("throttle")) read_throttle(*throttle);
    if (const YamlNode* const breakers = fields.find("breakers")) read_breakers(*breakers);
    if (const YamlNode* const listen = fields.find("listen"))
      manifest_.listen = read_listen(*listen, report_);
    if (const YamlNode* const aggregates = fields.find("aggregates"))
      manifest_.aggregates = read_aggregates(*aggregates, aggregates_every_, report_);
    const auto keyless = fields.choice("keyless", {"refuse", "exact"});
    manifest_.keyless = {static_cast<KeylessPolicy>(keyless.value), keyless.where};
    const auto existing = fields.choice("existing", {"refuse", "upsert", "heal"});
    manifest_.existing = {static_cast<ExistingPolicy>(existing.value), existing.where};
    manifest_.debt_attempts = fields.number("debt_attempts", {5, 1, 1000}).value;
    if (const YamlNode* const tables = fields.require("tables", "- source: public.*")) {
      manifest_.tables = tables->where;
      manifest_.rules = read_rules(*tables, report_);
    }
    fields.finish();
    return std::move(manifest_);
  }

 private:
  void read_migration(Fields& fields) {
    auto name = fields.require_text("migration", "a name for this migration");
    if (!name) return;
    constexpr std::size_t kNameMax = 40;
    const bool is_name = !name->value.empty() && name->value.size() <= kNameMax &&
                         name->value[0] >= 'a' && name->value[0] <= 'z' &&
                         consists_of(name->value, "_");
    if (!is_name) {
      report_.error(name->where, fmt::format("migration: '{}' is not a name", name->value),
                    "[a-z][a-z0-9_]{0,39}");
    }
    manifest_.migration = std::move(*name);
  }

  void read_state_dir(Fields& fields) {
    const auto text = fields.require_text("state_dir", "a directory of this migration's own");
    if (!text) return;
    if (text->value.empty()) {
      report_.error(text->where, "state_dir is empty");
      return;
    }
    std::filesystem::path directory = (directory_ / text->value).lexically_normal();
    if (!directory.has_filename()) directory = directory.parent_path();  // "state/shop/"
    manifest_.state_dir = {std::move(directory), text->where};
    const auto socket = control_socket_path(manifest_.migration.value, manifest_.state_dir.value);
    if (socket.string().size() > kSocketPathMax) {
      report_.error(text->where,
                    fmt::format("the control socket's path has {} bytes, more than {}: {}",
                                socket.string().size(), kSocketPathMax, socket.string()),
                    "choose a shorter state_dir, or set RUNTIME_DIRECTORY");
    }
  }

  ManifestContext context() const { return {directory_, report_, secrets_}; }

  Connect read_connect_of(const std::string& path, const YamlNode& node) {
    const std::size_t before = report_.errors();
    Connect connect = read_connect(node, path, context());
    connect.sound = report_.errors() == before;
    return connect;
  }

  // The slot or publication: its own name, or the one made from the migration's.
  At<std::string> object_name(Fields& fields, std::string_view key) {
    const auto text = fields.text(key);
    if (!text) return {"lockstep_" + manifest_.migration.value, fields.where()};
    const bool is_slot = key == "slot";
    const bool is_name = !text->value.empty() && text->value.size() <= kIdentifierMax &&
                         (!is_slot || consists_of(text->value, "_"));
    if (!is_name) {
      report_.error(text->where,
                    fmt::format("{}: '{}' is not a name", fields.name(key), text->value),
                    is_slot ? "1 to 63 of a-z, 0-9 and _" : "1 to 63 bytes");
    }
    return *text;
  }

  void read_source(const YamlNode& node) {
    SourceSection& source = manifest_.source;
    Fields fields(node, "source", report_);
    source.where = node.where;
    if (const YamlNode* const connect = fields.require("connect")) {
      source.connect = read_connect_of("source.connect", *connect);
    }
    const auto stream = fields.choice("stream", {"direct", "debezium"});
    source.stream = {static_cast<StreamKind>(stream.value), stream.where};
    source.slot = object_name(fields, "slot");
    source.publication = object_name(fields, "publication");
    if (const YamlNode* const limit = fields.find("wal_limit")) read_wal_limit(*limit);
    const YamlNode* const debezium = fields.find("debezium");
    const bool wanted = source.stream.value == StreamKind::Debezium;
    if (wanted && debezium == nullptr) {
      report_.error(stream.where, "source.debezium is missing", "stream: debezium needs it");
    } else if (!wanted && debezium != nullptr) {
      report_.error(debezium->where, "source.debezium is for stream: debezium only",
                    "write stream: debezium, or leave the section out");
    }
    if (debezium != nullptr) read_debezium(*debezium);
    fields.finish();
  }

  void read_wal_limit(const YamlNode& node) {
    constexpr NumberLimits kMegabytes{0, 0, 1'000'000'000};
    Fields fields(node, "source.wal_limit", report_);
    WalLimit& limit = manifest_.source.wal_limit;
    limit.mb = fields.number("mb", kMegabytes).value;
    limit.then = static_cast<WalAction>(fields.choice("then", {"warn", "stop", "drop_slot"}).value);
    fields.finish();
    if (manifest_.source.stream.value != StreamKind::Direct)
      report_.error(node.where, "source.wal_limit is for stream: direct only",
                    "set max_slot_wal_keep_size on the source, or watch the connector's slot");
  }

  void read_debezium(const YamlNode& node) {
    DebeziumSection& debezium = manifest_.source.debezium.emplace();
    Fields fields(node, "source.debezium", report_);
    debezium.where = node.where;
    if (auto prefix = fields.require_text("topic_prefix", "the connector's topic.prefix")) {
      if (prefix->value.empty() || prefix->value.size() > 200 || !is_topic_name(prefix->value)) {
        report_.error(
            prefix->where,
            fmt::format("source.debezium.topic_prefix: '{}' is no topic's name", prefix->value),
            "letters, digits, '.', '_' and '-'");
      }
      debezium.topic_prefix = std::move(*prefix);
    }
    const auto format = fields.choice("format", {"json", "avro"});
    if (format.value != 0) {
      report_.error(format.where, "source.debezium.format: avro is not in this version",
                    "use Connect's JsonConverter and format: json");
    }
    if (const YamlNode* const kafka = fields.require("kafka", "{bootstrap.servers: \"...\"}")) {
      const std::size_t before = report_.errors();
      debezium.kafka = read_kafka(*kafka, "source.debezium.kafka", context());
      debezium.kafka_sound = report_.errors() == before;
    }
    if (const YamlNode* const connect = fields.find("connect")) read_rest(*connect, debezium);
    debezium.reread_snapshot_events =
        fields.choice("snapshot_events", {"halt", "reread"}).value == 1;
    debezium.connect_in_utc = fields.flag("connect_in_utc", true).value;
    if (const YamlNode* const settings = fields.find("settings")) {
      debezium.settings = read_connector_settings(*settings, "source.debezium.settings", report_);
    }
    fields.finish();
  }

  static bool is_topic_name(std::string_view text) {
    return std::all_of(text.begin(), text.end(), [](char c) {
      return (c >= 'A' && c <= 'Z') || consists_of({&c, 1}, "._-");
    });
  }

  void read_rest(const YamlNode& node, DebeziumSection& debezium) {
    const std::size_t before = report_.errors();
    read_rest_fields(node, debezium);
    if (report_.errors() != before) debezium.connect_url.reset();
  }

  void read_rest_fields(const YamlNode& node, DebeziumSection& debezium) {
    Fields fields(node, "source.debezium.connect", report_);
    debezium.connect_url = fields.require_text("url", "http://host:8083");
    if (auto connector = fields.require_text("connector", "its name in Kafka Connect")) {
      debezium.connector = std::move(*connector);
    }
    debezium.restart_failed = fields.flag("restart_failed", false).value;
    fields.finish();
    if (!debezium.connect_url) return;
    const auto& [url, where] = *debezium.connect_url;
    constexpr std::string_view kScheme = "http://";
    if (!url.starts_with(kScheme) || url.size() == kScheme.size()) {
      report_.error(where, fmt::format("source.debezium.connect.url: '{}' is not usable", url),
                    "http://host:8083");
      return;
    }
    std::string_view host = std::string_view(url).substr(kScheme.size());
    host = host.substr(0, host.find('/'));
    if (host.find('@') != host.npos) {
      report_.error(where, "source.debezium.connect.url must hold no user or password");
      return;
    }
    host = host.starts_with("[::1]") ? "::1" : host.substr(0, host.find(':'));
    if (!is_local_host(host)) {
      report_.warn(where, "source.debezium.connect.url sends plain text to another machine",
                   "the connector's settings, its password too, travel this way");
    }
  }

  void read_target(const YamlNode& node) {
    TargetSection& target = manifest_.target;
    Fields fields(node, "target", report_);
    target.where = node.where;
    if (const YamlNode* const connect = fields.require("connect")) {
      target.connect = read_connect_of("target.connect", *connect);
    }
    target.lanes = fields.number("lanes", {4, 1, 64});
    target.schema = {"lockstep", node.where};
    if (auto schema = fields.text("schema")) {
      if (schema->value.empty() || schema->value.size() > kIdentifierMax ||
          schema->value.starts_with("pg_")) {
        report_.error(schema->where,
                      fmt::format("target.schema: '{}' cannot be a schema", schema->value),
                      "1 to 63 bytes, not beginning with pg_");
      }
      target.schema = std::move(*schema);
    }
    fields.finish();
  }

  void read_backfill(const YamlNode& node) {
    BackfillSection& backfill = manifest_.backfill;
    Fields fields(node, "backfill", report_);
    backfill.workers = fields.number("workers", {2, 1, 64}).value;
    backfill.chunk_rows = fields.number("chunk_rows", {50'000, 100, 10'000'000}).value;
    backfill.rate_limit_rows_per_second =
        fields.number("rate_limit_rows_per_second", kLimits).value;
    backfill.rate_limit_bytes_per_second =
        fields.number("rate_limit_bytes_per_second", kLimits).value;
    const auto snapshot = fields.choice("snapshot", {"merge", "exported"});
    backfill.snapshot = {static_cast<SnapshotMode>(snapshot.value), snapshot.where};
    if (backfill.snapshot.value == SnapshotMode::Exported &&
        manifest_.source.stream.value != StreamKind::Direct)
      report_.error(snapshot.where, "backfill.snapshot: exported is for stream: direct only",
                    "a connector makes its slot itself; leave it out");
    if (const YamlNode* const order = fields.find("order")) {
      if (order->kind != YamlKind::List) {
        report_.error(order->where, "backfill.order must be a list of tables",
                      "order: [public.orders]");
      }
      for (const YamlNode& item : order->items) {
        if (auto pattern = read_pattern(item, "backfill.order", report_)) {
          backfill.order.push_back(std::move(*pattern));
        }
      }
    }
    fields.finish();
  }

  void read_reconcile(const YamlNode& node) {
    ReconcileSection& reconcile = manifest_.reconcile;
    Fields fields(node, "reconcile", report_);
    const auto mode = fields.choice("mode", {"continuous", "once", "off"});
    reconcile.mode = {static_cast<ReconcileMode>(mode.value), mode.where};
    reconcile.rows_per_second = fields.number("rows_per_second", kLimits).value;
    reconcile.bytes_per_second = fields.number("bytes_per_second", kLimits).value;
    reconcile.every = fields.duration("every", reconcile.every).value;
    if (fields.find("every") != nullptr) aggregates_every_ = reconcile.every;
    const auto repair = fields.choice("repair", {"off", "confirm", "auto"});
    reconcile.repair = {static_cast<RepairPolicy>(repair.value), repair.where};
    reconcile.repairs_per_minute =
        fields.number("repairs_per_minute", {6000, 0, 1'000'000'000}).value;
    reconcile.range_rows = fields.number("range_rows", {100'000, 100, 1'000'000}).value;
    reconcile.digests = fields.choice("digests", {"auto", "off"}).value == 0;
    reconcile.sample = fields.number("sample", {10, 0, 1000}).value;
    fields.finish();
  }

  void read_breakers(const YamlNode& node) {
    Fields fields(node, "breakers", report_);
    manifest_.breakers.quarantined_rows = fields.number("quarantined_rows", kLimits).value;
    manifest_.breakers.unequal_rows = fields.number("unequal_rows", kLimits).value;
    manifest_.breakers.refused_tries = fields.number("refused_tries", kLimits).value;
    fields.finish();
  }

  void read_throttle(const YamlNode& node) {
    ThrottleSection& throttle = manifest_.throttle;
    Fields fields(node, "throttle", report_);
    throttle.lag_seconds =
        fields.number("lag_seconds", {throttle.lag_seconds, 0, kLimits.most}).value;
    throttle.replica_lag_seconds = fields.number("replica_lag_seconds", kLimits).value;
    throttle.active_sessions = fields.number("active_sessions", kLimits).value;
    throttle.transaction_ms = fields.number("transaction_ms", kLimits).value;
    throttle.retained_wal_mb = fields.number("retained_wal_mb", kLimits).value;
    if (const YamlNode* const query = fields.find("query")) {
      Fields of_query(*query, "throttle.query", report_);
      ThrottleQuery& asked = throttle.query.emplace();
      asked.on_source = of_query.choice("side", {"target", "source"}).value == 1;
      if (auto sql = of_query.require_text("sql", "a SELECT of one number"))
        asked.sql = std::move(sql->value);
      asked.at_most = of_query.number("at_most", {1, 1, kLimits.most}).value;
      of_query.finish();
    }
    fields.finish();
  }

  static constexpr NumberLimits kLimits{0, 0, 1'000'000'000};

  Report& report_;
  const Secrets secrets_;
  std::filesystem::path directory_;
  Manifest manifest_;
  std::chrono::seconds aggregates_every_{3600};
};

// Returns the file's text, or nothing after reporting why.
std::optional<std::string> read_file(const std::string& path, Report& report) {
  std::error_code code;
  if (std::filesystem::is_directory(path, code)) {
    report.error({}, "is a directory, not a manifest");
    return std::nullopt;
  }
  std::ifstream file(path, std::ios::binary);
  if (!file) {
    report.error({}, "cannot be read", "check the path and its permissions");
    return std::nullopt;
  }
  std::string text;
  std::array<char, 4096> piece;
  do {
    file.read(piece.data(), piece.size());
    text.append(piece.data(), static_cast<std::size_t>(file.gcount()));
  } while (file && text.size() <= kFileBytesMax);
  if (text.size() > kFileBytesMax) {
    report.error({}, "is larger than 1 MiB", "a manifest is a small YAML file");
    return std::nullopt;
  }
  const std::size_t broken = std::min(invalid_utf8(text), text.find('\0'));
  if (broken != std::string::npos) {
    report.error(where_at(text, broken), "not UTF-8 text", "save the file as UTF-8");
    return std::nullopt;
  }
  return text;
}

std::optional<Manifest> parse(const std::string& path, const std::string& text, Report& report,
                              Secrets secrets) {
  std::vector<YamlError> errors;
  const YamlNode root = parse_yaml(text, errors);
  for (YamlError& error : errors) {
    report.error(error.where, std::move(error.text), std::move(error.hint));
  }
  if (!errors.empty()) return std::nullopt;
  if (root.kind == YamlKind::Null) {
    report.error({1, 1}, "the manifest is empty", "config/example.yaml shows one");
    return std::nullopt;
  }
  return ManifestReader(path, report, secrets).read(root);
}

Parsed parsed(std::optional<Manifest> manifest, Report report) {
  Parsed parsed{std::nullopt, std::nullopt, std::move(report).take()};
  sort_problems(parsed.problems);
  (has_errors(parsed.problems) ? parsed.draft : parsed.manifest) = std::move(manifest);
  return parsed;
}

}  // namespace

std::filesystem::path control_socket_path(const std::string& migration,
                                          const std::filesystem::path& state_dir) {
  const char* const runtime = environment("RUNTIME_DIRECTORY");
  if (runtime == nullptr || *runtime == '\0') return state_dir / "control.sock";
  // systemd separates several directories by colons; the first is ours.
  const std::string_view directories(runtime);
  return std::filesystem::path(directories.substr(0, directories.find(':'))) /
         (migration + ".sock");
}

Parsed load_manifest(const std::string& path, Secrets secrets) {
  Report report(path);
  const auto text = read_file(path, report);
  auto manifest = text ? parse(path, *text, report, secrets) : std::nullopt;
  return parsed(std::move(manifest), std::move(report));
}

Parsed parse_manifest(const std::string& path, const std::string& text) {
  Report report(path);
  auto manifest = parse(path, text, report, Secrets::Needed);
  return parsed(std::move(manifest), std::move(report));
}

std::vector<Problem> check_supported(const Manifest& manifest) {
  std::vector<Problem> problems;
  if (manifest.keyless.value == KeylessPolicy::Exact) {
    problems.push_back(manifest.problem(manifest.keyless.where, Severity::Error,
                                        "keyless: exact comes with a later version of lockstep",
                                        "keyless: refuse, and skip the tables without a key"));
  }
  return problems;
}

}  // namespace lockstep
