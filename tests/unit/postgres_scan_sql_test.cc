// The text of the queries that read a table.
#include <gtest/gtest.h>

#include "connectors/postgres/source/scan_sql.h"

namespace lockstep {
namespace {

void add_column(TableMap& table, const char* name, const char* sql, std::uint32_t oid) {
  Column column;
  column.name = name;
  column.type.sql = column.type.base_sql = sql;
  column.type.oid = column.type.base_oid = oid;
  table.source.columns.push_back(column);
  ColumnMap mapped;
  mapped.source = table.columns.size();
  table.columns.push_back(mapped);
}

// CREATE TABLE "S 1".t (id bigint, "n""o" text, PRIMARY KEY (id))
TableMap simple() {
  TableMap table;
  table.source.name = {"S 1", "t"};
  add_column(table, "id", "bigint", 20);
  add_column(table, "n\"o", "text", 25);
  table.key = {0};
  return table;
}

// The same with a key of both columns, the second in the text plane.
TableMap composite() {
  TableMap table = simple();
  table.key = {0, 1};
  table.columns[1].plane = Plane::Text;
  table.source.columns[1].type.base_sql = "s.odd";
  table.source.columns[1].type.base_oid = 20000;
  return table;
}

TEST(ScanSql, WholeTableHasNoCondition) {
  EXPECT_EQ(range_query(simple(), {}), R"(SELECT t."id", t."n""o" FROM ONLY "S 1"."t" t)");
}

TEST(ScanSql, RangeIsHalfOpen) {
  EXPECT_EQ(range_query(simple(), {{"'3'"}, {"'9'"}}),
            R"(SELECT t."id", t."n""o" FROM ONLY "S 1"."t" t)"
            R"( WHERE (t."id") >= ('3'::bigint) AND (t."id") < ('9'::bigint))");
}

TEST(ScanSql, LastRangeHasNoUpperBound) {
  EXPECT_TRUE(range_query(simple(), {{"'3'"}, {}}).ends_with(R"(WHERE (t."id") >= ('3'::bigint))"));
  EXPECT_TRUE(range_query(simple(), {{}, {"'3'"}}).ends_with(R"(WHERE (t."id") < ('3'::bigint))"));
}

TEST(ScanSql, CompositeKeyIsComparedAsARow) {
  EXPECT_TRUE(range_query(composite(), {{"'3'", "'x'"}, {}})
                  .ends_with(R"(WHERE (t."id", t."n""o") >= ('3'::bigint, 'x'::s.odd))"));
}

TEST(ScanSql, TextPlaneIsReadAsText) {
  EXPECT_TRUE(
      range_query(composite(), {}).starts_with(R"(SELECT t."id", t."n""o"::pg_catalog.text FROM)"));
  EXPECT_EQ(key_parameter_type(composite(), 0), 20U);
  EXPECT_EQ(key_parameter_type(composite(), 1), 25U);
}

TEST(ScanSql, OnlyAPartitionedRootIsReadWithWhatIsBelow) {
  TableMap table = simple();
  EXPECT_TRUE(range_query(table, {}).ends_with(R"(FROM ONLY "S 1"."t" t)"));
  table.source.kind = RelationKind::PartitionedRoot;
  EXPECT_TRUE(range_query(table, {}).ends_with(R"(FROM "S 1"."t" t)"));
  EXPECT_TRUE(range_query(table, {{}, {}, "t.tableoid = 7"})
                  .ends_with(R"(FROM "S 1"."t" t WHERE t.tableoid = 7)"));
  EXPECT_TRUE(range_query(table, {{"'3'"}, {}, "t.tableoid = 7"})
                  .ends_with("(t.\"id\") >= ('3'::bigint) AND t.tableoid = 7"));
}

TEST(ScanSql, BoundSkipsRowsInKeyOrder) {
  EXPECT_EQ(bound_query(simple(), {{"'3'"}, {}}, 500),
            R"(SELECT t."id" FROM ONLY "S 1"."t" t WHERE (t."id") >= ('3'::bigint))"
            R"( ORDER BY t."id" OFFSET 500 LIMIT 1)");
  EXPECT_EQ(bound_query(simple(), {{}, {"'9'"}}, 500),
            R"(SELECT t."id" FROM ONLY "S 1"."t" t WHERE (t."id") < ('9'::bigint))"
            R"( ORDER BY t."id" OFFSET 500 LIMIT 1)");
}

TEST(ScanSql, KeysAreJoinedAsParameters) {
  EXPECT_EQ(keys_query(composite(), 2),
            R"(SELECT t."id", t."n""o"::pg_catalog.text FROM ONLY "S 1"."t" t)"
            R"( JOIN (VALUES ($1, $2::s.odd), ($3, $4::s.odd)) k(k0, k1))"
            R"( ON t."id" = k.k0 AND t."n""o" = k.k1)");
}

// Of 64 bits a server hashes one half XOR the other, and of text what its collation makes of it.
TEST(ScanSql, ADigestIsOfAllBytes) {
  const std::vector<HashedColumn> columns{{hashed_as(20), "bigint", "int8send"},
                                          {hashed_as(25), "text", "textsend"}};
  EXPECT_EQ(digest_query(simple(), {{"'3'"}, {}}, columns, {.seed = 7, .buckets = 1}),
            "SELECT 0, pg_catalog.count(*), pg_catalog.sum(pg_catalog.hash_record_extended("
            "ROW((t.\"id\"::bigint), (t.\"id\"::bigint) OPERATOR(pg_catalog.>>) 32,"
            " (t.\"n\"\"o\"::text) COLLATE pg_catalog.\"C\"),"
            " pg_catalog.hash_record_extended(ROW((t.\"id\"::bigint),"
            " (t.\"id\"::bigint) OPERATOR(pg_catalog.>>) 32), '7'::pg_catalog.int8)))"
            " FROM ONLY \"S 1\".\"t\" t WHERE (t.\"id\") >= ('3'::bigint)");
}

TEST(ScanSql, BucketsAreOfTheKeysHash) {
  const std::vector<HashedColumn> columns{{HashedAs::It, "int4", "int4send"},
                                          {HashedAs::Sent, "numeric", "pg_catalog.numeric_send"}};
  const DigestForm form{.seed = 7, .buckets = 4};
  const std::string key =
      "pg_catalog.hash_record_extended(ROW((t.\"id\"::int4)), '7'::pg_catalog.int8)";
  const std::string digest = digest_query(simple(), {}, columns, form);
  EXPECT_TRUE(digest.starts_with("SELECT " + key + " & 3, ")) << digest;
  EXPECT_TRUE(digest.contains("pg_catalog.numeric_send(t.\"n\"\"o\"::numeric)")) << digest;
  EXPECT_TRUE(digest.ends_with(" GROUP BY 1")) << digest;
  EXPECT_EQ(bucket_condition(simple(), columns, form, std::vector<std::uint32_t>{0, 2}),
            key + " & 3 = ANY ('{0,2}'::pg_catalog.int8[])");
}

TEST(ScanSql, LiteralsAreMadeByTheServer) {
  EXPECT_EQ(literals_query(2), "SELECT pg_catalog.format('%L', $1), pg_catalog.format('%L', $2)");
}

TEST(ScanSql, OnlyTypesWithOperatorsOfTheirOwnNeedASchema) {
  TableMap table = composite();
  EXPECT_EQ(foreign_operator_types(table), (std::vector<std::uint32_t>{20000}));
  table.source.columns[1].type.kind = TypeKind::Enum;
  EXPECT_TRUE(foreign_operator_types(table).empty());
}

}  // namespace
}  // namespace lockstep
