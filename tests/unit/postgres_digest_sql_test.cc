// The text of the queries that digest a table.
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "connectors/postgres/source/digest_sql.h"

namespace lockstep {
namespace {

// CREATE TABLE t (id bigint PRIMARY KEY, note text, price numeric, doc jsonb)
struct Digested {
  TableMap table;
  std::vector<HashedColumn> columns;
};

void add(Digested& digested, const char* name, const char* sql, std::uint32_t oid) {
  Column column;
  column.name = name;
  column.type.sql = column.type.base_sql = sql;
  column.type.oid = column.type.base_oid = oid;
  digested.table.source.columns.push_back(column);
  ColumnMap mapped;
  mapped.source = digested.table.columns.size();
  digested.table.columns.push_back(mapped);
  digested.columns.push_back({.oid = oid, .type = sql, .send = std::string(sql) + "_send"});
}

Digested with_key(const char* sql, std::uint32_t oid) {
  Digested digested;
  digested.table.source.name = {"public", "t"};
  add(digested, "id", sql, oid);
  digested.table.key = {0};
  return digested;
}

std::string query(const Digested& digested) {
  return digest_query(digested.table, {}, digested.columns, {.seed = 7});
}

// Of 64 bits a server hashes one half XOR the other, and of text what its collation makes of it.
constexpr const char* kKeyHash =
    "pg_catalog.hashint8extended((t.\"id\"::int8) OPERATOR(pg_catalog.>>) 32,"
    " pg_catalog.hashint8extended((t.\"id\"::int8), '7'::pg_catalog.int8))";

TEST(DigestSql, ARowsHashIsSeededByItsKeys) {
  Digested digested = with_key("int8", 20);
  EXPECT_EQ(query(digested), "SELECT 0, pg_catalog.count(*), pg_catalog.sum(" +
                                 std::string(kKeyHash) + ") FROM ONLY \"public\".\"t\" t");
  add(digested, "note", "text", 25);
  EXPECT_TRUE(query(digested).contains(
      "sum(COALESCE(pg_catalog.hashtextextended((t.\"note\"::text) COLLATE pg_catalog.\"C\", " +
      std::string(kKeyHash) +
      "), pg_catalog.hash_record_extended(ROW((t.\"note\"::text) COLLATE pg_catalog.\"C\"), " +
      kKeyHash + ")))"))
      << query(digested);
}

TEST(DigestSql, ATypeWithoutAHashThatWillDoIsHashedAsItIsSent) {
  Digested digested = with_key("int8", 20);
  add(digested, "doc", "jsonb", 3802);
  EXPECT_TRUE(query(digested).contains(
      "sum(pg_catalog.hash_record_extended(ROW(jsonb_send((t.\"doc\"::jsonb))), " +
      std::string(kKeyHash) + "))"))
      << query(digested);
}

TEST(DigestSql, OfAnArrayItIsNoPartWhetherItHadNulls) {
  Digested digested = with_key("int8", 20);
  add(digested, "numbers", "_int4", 1007);
  digested.columns.back().send = "pg_catalog.array_send";
  EXPECT_TRUE(query(digested).contains(
      "ROW(pg_catalog.set_byte(pg_catalog.array_send((t.\"numbers\"::_int4)), 7, 0))"))
      << query(digested);
}

TEST(DigestSql, AKeyOfATypeWithoutAHashIsHashedAsARow) {
  EXPECT_TRUE(query(with_key("bytea", 17))
                  .contains("sum(pg_catalog.hash_record_extended(ROW((t.\"id\"::bytea)"));
  EXPECT_TRUE(query(with_key("numeric", 1700)).contains("sum(pg_catalog.hashtextextended("));
}

// Another value stands for NULL, so that it is no other value's hash only with its bit behind it.
TEST(DigestSql, WhichValuesAreNullIsHashedAfterThem) {
  Digested digested = with_key("int4", 23);
  for (int i = 0; i < 32; ++i) add(digested, ("n" + std::to_string(i)).c_str(), "int4", 23);
  DigestForm form{.seed = 7, .may_be_null = std::vector<bool>(33, true)};
  form.may_be_null[1] = false;
  const std::string sql = digest_query(digested.table, {}, digested.columns, form);
  EXPECT_TRUE(sql.contains("hashint4extended(COALESCE((t.\"n1\"::int4), '-70000'")) << sql;
  EXPECT_TRUE(sql.contains("(CASE WHEN (t.\"n1\"::int4) IS NULL THEN 1 ELSE 0 END)")) << sql;
  EXPECT_TRUE(sql.contains("(CASE WHEN (t.\"n30\"::int4) IS NULL THEN 536870912 ELSE 0 END)"))
      << sql;
  EXPECT_TRUE(sql.contains("(CASE WHEN (t.\"n31\"::int4) IS NULL THEN 1 ELSE 0 END),")) << sql;
  EXPECT_FALSE(sql.contains("(t.\"n0\"::int4) IS NULL") ||
               sql.contains("(t.\"id\"::int4) IS NULL"));
}

// Each is an argument of the next, and a server's stack is finite.
TEST(DigestSql, ManyColumnsAreNotNestedDeeper) {
  Digested digested = with_key("int4", 23);
  for (int i = 0; i < 200; ++i) add(digested, "n", "int4", 23);
  const std::string sql = query(digested);
  std::size_t calls = 0;
  for (std::size_t at = 0; (at = sql.find("hashint4extended", at)) != std::string::npos; ++at)
    ++calls;
  EXPECT_EQ(calls, 1U + 1U + 64U);  // The key stands in the chain and in what replaces it.
  EXPECT_TRUE(sql.contains("hash_record_extended(ROW((t.\"n\"::int4), "));
}

// The first and the last part are open where the range is; the others are gone through by the
// index.
TEST(DigestSql, EachPartHasItsSum) {
  const Digested digested = with_key("int8", 20);
  const std::string select = ", pg_catalog.count(*), pg_catalog.sum(" + std::string(kKeyHash) +
                             ") FROM ONLY \"public\".\"t\" t WHERE (t.\"id\") ";
  EXPECT_EQ(digest_query(digested.table, {{}, {"'9'"}}, digested.columns,
                         {.seed = 7, .bounds = {"a", "b", "c"}}),
            "SELECT 0" + select + "< ($1) UNION ALL SELECT 3" + select +
                ">= ($3) AND (t.\"id\") < ('9'::int8)"
                " UNION ALL SELECT d.* FROM (VALUES (1, $1, $2), (2, $2, $3)) p(part, l0, u0)"
                " CROSS JOIN LATERAL (SELECT p.part" +
                select + ">= (p.l0) AND (t.\"id\") < (p.u0) OFFSET 0) d");
}

}  // namespace
}  // namespace lockstep
