// The manifest: what a good one means, what a single mistake is called, and which tables it
// selects.
#include "config/manifest.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <boost/json.hpp>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <set>
#include <sstream>
#include <type_traits>

#include "config/selection.h"

namespace lockstep {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

// A directory with manifests and secrets, removed afterwards.
class ManifestFile : public testing::Test {
 public:
  ~ManifestFile() override {
    std::filesystem::remove_all(directory_);
    ::unsetenv("CREDENTIALS_DIRECTORY");
  }

 protected:
  ManifestFile() {
    char pattern[] = "/tmp/lockstep_manifest_XXXXXX";
    directory_ = ::mkdtemp(pattern);
    ::setenv("CREDENTIALS_DIRECTORY", directory_.c_str(), 1);
    ::unsetenv("RUNTIME_DIRECTORY");
    write("target", "t0p\n");
    write("source", "s3cret\n");
    std::filesystem::create_directory(directory_ / "secrets");
    write("secrets/source", "s3cret\n");
  }

  void write(const std::string& name, const std::string& text) {
    std::ofstream(directory_ / name, std::ios::binary) << text;
    std::filesystem::permissions(directory_ / name, std::filesystem::perms(0600));
  }
  Parsed load(const std::string& text) {
    write("m.yaml", text);
    return load_manifest((directory_ / "m.yaml").string());
  }
  // The problems of a manifest without the file's name.
  std::vector<std::string> problems(const std::string& text) {
    std::vector<std::string> lines;
    for (const Problem& problem : load(text).problems) {
      lines.push_back(problem.print().substr((directory_ / "m.yaml").string().size() + 1));
    }
    return lines;
  }
  Manifest manifest(const std::string& text) {
    const Parsed parsed = load(text);
    for (const Problem& problem : parsed.problems) ADD_FAILURE() << problem.print();
    return parsed.manifest.value_or(Manifest{});
  }

  std::filesystem::path directory_;
};

// A manifest without problems; `tables` and `extra` top-level lines are added at its end.
std::string good(const std::string& tables = "- source: public.*", const std::string& extra = "") {
  return R"(version: 1
migration: shop
state_dir: state
source:
  connect: {host: localhost, dbname: shop}
  stream: debezium
  debezium: {topic_prefix: shop, kafka: {bootstrap.servers: "localhost:9092"}}
target:
  connect: {host: /run/postgresql, dbname: shop}
tables:
)" + tables +
         "\n" + extra;
}

std::string replaced(std::string text, const std::string& from, const std::string& to) {
  const auto at = text.find(from);
  EXPECT_NE(at, std::string::npos) << from;
  return text.replace(at, from.size(), to);
}

constexpr const char* kContract = R"(
version: 1
migration: shop                      # [a-z][a-z0-9_]{0,39}; label of every metric
state_dir: state/shop                # RocksDB; relative to the manifest; created 0700

source:
  connect: {host: db1, port: 5432, dbname: shop, user: lockstep_reader, )"
                                  R"(password: {file: secrets/source}, sslmode: verify-full}
  stream: debezium
  slot: lockstep_shop
  publication: lockstep_shop
  debezium:
    topic_prefix: shop
    format: json
    kafka: {bootstrap.servers: "k1:9092,k2:9092"}
    connect: {url: "http://connect:8083", connector: shop}

target:
  connect: {host: db2, dbname: shop, user: lockstep_writer, password: {credential: target}}
  lanes: 4
  schema: lockstep

backfill: {workers: 2, chunk_rows: 50000, rate_limit_rows_per_second: 0}

keyless: refuse
existing: refuse

tables:
  - source: public.*
  - source: public.audit_log
    skip: true
  - source: public.orders
    target: sales.orders_v2
    columns:
      rename: {cust: customer_id}
      drop: [legacy_code]
      set: {origin: "shop-eu"}
)";

