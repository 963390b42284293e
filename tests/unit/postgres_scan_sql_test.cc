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

TEST(ScanSql, EachBoundIsLookedForFromTheOneBefore) {
  EXPECT_EQ(bounds_query(composite(), {{"'3'", "'x'"}, {"'9'", "'y'"}}, 500, 20),
            R"(WITH RECURSIVE b("id", "n""o") AS ((SELECT t."id", t."n""o" FROM ONLY "S 1"."t" t)"
            R"( WHERE (t."id", t."n""o") >= ('3'::bigint, 'x'::s.odd))"
            R"( AND (t."id", t."n""o") < ('9'::bigint, 'y'::s.odd))"
            R"( ORDER BY t."id", t."n""o" OFFSET 500 LIMIT 1) UNION ALL)"
            R"( SELECT n.* FROM b CROSS JOIN LATERAL (SELECT t."id", t."n""o")"
            R"( FROM ONLY "S 1"."t" t WHERE (t."id", t."n""o") >= (b."id", b."n""o"))"
            R"( AND (t."id", t."n""o") < ('9'::bigint, 'y'::s.odd))"
            R"( ORDER BY t."id", t."n""o" OFFSET 500 LIMIT 1) n))"
            R"( SELECT t."id", t."n""o"::pg_catalog.text FROM b t LIMIT 20)");
}

TEST(ScanSql, RowsOfPartsAreThoseBetweenTheirBounds) {
  const std::vector<std::size_t> first_and_second{0, 1};
  EXPECT_EQ(part_rows_query(composite(), {{}, {}, "t.tableoid = 7"}, 2, first_and_second),
            R"(SELECT t."id", t."n""o"::pg_catalog.text FROM ONLY "S 1"."t" t)"
            R"( WHERE (t."id", t."n""o") < ($1, $2::s.odd) AND t.tableoid = 7)"
            R"( UNION ALL SELECT d.* FROM (VALUES (1, $1, $2::s.odd, $3, $4::s.odd)))"
            R"( p(part, l0, l1, u0, u1) CROSS JOIN LATERAL (SELECT t."id",)"
            R"( t."n""o"::pg_catalog.text FROM ONLY "S 1"."t" t WHERE (t."id", t."n""o"))"
            R"( >= (p.l0, p.l1) AND (t."id", t."n""o") < (p.u0, p.u1) AND t.tableoid = 7)"
            R"( OFFSET 0) d)");
  const std::vector<std::size_t> last{2};
  EXPECT_TRUE(part_rows_query(simple(), {{"'3'"}, {}}, 2, last).ends_with(R"(>= ($2))"));
  const std::vector<std::size_t> only{0};
  EXPECT_EQ(part_rows_query(simple(), {{"'3'"}, {}}, 0, only),
            range_query(simple(), {{"'3'"}, {}}));
}

TEST(ScanSql, KeysAreJoinedAsParameters) {
  EXPECT_EQ(keys_query(composite(), 2),
            R"(SELECT t."id", t."n""o"::pg_catalog.text FROM ONLY "S 1"."t" t)"
            R"( JOIN (VALUES ($1, $2::s.odd), ($3, $4::s.odd)) k(k0, k1))"
            R"( ON t."id" = k.k0 AND t."n""o" = k.k1)");
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
