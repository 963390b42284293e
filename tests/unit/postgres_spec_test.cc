// Types and keys from catalog rows, and what drift of a table is called.
#include <gtest/gtest.h>

#include "connectors/postgres/wire/spec.h"

namespace lockstep {
namespace {

constexpr std::uint32_t kInt4 = 23;
constexpr std::uint32_t kNumericOid = 1700;
constexpr std::uint32_t kNumericArray = 1231;
constexpr std::uint32_t kUser = 20000;

TypeCatalog builtin_types() {
  TypeCatalog types;
  types.add({.oid = kInt4,
             .sql = "integer",
             .extension = "",
             .schema = "",
             .name = "int4",
             .base_sql = ""});
  types.add({.oid = kNumericOid,
             .sql = "numeric",
             .extension = "",
             .schema = "",
             .name = "numeric",
             .base_sql = ""});
  types.add({.oid = kNumericArray,
             .sql = "numeric[]",
             .extension = "",
             .schema = "",
             .name = "_numeric",
             .base_sql = "",
             .element = kNumericOid});
  return types;
}

Column column(const char* name, std::int16_t attnum) {
  Column made;
  made.name = name;
  made.attnum = attnum;
  made.not_null = true;
  made.type.base_oid = kInt4;
  made.type.sql = "integer";
  return made;
}

TableSpec table_of_three() {
  TableSpec spec;
  // Attnum 2 was dropped once.
  spec.columns = {column("a", 1), column("b", 3), column("c", 4)};
  return spec;
}

CatalogIndex unique_index(const char* name, std::vector<std::int16_t> attnums) {
  CatalogIndex index;
  index.name = name;
  index.attnums = std::move(attnums);
  index.unique = true;
  return index;
}

TableSpec keyed(const std::vector<CatalogIndex>& indexes) {
  TableSpec spec = table_of_three();
  choose_key(spec, indexes);
  return spec;
}

TEST(PostgresTypes, ElementOfAnArrayHasTheColumnsTypmod) {
  const Type type = builtin_types().resolve(kNumericArray, 655366, "numeric(10,2)[]");
  ASSERT_EQ(type.kind, TypeKind::Array);
  EXPECT_EQ(type.inner[0].sql, "numeric(10,2)");
  EXPECT_EQ(type.inner[0].typmod, 655366);
}

TEST(PostgresTypes, DomainOverADomainEndsAtTheLowestType) {
  TypeCatalog types = builtin_types();
  types.add({.oid = kUser,
             .sql = "s.low",
             .extension = "",
             .schema = "",
             .name = "low",
             .type = 'd',
             .base = kNumericOid,
             .base_typmod = 655366,
             .base_sql = "numeric(10,2)"});
  types.add({.oid = kUser + 1,
             .sql = "s.high",
             .extension = "",
             .schema = "",
             .name = "high",
             .type = 'd',
             .base = kUser,
             .base_typmod = -1,
             .base_sql = "s.low"});
  const Type type = types.resolve(kUser + 1, -1, "s.high");
  EXPECT_EQ(type.kind, TypeKind::Numeric);
  EXPECT_EQ(type.oid, kUser + 1);
  EXPECT_EQ(type.base_oid, kNumericOid);
  EXPECT_EQ(type.base_sql, "numeric(10,2)");
  EXPECT_EQ(type.typmod, 655366);
}

TEST(PostgresTypes, OnlyTheExtensionsCitextIsCitext) {
  TypeCatalog types;
  types.add({.oid = kUser,
             .sql = "s.citext",
             .extension = "",
             .schema = "",
             .name = "citext",
             .base_sql = ""});
  types.add({.oid = kUser + 1,
             .sql = "public.citext",
             .extension = "citext",
             .schema = "",
             .name = "citext",
             .base_sql = ""});
  EXPECT_EQ(types.resolve(kUser, -1, "s.citext").kind, TypeKind::Other);
  EXPECT_EQ(types.resolve(kUser + 1, -1, "public.citext").kind, TypeKind::Citext);
}

// Issue E, rows 1 and 15.
TEST(PostgresTypes, CompositeKnowsItsAttributesAndWhatFoldsThem) {
  TypeCatalog types;
  types.set_ctype("C");
  types.add(
      {.oid = 23, .sql = "integer", .extension = "", .schema = "", .name = "int4", .base_sql = ""});
  types.add({.oid = kUser,
             .sql = "s.pair",
             .extension = "",
             .schema = "",
             .name = "pair",
             .type = 'c',
             .base_sql = ""});
  types.add({.oid = kUser + 1,
             .sql = "s.citext",
             .extension = "citext",
             .schema = "",
             .name = "citext",
             .base_sql = ""});
  types.add_attribute(kUser, {.member = {1, "n"}, .type = 23, .sql = "integer", .folding = ""});
  types.add_attribute(kUser,
                      {.member = {2, "c"}, .type = kUser + 1, .sql = "s.citext", .folding = ""});
  const Type pair = types.resolve(kUser, -1, "s.pair");
  EXPECT_EQ(pair.kind, TypeKind::Composite);
  EXPECT_EQ(pair.members, (std::vector<Member>{{1, "n"}, {2, "c"}}));
  EXPECT_EQ(pair.inner[0].kind, TypeKind::Int4);
  EXPECT_EQ(pair.folding, "citext under C");
}

TEST(PostgresTypes, ArrayOfATypeWithoutBinaryHasNone) {
  TypeCatalog types;
  types.add({.oid = 1033,
             .sql = "aclitem",
             .extension = "",
             .schema = "",
             .name = "aclitem",
             .sendable = false,
             .base_sql = ""});
  types.add({.oid = 1034,
             .sql = "aclitem[]",
             .extension = "",
             .schema = "",
             .name = "_aclitem",
             .base_sql = "",
             .element = 1033});
  EXPECT_FALSE(types.resolve(1034, -1, "aclitem[]").has_binary);
  EXPECT_FALSE(types.resolve(kUser, -1, "s.unknown").has_binary);
}

TEST(PostgresKey, PrimaryKeyIsTakenInItsOwnOrder) {
  CatalogIndex primary = unique_index("t_pkey", {4, 1});
  primary.primary = true;
  const TableSpec spec = keyed({unique_index("t_b", {3}), primary});
  EXPECT_EQ(spec.key, (std::vector<std::size_t>{2, 0}));
  EXPECT_TRUE(spec.key_is_primary);
  EXPECT_TRUE(spec.secondary_unique);
}

TEST(PostgresKey, OnlyCandidateServesWithoutAPrimaryKey) {
  const TableSpec spec = keyed({unique_index("t_b", {3})});
  EXPECT_EQ(spec.key_index, "t_b");
  EXPECT_FALSE(spec.key_is_primary);
  EXPECT_FALSE(spec.secondary_unique);
}

TEST(PostgresKey, OfSeveralTheReplicaIdentityServes) {
  CatalogIndex identity = unique_index("t_c", {4});
  EXPECT_TRUE(keyed({unique_index("t_b", {3}), identity}).key.empty());
  identity.replica_identity = true;
  EXPECT_EQ(keyed({unique_index("t_b", {3}), identity}).key_index, "t_c");
}

TEST(PostgresKey, RefusesWhatDoesNotNameEachRow) {
  TableSpec nullable = table_of_three();
  nullable.columns[1].not_null = false;
  choose_key(nullable, {unique_index("t_b", {3})});
  EXPECT_TRUE(nullable.key.empty());
  CatalogIndex deferrable = unique_index("t_b", {3});
  deferrable.immediate = false;
  EXPECT_TRUE(keyed({deferrable}).key.empty());
  CatalogIndex partial = unique_index("t_b", {3});
  partial.whole = false;
  EXPECT_TRUE(keyed({partial}).key.empty());
  EXPECT_TRUE(keyed({partial}).secondary_unique);
  CatalogIndex of_a_leaf = unique_index("t_b", {3});
  of_a_leaf.own = false;
  EXPECT_TRUE(keyed({of_a_leaf}).key.empty());
}

TEST(PostgresKey, DeferrablePrimaryKeyIsSaid) {
  CatalogIndex primary = unique_index("t_pkey", {1});
  primary.primary = true;
  primary.immediate = false;
  EXPECT_TRUE(keyed({primary}).key_deferrable);
  // Its values may be taken twice for a while: any other key is better.
  EXPECT_EQ(keyed({primary, unique_index("t_b", {3})}).key_index, "t_b");
}

// Issue E, row 39: REINDEX CONCURRENTLY makes such an index for a while, and it orders no rows.
TEST(PostgresKey, AnIndexThatHoldsTheKeyKeepsNoOtherKeysApart) {
  CatalogIndex primary = unique_index("t_pkey", {1});
  primary.primary = true;
  EXPECT_FALSE(keyed({primary, unique_index("t_pkey_ccnew", {1})}).secondary_unique);
  EXPECT_FALSE(keyed({primary, unique_index("t_a_b", {3, 1})}).secondary_unique);
  CatalogIndex partial = unique_index("t_part", {1});
  partial.whole = false;
  EXPECT_TRUE(keyed({primary, partial}).secondary_unique);
  CatalogIndex of_a_leaf = unique_index("leaf", {1});
  of_a_leaf.own = false;
  EXPECT_TRUE(keyed({primary, of_a_leaf}).secondary_unique);
  CatalogIndex exclusion = unique_index("t_excl", {1});
  exclusion.unique = false;
  EXPECT_TRUE(keyed({primary, exclusion}).secondary_unique);
}

// Issue E, row 10: the identity's columns are the key, also beside a primary key.
TEST(PostgresKey, ReplicaIdentityGoesBeforeThePrimaryKey) {
  CatalogIndex primary = unique_index("t_pkey", {1});
  primary.primary = true;
  CatalogIndex identity = unique_index("t_b", {3});
  identity.replica_identity = true;
  const TableSpec spec = keyed({primary, identity});
  EXPECT_EQ(spec.key_index, "t_b");
  EXPECT_TRUE(spec.secondary_unique);
  EXPECT_EQ(spec.keys.size(), 2U);
}

std::optional<std::string> drift(const std::vector<ColumnShape>& current) {
  return column_drift(table_of_three(), current);
}

TEST(PostgresDrift, NamesTheColumn) {
  const ColumnShape a{"a", 1, kInt4, -1};
  const ColumnShape b{"b", 3, kInt4, -1};
  const ColumnShape c{"c", 4, kInt4, -1};
  EXPECT_EQ(drift({a, b, c}), std::nullopt);
  EXPECT_EQ(drift({a, c}), "column \"b\" was dropped");
  EXPECT_EQ(drift({a, b, c, {"d", 5, kInt4, -1}}), "column \"d\" was added");
  EXPECT_EQ(drift({a, {"x", 3, kInt4, -1}, c}), "column \"b\" was renamed to \"x\"");
  EXPECT_EQ(drift({a, {"b", 3, 20, -1}, c}), "column \"b\" has another type now, not integer");
}

TEST(PostgresDrift, SeesAColumnDroppedAndAddedAgain) {
  EXPECT_EQ(drift({{"a", 1, kInt4, -1}, {"c", 4, kInt4, -1}, {"b", 5, kInt4, -1}}),
            "column \"b\" was dropped");
}

}  // namespace
}  // namespace lockstep