TEST_F(ManifestFile, ReadsTheContractsExample) {
  const Parsed parsed = load(kContract);
  ASSERT_TRUE(parsed.manifest.has_value());
  EXPECT_EQ(parsed.problems.size(), 2U) << "plain text to k1 and to connect";
  const Manifest& manifest = *parsed.manifest;
  EXPECT_EQ(manifest.state_dir.value, directory_ / "state/shop");
  EXPECT_EQ(manifest.source.connect.find("password")->value.reveal(), "s3cret");
  EXPECT_EQ(manifest.target.connect.find("password")->value.reveal(), "t0p");
  EXPECT_EQ(manifest.target.connect.find("sslmode")->value.reveal(), "verify-full");
  EXPECT_EQ(manifest.rules[2].table.rename.at("cust"), "customer_id");
  EXPECT_EQ(manifest.rules[2].table.set.at("origin"), "shop-eu");
  EXPECT_TRUE(manifest.rules[2].table.drop.contains("legacy_code"));
}

// Issue E, row 29.
TEST_F(ManifestFile, NamesASecretThatEveryUserMayRead) {
  std::filesystem::permissions(directory_ / "secrets/source", std::filesystem::perms(0644));
  const auto lines = problems(kContract);
  EXPECT_TRUE(std::ranges::any_of(lines, [](const std::string& line) {
    return line.find("every user of this machine may read") != line.npos &&
           line.find("(mode 0644) (chmod 600 ") != line.npos;
  }));
}

// Issue E, row 28: a password that was rotated counts from the next connection on.
TEST_F(ManifestFile, ReadsSecretsAnew) {
  const Manifest manifest = load(kContract).manifest.value_or(Manifest{});
  write("secrets/source", "rotated\n");
  const auto anew = manifest.source.connect.read_anew();
  ASSERT_TRUE(anew.has_value());
  EXPECT_THAT(*anew, ElementsAre(testing::Pair("password", "rotated")));
  std::filesystem::remove(directory_ / "secrets/source");
  EXPECT_EQ(manifest.source.connect.read_anew().error().reaction, Reaction::Retry);
}

TEST_F(ManifestFile, ShippedExampleHasNoProblems) {
  const Parsed parsed = load_manifest(LOCKSTEP_SOURCE_DIR "/config/example.yaml");
  for (const Problem& problem : parsed.problems) ADD_FAILURE() << problem.print();
  EXPECT_TRUE(parsed.manifest.has_value());
}

TEST_F(ManifestFile, FillsInDefaults) {
  const Manifest m = manifest(good());
  EXPECT_EQ(m.source.slot.value, "lockstep_shop");
  EXPECT_EQ(m.source.publication.value, "lockstep_shop");
  EXPECT_EQ(m.target.schema.value, "lockstep");
  EXPECT_EQ(m.target.lanes.value, 4U);
  EXPECT_EQ(m.backfill.chunk_rows, 50'000U);
  EXPECT_EQ(m.source.connect.find("sslmode"), nullptr) << "loopback";
}

TEST_F(ManifestFile, ListensNowhereUnlessAsked) {
  EXPECT_EQ(manifest(good()).listen.port, 0);
  const Manifest m = manifest(good("- source: public.*", "listen: {port: 9464, hosts: [a.b-c]}"));
  EXPECT_EQ(m.listen.address, "127.0.0.1");
  EXPECT_EQ(m.listen.port, 9464);
  EXPECT_THAT(m.listen.hosts, ElementsAre("a.b-c"));
  EXPECT_THAT(
      problems(good("- source: public.*", "listen: {address: 0.0.0.0, port: 9464}")),
      ElementsAre(HasSubstr("warning: whoever reaches 0.0.0.0:9464 reads names of tables")));
  EXPECT_THAT(
      problems(
          good("- source: public.*", "listen: {address: db1, port: 70000, hosts: [\"a:1\", B]}")),
      ElementsAre(HasSubstr("listen.address: 'db1' is not an address"), HasSubstr("listen.port"),
                  HasSubstr("listen.hosts: 'a:1'"), HasSubstr("listen.hosts: 'B'")));
}

TEST_F(ManifestFile, DirectIsTheDefault) {
  const Manifest m = manifest(R"(version: 1
migration: shop
state_dir: s
source: {connect: {host: localhost, dbname: a}}
target: {connect: {host: localhost, dbname: b}}
tables: [source: public.*]
)");
  EXPECT_EQ(m.source.stream.value, StreamKind::Direct);
  EXPECT_THAT(check_supported(m), IsEmpty());
}

TEST_F(ManifestFile, LimitsTheLogOfADirectStream) {
  const std::string text = R"(version: 1
migration: shop
state_dir: s
source:
  connect: {host: localhost, dbname: a}
  wal_limit: {mb: 500, then: drop_slot}
target: {connect: {host: localhost, dbname: b}}
tables: [source: public.*]
)";
  EXPECT_EQ(manifest(text).source.wal_limit.mb, 500U);
  EXPECT_EQ(manifest(text).source.wal_limit.then, WalAction::DropSlot);
}

