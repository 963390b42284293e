// The connector that a manifest needs: as printed, as compared, and as told to the decoder.
#include "config/connector_config.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <boost/json.hpp>
#include <random>

#include "config/connector_keys.h"
#include "pipeline/tables/table_stream.h"

namespace lockstep {
namespace {

using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;

Setting setting(const std::string& name, const std::string& value,
                ReferenceKind reference = ReferenceKind::Literal,
                const std::string& referred = "") {
  return {name, Secret(value), reference, referred, {}};
}

Manifest shop() {
  Manifest m;
  m.migration.value = "shop";
  m.source.stream.value = StreamKind::Debezium;
  m.source.slot.value = "lockstep_shop";
  m.source.publication.value = "lockstep_shop";
  m.source.connect.keywords = {
      setting("host", "db1"), setting("dbname", "shop"), setting("user", "reader"),
      setting("password", "s3cret", ReferenceKind::File, "/etc/lockstep/source")};
  m.source.debezium.emplace();
  m.source.debezium->topic_prefix.value = "shop";
  return m;
}

TableSpec table(const std::string& schema, const std::string& name) {
  TableSpec spec;
  spec.name = {schema, name};
  return spec;
}

Column toastable(TypeKind kind, std::int32_t typmod = -1) {
  Column column;
  column.type.kind = kind;
  column.type.typmod = typmod;
  column.toastable = true;
  return column;
}

ConnectorSettings printed(const Manifest& m, const std::vector<TableSpec>& tables) {
  ConnectorSettings settings;
  const auto document = boost::json::parse(connector_config_json(m, tables));
  for (const auto& pair : document.at("config").as_object()) {
    settings[pair.key()] = boost::json::value_to<std::string>(pair.value());
  }
  return settings;
}

TEST(ConnectorConfig, AsksForTheSettingsOfTheDesign) {
  const auto config = printed(shop(), {table("public", "orders"), table("Weird Schema", "a.b")});
  const ConnectorSettings wanted = {
      {"plugin.name", "pgoutput"},
      {"snapshot.mode", "no_data"},
      {"publication.autocreate.mode", "disabled"},
      {"publish.via.partition.root", "true"},
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
      {"key.converter.schemas.enable", "false"},
      {"value.converter.schemas.enable", "false"},
      {"value.converter.replace.null.with.default", "false"},
      {"topic.prefix", "shop"},
      {"slot.name", "lockstep_shop"},
      {"publication.name", "lockstep_shop"},
      {"database.hostname", "db1"},
      {"database.port", "5432"},
      {"table.include.list", R"(public\.orders,Weird\x20Schema\.a\.b)"}};
  for (const auto& pair : wanted) EXPECT_THAT(config, Contains(pair));
  for (const auto& [name, value] : config) {
    EXPECT_EQ(refused_setting(name, value), std::nullopt) << name;
  }
}

// Issue E, row 20: defaults of the source's database and role reach Debezium's own session.
TEST(ConnectorConfig, PinsWhatValuesDependOnInTheConnectorsSession) {
  const std::string pinned = pinned_options();
  for (const char* const setting :
       {"bytea_output=hex", "intervalstyle=postgres", "extra_float_digits=3", "lc_monetary=C",
        "quote_all_identifiers=off", "search_path=pg_catalog", "lock_timeout=0"}) {
    EXPECT_THAT(pinned, HasSubstr("-c " + std::string(setting)));
  }
  EXPECT_EQ(printed(shop(), {})["driver.options"], pinned);
  Manifest m = shop();
  m.source.debezium->settings["driver.options"] = {"-c bytea_output=escape -c geqo=off", {}};
  EXPECT_EQ(printed(m, {})["driver.options"], "-c bytea_output=escape -c geqo=off " + pinned);
}

TEST(ConnectorConfig, PrintsSecretsAsReferences) {
  Manifest m = shop();
  EXPECT_EQ(printed(m, {})["database.password"], "${directory:/etc/lockstep:source}");
  m.source.connect.keywords[3] = setting("password", "s3cret", ReferenceKind::Env, "PGPW");
  EXPECT_EQ(printed(m, {})["database.password"], "${env:PGPW}");
  m.source.connect.keywords[3] = setting("password", "s3cret");
  EXPECT_THAT(connector_config_json(m, {}), Not(HasSubstr("s3cret")));
}

TEST(ConnectorConfig, PlaceholderIsStableAndOfThisMigration) {
  Manifest m = shop();
  const std::string placeholder = placeholder_setting(m);
  EXPECT_THAT(placeholder, testing::MatchesRegex("__lockstep_[0-9a-f]{16}"));
  EXPECT_EQ(placeholder_setting(shop()), placeholder);
  m.source.slot.value = "other";
  EXPECT_NE(placeholder_setting(m), placeholder);
  m.source.debezium->settings["unavailable.value.placeholder"] = {"hex:2d2d", {}};
  EXPECT_EQ(decode_settings(m, {}).placeholder, "--");
  EXPECT_FALSE(decode_settings(m, {}).placeholder_is_default);
}

// Under `fail` an unchanged value whose placeholder does not fit the schema stops the connector.
TEST(ConnectorConfig, WarnsInsteadOfFailingWhereAPlaceholderDoesNotFit) {
  TableSpec t = table("public", "t");
  t.columns = {toastable(TypeKind::Text), toastable(TypeKind::Numeric, ((10 << 16) | 2) + 4)};
  EXPECT_FALSE(decode_settings(shop(), std::vector{t}).failure_mode_warn);
  t.columns.push_back(toastable(TypeKind::Numeric));
  EXPECT_TRUE(decode_settings(shop(), std::vector{t}).failure_mode_warn);
  EXPECT_EQ(printed(shop(), {t})["event.converting.failure.handling.mode"], "warn");
  t.replica_identity = ReplicaIdentity::Full;
  EXPECT_FALSE(decode_settings(shop(), std::vector{t}).failure_mode_warn);
}

// varbit(1) as a boolean has no empty string, and bit[] has no conversion at all: both stopped a
// connector under `fail`, whatever the identity.
TEST(ConnectorConfig, WarnsInsteadOfFailingWhereAConversionFails) {
  Column bits = toastable(TypeKind::Array);
  bits.type.inner = {toastable(TypeKind::Bit, 3).type};
  for (const Column& column : {bits, toastable(TypeKind::VarBit, 1)}) {
    TableSpec t = table("public", "t");
    t.replica_identity = ReplicaIdentity::Full;
    t.columns = {column};
    EXPECT_TRUE(decode_settings(shop(), std::vector{t}).failure_mode_warn);
  }
}

TEST(ConnectorConfig, OverridesReachDecoderAndPlans) {
  Manifest m = shop();
  m.source.debezium->settings = {{"time.precision.mode", {"adaptive", {}}},
                                 {"interval.handling.mode", {"numeric", {}}},
                                 {"include.unknown.datatypes", {"false", {}}}};
  EXPECT_EQ(decode_settings(m, {}).time, TimePrecision::Adaptive);
  EXPECT_FALSE(decode_settings(m, {}).include_unknown);
  EXPECT_FALSE(stream_traits(m).exact_intervals);
  EXPECT_FALSE(stream_traits(m).unknown_types);
}

std::vector<std::string> differences(const ConnectorSettings& changes) {
  ConnectorSettings running = printed(shop(), {table("public", "orders")});
  for (const auto& [name, value] : changes) running[name] = value;
  return check_connector_config(shop(), std::vector{table("public", "orders")}, running);
}

TEST(ConnectorCheck, AcceptsWhatItPrints) { EXPECT_THAT(differences({}), IsEmpty()); }

TEST(ConnectorCheck, NamesEverySettingThatLosesData) {
  const std::vector<std::pair<std::string, std::string>> bad = {
      {"time.precision.mode", "connect"},
      {"time.precision.mode", "nanoseconds"},
      {"time.precision.mode", "isostring"},
      {"time.precision.mode", "structured"},
      {"binary.handling.mode", "base64"},
      {"binary.handling.mode", "base64-url-safe"},
      {"binary.handling.mode", "hex"},
      {"decimal.handling.mode", "double"},
      {"decimal.handling.mode", "precise"},
      {"snapshot.mode", "always"},
      {"snapshot.mode", "initial"},
      {"snapshot.mode", "initial_only"},
      {"snapshot.mode", "when_needed"},
      {"snapshot.mode", "configuration_based"},
      {"snapshot.mode", "custom"},
      {"skipped.operations", "t"},
      {"lsn.flush.mode", "manual"},
      {"tombstones.on.delete", "false"},
      {"key.converter.replace.null.with.default", "true"},
      {"value.converter.replace.null.with.default", "true"},
      {"transforms", "unwrap"},
      {"column.exclude.list", "public.t.c"},
      {"heartbeat.interval.ms", "0"}};
  for (const auto& change : bad) {
    EXPECT_THAT(differences({{change.first, change.second}}), ElementsAre(HasSubstr(change.first)))
        << change.second;
  }
}

// Issue E, row 20.
TEST(ConnectorCheck, DemandsTheOptionsThatPin) {
  EXPECT_THAT(differences({{"driver.options", ""}}), ElementsAre(HasSubstr("bytea_output=hex")));
  EXPECT_THAT(differences({{"driver.options", pinned_options() + " -c bytea_output=escape"}}),
              ElementsAre(testing::EndsWith("it lacks bytea_output=hex")));
  std::string spelled = pinned_options();
  spelled.replace(spelled.find("-c bytea_output"), 15, "  --Bytea-Output");
  spelled.replace(spelled.find("-c lc_monetary=C"), 16, R"(-clc_monetary=\C)");
  EXPECT_THAT(differences({{"driver.options", spelled}}), IsEmpty());
  EXPECT_THAT(differences({{"driver.options", "${env:OPTIONS}"}}), IsEmpty());
}

// Any name that PostgreSQL takes: up to 63 bytes, in UTF-8, none of them zero.
std::string any_name(std::mt19937& random) {
  static const std::vector<std::string> pieces = {
      " ",  "\t",   "\n", "\"", "'",  ".",        ",",  "\\", "\\x20", "(", ")",      "[",      "{",
      "}",  "*",    "+",  "?",  "^",  "$",        "|",  "a",  "B",     "7", "_",      "select", "%",
      "\r", "\x7f", "é",  "☃",  "😀", "${env:A}", "\v", "-",  "order", "~", "\u00a0", "\u3000"};
  std::string name;
  const std::size_t length = 1 + random() % 63;
  while (name.empty() || random() % 4 != 0) {
    const std::string& piece = pieces[random() % pieces.size()];
    if (name.size() + piece.size() > length) break;
    name += piece;
  }
  return name.empty() ? "a" : name;
}

// Issue E, row 23: a table named "Order Items", or one whose name ends in white space, was refused
// by what had printed it, or by Connect.
TEST(ConnectorCheck, AcceptsWhatItPrintsForEveryName) {
  std::mt19937 random(23);
  for (int i = 0; i < 3000; ++i) {
    const std::vector<TableSpec> tables = {table(any_name(random), any_name(random)),
                                           table("public", any_name(random))};
    SCOPED_TRACE(tables[0].name.text() + "|" + tables[1].name.text());
    const ConnectorSettings running = printed(shop(), tables);
    EXPECT_THAT(check_connector_config(shop(), tables, running), IsEmpty());
    const std::string& list = running.at("table.include.list");
    // Debezium takes white space around a pattern away, and Connect what looks like a reference.
    EXPECT_EQ(list.find_first_of(" \t\r\n\v\"${}"), std::string::npos) << list;
    EXPECT_EQ(std::ranges::count(list, ','), 1) << list;
    const std::vector<TableSpec> others = {table("other", tables[0].name.table + "!")};
    EXPECT_EQ(check_connector_config(shop(), others, running).size(), 1u);
  }
}

TEST(ConnectorCheck, ReadsIncludeListsAsPeopleWriteThem) {
  const auto listed = [](const std::string& list, const std::string& name) {
    ConnectorSettings running = printed(shop(), {});
    running["table.include.list"] = list;
    return check_connector_config(shop(), std::vector{table("public", name)}, running).empty();
  };
  EXPECT_TRUE(listed("public.a, public.Order Items ,public.c", "order items"));
  EXPECT_TRUE(listed(R"(public.a\,b,public.c)", "a,b"));
  EXPECT_TRUE(listed("public.(a|b)", "z")) << "only Debezium can judge a pattern";
  EXPECT_TRUE(listed(R"(public\.\w+)", "z"));
  EXPECT_FALSE(listed("public.a,public.c", "b"));
}

TEST(ConnectorCheck, ComparesWhatTheDecoderMustKnow) {
  EXPECT_THAT(differences({{"time.precision.mode", "adaptive"}}),
              ElementsAre(HasSubstr("expects")));
  EXPECT_THAT(differences({{"unavailable.value.placeholder", "x"}}),
              ElementsAre(HasSubstr("expects")));
  EXPECT_THAT(differences({{"slot.name", "x"}}), ElementsAre(HasSubstr("slot.name is 'x'")));
  EXPECT_THAT(differences({{"database.dbname", "${env:DB}"}}), IsEmpty());
  EXPECT_THAT(differences({{"max.batch.size", "1"}}), IsEmpty());
  EXPECT_THAT(differences({{"table.include.list", "public\\.other"}}),
              ElementsAre("table.include.list leaves out public.orders"));
  EXPECT_THAT(differences({{"table.include.list", "public.*"}}), IsEmpty());
}

TEST(ConnectorCheck, TakesAnEmptyConfigurationForItsDefaults) {
  const auto found = check_connector_config(shop(), {}, {});
  for (const char* const name : {"plugin.name", "snapshot.mode", "skipped.operations", "slot.name",
                                 "value.converter", "decimal.handling.mode", "connector.class"}) {
    EXPECT_THAT(found, Contains(HasSubstr(name)));
  }
}

TEST(Topics, AreNamedAsDebeziumNamesThem) {
  EXPECT_EQ(topic_name("p0", {"Weird Schema", "T\u00e4ble \u2603 Mixed"}),
            "p0.Weird_Schema.T_ble___Mixed");
  EXPECT_EQ(topic_name("p", {"s", "\U0001F600"}), "p.s.__");
  const std::vector<TableSpec> tables = {table("s", "a b"), table("s", "a_b")};
  EXPECT_THAT(colliding_topics("p", tables),
              ElementsAre("s.a b and s.a_b have one topic, p.s.a_b"));
}

// The last one has no key: published, it would refuse the application's updates.
std::vector<TableSpec> orders_parent_and_keyless() {
  std::vector<TableSpec> tables = {table("public", "Orders"), table("public", "parent"),
                                   table("public", "keyless")};
  tables[1].only = true;
  tables[0].key = tables[1].key = {0};
  return tables;
}

TEST(Publication, NamesExactlyTheTables) {
  const std::vector<TableSpec> tables = orders_parent_and_keyless();
  EXPECT_EQ(publication_sql(shop(), tables),
            "CREATE PUBLICATION \"lockstep_shop\" FOR TABLE \"public\".\"Orders\", ONLY "
            "\"public\".\"parent\" WITH (publish_via_partition_root = true)");
}

// Issue E, row 10: the replica identity is the key, whatever primary key there is beside it.
TEST(ConnectorKeys, AreToldWhereTheyAreNotThePrimaryKey) {
  TableSpec plain = table("public", "plain");
  plain.key = {0};
  plain.key_is_primary = true;
  TableSpec other = table("s:1", "a;b, c");
  other.key = {1, 0};
  other.key_is_primary = false;
  for (TableSpec* spec : {&plain, &other}) {
    spec->columns.resize(2);
    spec->columns[0].name = "id";
    spec->columns[1].name = "m n";
  }
  const std::vector<TableSpec> tables = {plain, other};
  const std::string wanted = R"(s\x3a1\.a\x3bb\x2c\x20c:m\x20n,id)";
  EXPECT_EQ(key_columns(tables), wanted);
  EXPECT_EQ(effective_settings(shop(), tables).at(kKeyColumns), wanted);
  EXPECT_FALSE(effective_settings(shop(), {tables.data(), 1}).contains(kKeyColumns));
  EXPECT_TRUE(same_key_columns("a:b;c:d", "c:d;a:b"));
  EXPECT_THAT(keying_problems(tables), IsEmpty());
  TableSpec shouting = plain;
  shouting.name = {"S:1", "a;b, C"};
  EXPECT_THAT(keying_problems(std::vector<TableSpec>{other, shouting}), testing::SizeIs(1));
}

TEST(Publication, IsExtendedWhileNobodyWrites) {
  const std::vector<TableSpec> tables = orders_parent_and_keyless();
  EXPECT_THAT(
      extend_publication_sql(shop(), tables, {tables[1].name}),
      ElementsAre("BEGIN", "SET LOCAL lock_timeout = '100ms'",
                  "LOCK TABLE ONLY \"public\".\"parent\" IN SHARE ROW EXCLUSIVE MODE",
                  "ALTER PUBLICATION \"lockstep_shop\" ADD TABLE ONLY \"public\".\"parent\"",
                  "COMMIT"));
}

}  // namespace
}  // namespace lockstep
