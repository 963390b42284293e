// What `lockstep init` writes is what load_manifest() reads, whatever tables and databases are
// called.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>

#include "config/manifest.h"
#include "connectors/postgres/wire/conninfo.h"
#include "daemon/init/manifest_text.h"

namespace lockstep {
namespace {

InitManifest manifest_of(std::vector<InitTable> tables) {
  return {"shop",
          {{{"host", "/run/a b"}, {"port", "5432"}, {"dbname", "no"}, {"user", "it's {a}"}}, ""},
          {{{"host", "db2"}, {"dbname", "\"shop\""}, {"user", "~"}, {"sslmode", "require"}}, ""},
          std::move(tables)};
}

TEST(InitManifest, IsReadAsItWasMeant) {
  const std::vector<TableName> names{{"public", "orders"},     {"public", "a.b"},
                                     {"public", "on*e?"},      {"Odd Names", "Order \"Items\""},
                                     {"public", "true"},       {"public", "- # : {x}"},
                                     {"public", "line\nline"}, {"público", "tÄble"}};
  std::vector<InitTable> tables;
  for (const TableName& name : names)
    tables.push_back(
        {name, name.table.size() % 2 == 0 ? "a reason\n- source: public.not_this" : ""});
  const Parsed parsed = parse_manifest("/tmp/shop.yaml", manifest_text(manifest_of(tables)));
  ASSERT_TRUE(parsed.manifest) << (parsed.problems.empty() ? "" : parsed.problems[0].print());
  ASSERT_EQ(parsed.manifest->rules.size(), names.size());
  std::set<int> lines;
  for (std::size_t i = 0; i < names.size(); ++i) {
    const ManifestRule& rule = parsed.manifest->rules[i];
    ASSERT_FALSE(rule.source.value.is_glob()) << names[i].text();
    EXPECT_EQ(rule.source.value.exact(), names[i]);
    EXPECT_EQ(rule.skip, !tables[i].reason.empty()) << names[i].text();
    EXPECT_EQ(rule.where.line, rule.source.where.line);
    EXPECT_TRUE(lines.insert(rule.where.line).second);
  }
  const Connect& source = parsed.manifest->source.connect;
  EXPECT_EQ(source.find("host")->value.reveal(), "/run/a b");
  EXPECT_EQ(source.find("dbname")->value.reveal(), "no");
  EXPECT_EQ(source.find("user")->value.reveal(), "it's {a}");
  EXPECT_EQ(parsed.manifest->target.connect.find("dbname")->value.reveal(), "\"shop\"");
  EXPECT_EQ(parsed.manifest->target.connect.find("user")->value.reveal(), "~");
}

TEST(InitManifest, CommentsHaveNoLinesOfTheirOwn) {
  EXPECT_EQ(as_comment("one two\nthree", "# ", 10), "# one two\n# three\n");
  EXPECT_EQ(as_comment("", "# ", 10), "");
}

TEST(InitManifest, AMigrationIsCalledAfterItsDatabase) {
  EXPECT_EQ(migration_name("shop"), "shop");
  EXPECT_EQ(migration_name("Chinook-DB"), "chinook_db");
  EXPECT_EQ(migration_name("2026"), "m_2026");
  EXPECT_EQ(migration_name(std::string(63, 'x')).size(), 40U);
}

TEST(Conninfo, SaysWhatWasWrittenAndNeverQuotesIt) {
  const auto uri = parse_conninfo("postgres://me:p%40w@db1:5433/shop?sslmode=require");
  ASSERT_TRUE(uri);
  EXPECT_THAT(*uri, testing::UnorderedElementsAre(
                        testing::Pair("host", "db1"), testing::Pair("port", "5433"),
                        testing::Pair("dbname", "shop"), testing::Pair("user", "me"),
                        testing::Pair("password", "p@w"), testing::Pair("sslmode", "require")));
  const ConnectKeywords odd{{"host", "/a b"}, {"user", "o'x\\y"}, {"dbname", ""}};
  const auto again = parse_conninfo(conninfo_text(odd));
  ASSERT_TRUE(again);
  EXPECT_THAT(*again, testing::UnorderedElementsAreArray(odd));
  for (const char* broken : {"postgres://me:hunter2%zz@db1/shop", "password=hunter2 hosst=db1",
                             "host=db1 password='hunter2", "hunter2"}) {
    const auto refused = parse_conninfo(broken);
    ASSERT_FALSE(refused) << broken;
    EXPECT_EQ(refused.error().message.find("hunter2"), std::string::npos) << broken;
    EXPECT_EQ(refused.error().exit, ExitCode::Usage);
  }
}

}  // namespace
}  // namespace lockstep