TEST_F(ManifestFile, AnExportedSnapshotIsForADirectStream) {
  const std::string exported = "backfill: {snapshot: exported}";
  EXPECT_THAT(problems(good("- source: public.*", exported)),
              ElementsAre(HasSubstr("backfill.snapshot: exported is for stream: direct only")));
  const std::string text = R"(version: 1
migration: shop
state_dir: s
source: {connect: {host: localhost, dbname: a}}
target: {connect: {host: localhost, dbname: b}}
tables: [source: public.*]
)";
  EXPECT_EQ(manifest(text).backfill.snapshot.value, SnapshotMode::Merge);
  EXPECT_EQ(manifest(text + exported).backfill.snapshot.value, SnapshotMode::Exported);
}

TEST_F(ManifestFile, NamesTheNearestKnownKey) {
  EXPECT_THAT(problems(good("- source: public.*", "debt_atempts: 3")),
              ElementsAre("12:1: error: unknown key debt_atempts (did you mean debt_attempts?)"));
}

TEST_F(ManifestFile, ReportsADuplicateKeyWithTheFirst) {
  EXPECT_THAT(
      problems(good("- source: public.*", "version: 1")),
      ElementsAre("12:1: error: version stands here a second time (the first is in line 1)"));
}

TEST_F(ManifestFile, RefusesAMigrationNameThatIsNone) {
  for (const std::string& name :
       std::vector<std::string>{"Shop", "1shop", "shop-eu", std::string(41, 'a')}) {
    EXPECT_THAT(problems(replaced(good(), "migration: shop", "migration: " + name)),
                ElementsAre(HasSubstr("2:12: error: migration: '" + name + "' is not a name")));
  }
}

TEST_F(ManifestFile, RefusesASocketPathThatIsTooLong) {
  const std::string text =
      replaced(good(), "state_dir: state", "state_dir: " + std::string(100, 'x'));
  EXPECT_THAT(problems(text),
              ElementsAre(HasSubstr("3:12: error: the control socket's path has ")));
  ::setenv("RUNTIME_DIRECTORY", "/run/lockstep:/run/other", 1);
  EXPECT_THAT(problems(text), IsEmpty());
  EXPECT_EQ(control_socket_path("shop", "/x"), "/run/lockstep/shop.sock");
}

TEST_F(ManifestFile, WarnsOfALiteralPassword) {
  EXPECT_THAT(problems(replaced(good(), "{host: localhost, dbname: shop}",
                                "{host: localhost, dbname: shop, password: s3cret}")),
              ElementsAre("5:54: warning: source.connect.password stands in the file itself (refer "
                          "to it: {file: PATH}, {credential: NAME} or {env: NAME})"));
}

TEST_F(ManifestFile, WarnsOfPlainTextToAnotherMachine) {
  const std::string text = replaced(good(), "{host: localhost, dbname: shop}",
                                    "{host: db1, dbname: shop, sslmode: prefer}");
  EXPECT_THAT(problems(text),
              ElementsAre(HasSubstr("5:47: warning: source.connect may send plain")));
}

TEST_F(ManifestFile, ReportsReferencesThatLeadNowhere) {
  const auto with = [&](const std::string& reference) {
    return problems(replaced(good(), "{host: localhost, dbname: shop}",
                             "{host: localhost, dbname: shop, password: " + reference + "}"));
  };
  EXPECT_THAT(with("{file: none}"),
              ElementsAre(HasSubstr("cannot read the file " + (directory_ / "none").string())));
  EXPECT_THAT(with("{env: LOCKSTEP_TEST_NOT_SET}"), ElementsAre(HasSubstr("is not set")));
  EXPECT_THAT(with("{credential: ../x}"), ElementsAre(HasSubstr("holds no '/'")));
  EXPECT_THAT(with("{fil: x}"), ElementsAre(HasSubstr("did you mean file?")));
  EXPECT_THAT(with("{file: a, env: b}"), ElementsAre(HasSubstr("must be text or one reference")));
  EXPECT_THAT(with("[a]"), ElementsAre(HasSubstr("must be text or one reference")));
}

