// The statements of the target, as text, and the bytes of their parameters.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "connectors/postgres/target/bookkeeping_schema.h"
#include "connectors/postgres/target/sql.h"
#include "connectors/postgres/target/sql_evict.h"
#include "connectors/postgres/target/target_debts.h"
#include "connectors/postgres/wire/rows.h"

namespace lockstep {
namespace {

using testing::HasSubstr;
using testing::Not;

Column column(const std::string& name, const std::string& type) {
  Column made;
  made.name = name;
  made.type.sql = made.type.base_sql = type;
  return made;
}

// shop.orders (id int4, total numeric, "No ""te" text), keyed by id.
struct Orders {
  Orders() {
    map.source.name = map.target.name = {"shop", "orders"};
    map.source.columns = {column("id", "integer"), column("total", "numeric"),
                          column("No \"te", "text")};
    map.target.columns = map.source.columns;
    map.columns = {{0, 0, Plane::Binary, false, false, false},
                   {1, 1, Plane::Binary, false, false, false},
                   {2, 2, Plane::Binary, false, false, false}};
    map.key = {0};
    map.canonical = {CanonicalRule::Bytes};
    staged = {&map,
              {{"integer", "integer"}, {"numeric", "numeric"}, {"text", "text"}},
              {"OPERATOR(pg_catalog.=)"}};
  }
  Orders(const Orders&) = delete;
  TableMap map;
  StagedTable staged;
};

const BookkeepingName kBookkeepingName{"lockstep", "shop"};

TEST(PostgresSql, UpsertWritesEveryColumnAndUpdatesAllButTheKey) {
  const Orders orders;
  EXPECT_EQ(upsert_sql(orders.staged),
            "INSERT INTO \"shop\".\"orders\" AS t (\"id\", \"total\", \"No \"\"te\")"
            " OVERRIDING SYSTEM VALUE SELECT r.c0, r.c1, r.c2 FROM unnest($1) AS r"
            " ON CONFLICT (\"id\") DO UPDATE SET \"total\" = excluded.\"total\","
            " \"No \"\"te\" = excluded.\"No \"\"te\"");
}

TEST(PostgresSql, UpsertRewritesAKeyWhoseFormVaries) {
  Orders orders;
  orders.map.key = {1};
  orders.map.canonical = {CanonicalRule::Numeric};
  EXPECT_THAT(upsert_sql(orders.staged), HasSubstr("SET \"id\" = excluded.\"id\", \"total\" ="));
}

// Issue E, row 1: a row that is hit under other bytes is another row of the source.
TEST(PostgresSql, UpsertFailsWhereTwoKeysMeet) {
  Orders orders;
  orders.map.target.columns[2].collation = "en_US.utf8";
  orders.map.key = {2};
  EXPECT_THAT(upsert_sql(orders.staged),
              HasSubstr("WHERE CASE WHEN CAST(t.\"No \"\"te\" AS pg_catalog.text) COLLATE"));
  orders.map.canonical = {CanonicalRule::Opaque};
  EXPECT_THAT(upsert_sql(orders.staged), Not(HasSubstr("WHERE")));
}

TEST(PostgresSql, UpsertOfATableThatIsAllKeyHitsARowThatExistsAllTheSame) {
  Orders orders;
  orders.map.key = {0, 1, 2};
  orders.map.canonical.assign(3, CanonicalRule::Bytes);
  EXPECT_THAT(upsert_sql(orders.staged),
              HasSubstr("ON CONFLICT (\"id\", \"total\", \"No \"\"te\") DO UPDATE SET \"id\" ="));
}

TEST(PostgresSql, TextIsReadByTheTypesInputFunction) {
  Orders orders;
  orders.map.columns[1].plane = Plane::Text;
  orders.staged.columns[1] = {"text", "shop.place"};
  EXPECT_THAT(upsert_sql(orders.staged), HasSubstr("CAST(r.c1 AS shop.place)"));
}

TEST(PostgresSql, ConstantsAreWrittenWithEveryRow) {
  Orders orders;
  orders.map.target.columns.push_back(column("origin", "text"));
  orders.map.constants = {{3, "it's"}};
  EXPECT_THAT(upsert_sql(orders.staged), HasSubstr("'it''s'"));
  EXPECT_THAT(upsert_sql(orders.staged), HasSubstr("\"origin\" = excluded.\"origin\""));
  EXPECT_THAT(copy_sql(orders.map), HasSubstr("\"No \"\"te\", \"origin\")"));
}

TEST(PostgresSql, AFixedIdentityIsReplacedNotUpdated) {
  Orders orders;
  EXPECT_FALSE(replace_sql(orders.staged).has_value());
  orders.map.target.columns[1].identity = Identity::Always;
  EXPECT_THAT(upsert_sql(orders.staged), Not(HasSubstr("\"total\" = excluded")));
  EXPECT_THAT(replace_sql(orders.staged).value(), HasSubstr("t.\"total\" IS DISTINCT FROM r.c1"));
  EXPECT_THAT(update_sql(kBookkeepingName, orders.staged, {true, true, true}),
              HasSubstr("AND t.\"total\" = r.c1"));
}

TEST(PostgresSql, UpdateSetsOnlyWhatIsAvailable) {
  const Orders orders;
  const std::string sql = update_sql(kBookkeepingName, orders.staged, {true, true, false});
  EXPECT_THAT(sql, HasSubstr("SET \"total\" = r.c1 FROM unnest($1) WITH ORDINALITY"
                             " AS r(c0, c1, c2, n) WHERE t.\"id\" OPERATOR(pg_catalog.=) r.c0"));
  EXPECT_THAT(sql, Not(HasSubstr("r.c2")));
  EXPECT_THAT(sql, HasSubstr("'missing_row'"));
}

TEST(PostgresSql, UpdateOfNothingLooksForTheRow) {
  const Orders orders;
  EXPECT_THAT(update_sql(kBookkeepingName, orders.staged, {true, false, false}),
              HasSubstr("WITH u AS (SELECT r.n FROM ONLY \"shop\".\"orders\" AS t"));
}

TEST(PostgresSql, KeysAreComparedInTheTargetsType) {
  Orders orders;
  orders.staged.columns[0] = {"integer", "bigint"};
  EXPECT_EQ(delete_sql(orders.staged),
            "DELETE FROM ONLY \"shop\".\"orders\" AS t USING unnest($1) AS r"
            " WHERE t.\"id\" OPERATOR(pg_catalog.=) CAST(r.c0 AS bigint)");
}

TEST(PostgresSql, ChildrenOfInheritanceAreLeftAlone) {
  Orders orders;
  orders.map.target.only = true;
  EXPECT_THAT(delete_sql(orders.staged), HasSubstr("DELETE FROM ONLY"));
  EXPECT_EQ(truncate_sql(orders.map), "TRUNCATE ONLY \"shop\".\"orders\"");
  orders.map.target.kind = RelationKind::PartitionedRoot;
  EXPECT_EQ(truncate_sql(orders.map), "TRUNCATE \"shop\".\"orders\"");
}

TEST(PostgresSql, TheFenceRaisesInTheServer) {
  EXPECT_THAT(fence_sql(kBookkeepingName), HasSubstr("CAST('lockstep fenced, epoch ' ||"));
  EXPECT_THAT(fence_sql({"a\"b", "it's"}),
              HasSubstr("\"a\"\"b\".\"fence\" WHERE migration = 'it''s'"));
}

TEST(PostgresSql, MigrationsLockDifferentObjects) {
  EXPECT_NE(shared_lock_sql({"lockstep", "shop"}), shared_lock_sql({"lockstep", "shop2"}));
  EXPECT_NE(shared_lock_sql({"lockstep", "shop"}), shared_lock_sql({"lockstep2", "shop"}));
}

TEST(PostgresSql, HoldersAreFoundByTheIndexsOwnTerms) {
  const Orders orders;
  const UniqueIndex index{"shop.orders",
                          {{"lower(note)", "OPERATOR(pg_catalog.=)", "pg_catalog.\"C\""}},
                          "total > 0",
                          true};
  const std::string sql = holders_sql(orders.staged, index, HolderAction::Delete);
  EXPECT_THAT(sql, HasSubstr("(lower(note)) AS e0 FROM ONLY shop.orders WHERE (total > 0)"));
  EXPECT_THAT(sql, HasSubstr("((t.e0 COLLATE pg_catalog.\"C\") OPERATOR(pg_catalog.=) n.e0"
                             " OR (t.e0 IS NULL AND n.e0 IS NULL))"));
  EXPECT_THAT(sql, HasSubstr("NOT (t.k0 OPERATOR(pg_catalog.=) n.k0)"));
  EXPECT_THAT(sql, HasSubstr("RETURNING CAST(d.\"id\" AS integer)"));
}

TEST(PostgresSql, EveryBookkeepingTableIsKeyedByItsMigration) {
  for (const std::string& sql : create_bookkeeping_sql("lockstep")) {
    if (sql.starts_with("CREATE")) {
      EXPECT_THAT(sql, HasSubstr("migration ")) << sql;
    }
  }
  EXPECT_EQ(create_bookkeeping_sql("s").size(), 2 * bookkeeping_tables().size());
}

TEST(PostgresRows, AnArrayOfCompositesIsPostgresBinaryForm) {
  std::string row;
  append_value(row, "ab");
  append_unavailable(row);
  const std::vector<std::uint32_t> oids{25, 23};
  RowArrayBuilder rows(77, oids);
  rows.add_row(row);
  std::string expected;
  for (const std::uint32_t word : {1U, 0U, 77U, 1U, 1U, 22U, 2U, 25U, 2U})
    append_be32(expected, word);
  expected += "ab";
  append_be32(expected, 23);
  append_be32(expected, static_cast<std::uint32_t>(kNullLength));
  EXPECT_EQ(rows.bytes(), expected);
  rows.clear();
  EXPECT_EQ(rows.size(), 0U);
}

TEST(PostgresRows, AKeyHashComesBack) {
  const Hash128 hash{0x0123456789abcdef, 0xfedcba9876543210};
  EXPECT_EQ(read_key_hash(key_hash_bytes(hash)), hash);
}

TEST(PostgresRows, ASnapshotIsPostgresBinaryForm) {
  const std::string bytes = snapshot_bytes({5, 9, {6, 8}});
  EXPECT_EQ(bytes.size(), 4U + 4 * 8);
  EXPECT_EQ(read_be32(bytes), 2U);
  EXPECT_EQ(read_be64(std::string_view(bytes).substr(4)), 5U);
  EXPECT_EQ(read_be64(std::string_view(bytes).substr(28)), 8U);
}

TEST(TableCounts, NeverSaysNoneWhileSomeAreLeft) {
  TableCounts counts(2);
  EXPECT_FALSE(counts.any(1));
  counts.add(1, 2);
  counts.add(1, -1);
  EXPECT_TRUE(counts.any(1));
  EXPECT_FALSE(counts.any(0));
}

}  // namespace
}  // namespace lockstep