// `lockstep status` of an operator, whom systemd gives no credentials.
TEST_F(ManifestFile, ReferencesThatLeadNowhereMayBeAProblemOfWhoeverConnects) {
  for (const std::string reference : {"{file: none}", "{env: LOCKSTEP_TEST_NOT_SET}"}) {
    write("m.yaml", replaced(good(), "{host: localhost, dbname: shop}",
                             "{host: localhost, dbname: shop, password: " + reference + "}"));
    const Parsed parsed = load_manifest((directory_ / "m.yaml").string(), Secrets::WhenUsed);
    EXPECT_TRUE(parsed.problems.empty());
    ASSERT_TRUE(parsed.manifest);
    const auto secrets = parsed.manifest->source.connect.read_anew();
    ASSERT_FALSE(secrets);
    EXPECT_THAT(secrets.error().message, HasSubstr("source.connect.password: "));
    EXPECT_EQ(secrets.error().exit, ExitCode::Config);
  }
}

TEST_F(ManifestFile, SurvivesFilesThatAreNoManifest) {
  EXPECT_THAT(problems(""), ElementsAre(HasSubstr("1:1: error: the manifest is empty")));
  EXPECT_THAT(problems("# nothing\n"), ElementsAre(HasSubstr("the manifest is empty")));
  EXPECT_THAT(problems("- a\n"), ElementsAre(HasSubstr("must be a map of keys and values, not a")));
  EXPECT_THAT(problems("a: \xff\n"), ElementsAre(HasSubstr("1:4: error: not UTF-8 text")));
  EXPECT_THAT(problems("ok: 1\na: \xed\xa0\x80\n"), ElementsAre(HasSubstr("2:4: error: not UTF")));
  EXPECT_THAT(problems(std::string("a: \0b", 5)), ElementsAre(HasSubstr("1:4: error: not UTF-8")));
  EXPECT_THAT(problems("a:\n\tb: 1\n"), ElementsAre(HasSubstr("not valid YAML")));
  EXPECT_THAT(problems("a: [1, 2\n"), ElementsAre(HasSubstr("not valid YAML")));
  EXPECT_THAT(problems(std::string(2U << 20U, '#')), ElementsAre(HasSubstr("larger than 1 MiB")));
  EXPECT_THAT(problems(good() + "---\nversion: 1\n"), ElementsAre(HasSubstr("a second document")));
  EXPECT_THAT(load_manifest("/nonexistent").problems[0].print(), HasSubstr("cannot be read"));
  EXPECT_THAT(load_manifest("/tmp").problems[0].print(), HasSubstr("is a directory"));
}

TEST_F(ManifestFile, SurvivesDepthAndAliasBombs) {
  EXPECT_FALSE(problems(std::string(5000, '[')).empty());
  EXPECT_FALSE(problems("a: " + std::string(100, '[') + std::string(100, ']')).empty());
  std::string bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n";
  for (int i = 1; i < 10; ++i) {
    const std::string last = "*a" + std::to_string(i - 1);
    bomb += "a" + std::to_string(i) + ": &a" + std::to_string(i) + " [";
    for (int k = 0; k < 9; ++k) bomb += last + ", ";
    bomb += last + "]\n";
  }
  EXPECT_THAT(problems(bomb), ElementsAre(HasSubstr("more than 100000 values")));
}

TEST_F(ManifestFile, TakesAnchorsAndAliases) {
  const std::string text =
      replaced(good(), "{host: localhost, dbname: shop}", "&here {host: localhost, dbname: shop}");
  const Manifest m = manifest(replaced(text, "{host: /run/postgresql, dbname: shop}", "*here"));
  EXPECT_EQ(m.target.connect.find("host")->value.reveal(), "localhost");
}

TEST_F(ManifestFile, ReportsRulesThatContradictThemselves) {
  EXPECT_THAT(problems(good("- source: public.a\n- source: public.a")),
              ElementsAre("12:11: error: a second rule for public.a (the first is in line 11)"));
  EXPECT_THAT(
      problems(good("- {source: public.a, target: s.t}\n- {source: public.b, target: s.t}")),
      ElementsAre(HasSubstr("12:30: error: two rules give the target s.t")));
  EXPECT_THAT(problems(good("- source: public.*\n- {source: public.b, skip: true, target: s.t}")),
              ElementsAre(HasSubstr("skips the table and says how to copy it")));
  EXPECT_THAT(problems(good("- {source: public.*, target: s.t}")),
              ElementsAre(HasSubstr("gives many tables one target (target: s.*)")));
  EXPECT_THAT(problems(good("- {source: public.a, skip: true}")),
              ElementsAre(HasSubstr("names nothing to copy")));
  EXPECT_THAT(problems(good("- {source: p.a, columns: {rename: {a: b}, drop: [a], set: {b: 1}}}")),
              ElementsAre(HasSubstr("both renamed and dropped"), HasSubstr("set to a constant")));
}

TEST_F(ManifestFile, ReadsNamesQuotedAsInSql) {
  const Manifest m =
      manifest(good("- source: 'public.\"Order \"\"Items\"\"\"'\n- source: '\"a.b\".*'"));
  EXPECT_EQ(m.rules[0].source.value.exact(), (TableName{"public", "Order \"Items\""}));
  EXPECT_TRUE(m.rules[1].source.value.matches({"a.b", "any"}));
  for (const std::string& name :
       std::vector<std::string>{"orders", "a.b.c", "'a.\"b'", "'.b'", "'a.b c'", "'\"\".b'"}) {
    EXPECT_THAT(problems(good("- source: " + name)),
                ElementsAre(HasSubstr("11:11: error: tables[0].source: ")));
  }
}

TEST(NamePattern, MatchesGlobs) {
  const auto matches = [](const char* pattern, const char* name) {
    return parse_name_pattern(std::string("s.") + pattern)->matches({"s", name});
  };
  EXPECT_TRUE(matches("*", "anything"));
  EXPECT_TRUE(matches("a*b*c", "aXbXbXc"));
  EXPECT_FALSE(matches("a*b*c", "aXbXbX"));
  EXPECT_TRUE(matches("?x", "\u00e9x")) << "one character, two bytes";
  EXPECT_FALSE(matches("?", ""));
  EXPECT_FALSE(matches("\"*\"", "anything")) << "quoted: exact";
  EXPECT_FALSE(matches("Orders", "orders")) << "case counts";
}

// "source -> target" of each selected table, and the texts of the problems.
std::vector<std::string> selected(const Manifest& m, const std::vector<ListedTable>& listed) {
  std::vector<std::string> lines;
  const Selection selection = select_tables(m, listed);
  for (const auto& table : selection.tables) {
    lines.push_back(table.source.text() + " -> " + table.target.text());
  }
  for (const Problem& problem : selection.problems) lines.push_back(problem.text);
  return lines;
}

const std::vector<ListedTable> kListed = {{{"public", "a"}, {}},
                                          {{"public", "b"}, {}},
                                          {{"public", "p"}, {}},
                                          {{"public", "p1"}, {{"public", "p"}}},
                                          {{"other", "a"}, {}}};

TEST_F(ManifestFile, LaterAndExactRulesWin) {
  EXPECT_THAT(selected(manifest(good("- {source: public.b, skip: true}\n- source: public.*\n"
                                     "- {source: public.a, target: x.y}")),
                       kListed),
              ElementsAre("public.a -> x.y", "public.p -> public.p"));
  EXPECT_THAT(
      selected(manifest(good("- source: '*.*'\n- {source: public.*, skip: true}")), kListed),
      ElementsAre("other.a -> other.a"));
  EXPECT_THAT(selected(manifest(good("- {source: public.*, target: new.*}")), kListed),
              ElementsAre("public.a -> new.a", "public.b -> new.b", "public.p -> new.p"));
  EXPECT_THAT(selected(manifest(good("- source: public.p1")), kListed),
              ElementsAre("public.p1 -> public.p1"));
}

TEST_F(ManifestFile, TablesOfOnePrintedNameAreRefused) {
  const std::vector<ListedTable> listed = {{{"a.b", "c"}, {}}, {{"a", "b.c"}, {}}};
  const auto lines = selected(manifest(good("- {source: '*.*', target: other.*}")), listed);
  ASSERT_EQ(lines.size(), 3U);
  EXPECT_THAT(lines.back(), HasSubstr("\"a.b\".\"c\" and \"a\".\"b.c\" are both printed a.b.c"));
}

TEST_F(ManifestFile, BackfillOrderComesFirst) {
  EXPECT_THAT(
      selected(manifest(good("- source: public.*", "backfill: {order: [public.p, 'public.b']}")),
               kListed),
      ElementsAre("public.p -> public.p", "public.b -> public.b", "public.a -> public.a"));
}

TEST_F(ManifestFile, ReportsSelectionsThatCannotBe) {
  EXPECT_THAT(selected(manifest(good("- source: public.aa")), kListed),
              ElementsAre("public.aa matches no table of the source"));
  EXPECT_THAT(selected(manifest(good("- {source: '*.*', target: x.*}")), kListed),
              ElementsAre(testing::_, testing::_, testing::_, testing::_,
                          "public.a and other.a both go to x.a"));
  EXPECT_THAT(selected(manifest(good("- source: public.p\n- source: public.p1")), kListed),
              ElementsAre(testing::_, testing::_, "public.p1 is copied through public.p already"));
}

TEST(Secret, CannotBePrinted) {
  static_assert(!std::is_convertible_v<Secret, std::string>);
  Secret secret("hidden");
  const Secret moved = std::move(secret);
  EXPECT_EQ(moved.reveal(), "hidden");
}

TEST(Problem, PrintsAsJson) {
  const std::vector<Problem> problems = {{"f", {1, 2}, Severity::Warning, "t \"q\"", "h"}};
  EXPECT_EQ(boost::json::serialize(problems_json(problems)),
            R"({"problems":[{"file":"f","line":1,"column":2,"severity":"warning","text":"t \"q\"",)"
            R"("hint":"h"}],"errors":0,"warnings":1})");
}

// The schema's keys of one map, and those that the loader lists when it meets an unknown one.
TEST_F(ManifestFile, SchemaHasTheKeysThatTheLoaderKnows) {
  const std::ifstream file(LOCKSTEP_SOURCE_DIR "/config/manifest.schema.json");
  std::stringstream text;
  text << file.rdbuf();
  const auto schema = boost::json::parse(text.str());
  const auto known = [&](const std::string& manifest_text) {
    std::set<std::string> keys;
    for (const std::string& line : problems(manifest_text)) {
      const auto at = line.find("(known keys: ");
      if (at == std::string::npos) continue;
      std::stringstream list(line.substr(at + 13, line.size() - at - 14));
      for (std::string key; std::getline(list >> std::ws, key, ',');) keys.insert(key);
    }
    return keys;
  };
  const auto properties = [&](const std::string& pointer) {
    std::set<std::string> keys;
    for (const auto& pair : schema.at_pointer(pointer + "/properties").as_object()) {
      keys.insert(pair.key());
    }
    return keys;
  };
  const std::string odd = "zzzzzzzzzzzzzzzzzzzz: 1";
  const std::string in_map = "{" + odd + "}";
  EXPECT_EQ(known(odd), properties(""));
  EXPECT_EQ(known(replaced(good(), "  stream: debezium", "  " + odd + "\n  stream: debezium")),
            properties("/properties/source"));
  EXPECT_EQ(known(replaced(good(), "{topic_prefix: shop", "{" + odd + ", topic_prefix: shop")),
            properties("/properties/source/properties/debezium"));
  EXPECT_EQ(known(replaced(good(), "target:\n", "target:\n  " + odd + "\n")),
            properties("/properties/target"));
  EXPECT_EQ(known(good("- source: public.*", "backfill: " + in_map)),
            properties("/properties/backfill"));
  EXPECT_EQ(known(good("- source: public.*", "listen: " + in_map)),
            properties("/properties/listen"));
  EXPECT_EQ(known(good("- {source: public.*, " + odd + "}")),
            properties("/properties/tables/items"));
  EXPECT_EQ(known(good("- {source: public.*, columns: " + in_map + "}")),
            properties("/properties/tables/items/properties/columns"));
}

}  // namespace
}  // namespace lockstep
