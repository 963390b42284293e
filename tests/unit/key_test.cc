// Keys: what counts as one key, how it is taken from a row, and where its hash comes from.
#include "pipeline/model/key.h"

#include <gtest/gtest.h>

#include "tests/unit/decode_fixture.h"

namespace lockstep {
namespace {

TableMap keyed_by(CanonicalRule rule) {
  TableMap table = table_of({column_of("k", type_of(TypeKind::Other))}, 1);
  table.canonical = {rule};
  return table;
}

// Whether two values (hex) are one key.
bool one_key(CanonicalRule rule, const std::string& a, const std::string& b) {
  const TableMap table = keyed_by(rule);
  return key_hash(table, row_of({a})) == key_hash(table, row_of({b}));
}

TEST(Key, BytesDecideByDefault) {
  EXPECT_TRUE(one_key(CanonicalRule::Bytes, "00", "00"));
  EXPECT_FALSE(one_key(CanonicalRule::Bytes, "6120", "61"));
  EXPECT_FALSE(one_key(CanonicalRule::Opaque, "61", "41"));
}

TEST(Key, NumericsOfAnyScaleAreOne) {
  const std::string one =
      "0001000000000000"
      "0001";
  const std::string one_point_zero =
      "0001000000000001"
      "0001";
  const std::string one_with_zero_groups =
      "0003000100000004"
      "000000010000";
  EXPECT_TRUE(one_key(CanonicalRule::Numeric, one, one_point_zero));
  EXPECT_TRUE(one_key(CanonicalRule::Numeric, one, one_with_zero_groups));
  EXPECT_FALSE(one_key(CanonicalRule::Numeric, one,
                       "0001000040000000"
                       "0001"));
  EXPECT_FALSE(one_key(CanonicalRule::Numeric, one,
                       "0001000100000000"
                       "0001"));
}

TEST(Key, NumericZerosAndSpecials) {
  EXPECT_TRUE(one_key(CanonicalRule::Numeric, "0000000000000000", "0000000000000002"));
  EXPECT_FALSE(one_key(CanonicalRule::Numeric, "00000000c0000000", "0000000000000000"));
  EXPECT_FALSE(one_key(CanonicalRule::Numeric, "00000000d0000020", "00000000f0000020"));
}

TEST(Key, FloatsHaveOneZeroAndOneNan) {
  EXPECT_TRUE(one_key(CanonicalRule::Float, "00000000", "80000000"));
  EXPECT_TRUE(one_key(CanonicalRule::Float, "0000000000000000", "8000000000000000"));
  EXPECT_TRUE(one_key(CanonicalRule::Float, "7ff8000000000000", "fff8000000000001"));
  EXPECT_TRUE(one_key(CanonicalRule::Float, "7fc00000", "ffc00001"));
  EXPECT_FALSE(one_key(CanonicalRule::Float, "3ff0000000000000", "bff0000000000000"));
}

TEST(Key, TextRules) {
  EXPECT_TRUE(one_key(CanonicalRule::TrimBlanks, "6120", "61"));
  EXPECT_FALSE(one_key(CanonicalRule::TrimBlanks, "6109", "61"));
  EXPECT_TRUE(one_key(CanonicalRule::FoldAscii, "416263", "616243"));
  EXPECT_FALSE(one_key(CanonicalRule::FoldAscii, "c389", "c3a9"));
}

TEST(Key, CellBoundariesCount) {
  TableMap table = keyed_by(CanonicalRule::TrimBlanks);
  table.canonical.push_back(CanonicalRule::TrimBlanks);
  EXPECT_NE(key_hash(table, row_of({"61", "6262"})), key_hash(table, row_of({"6162", "62"})));
}

TEST(Key, HashDependsOnTheNameNotTheId) {
  TableMap table = keyed_by(CanonicalRule::Bytes);
  const Hash128 before = key_hash(table, row_of({"01"}));
  table.id = 99;
  EXPECT_EQ(key_hash(table, row_of({"01"})), before);
  table.source.name.table = "u";
  EXPECT_NE(key_hash(table, row_of({"01"})), before);
}

TEST(Key, IsTakenInKeyOrder) {
  TableMap table = table_of({column_of("a", {}), column_of("b", {}), column_of("c", {})}, 0);
  table.key = {2, 0};
  std::string key = "left over";
  ASSERT_TRUE(extract_key(table, row_of({"aa", "bb", "cc"}), key));
  EXPECT_EQ(key, row_of({"cc", "aa"}));
}

TEST(Key, NeedsItsValues) {
  const TableMap table = table_of({column_of("a", {}), column_of("b", {})}, 2);
  std::string row = row_of({"aa"});
  std::string key;
  append_unavailable(row);
  EXPECT_FALSE(extract_key(table, row, key));
}

TEST(Key, SeveralPartitionsNeedAByteForByteKey) {
  EXPECT_TRUE(wire_equals_canonical(keyed_by(CanonicalRule::Bytes)));
  for (const CanonicalRule rule :
       {CanonicalRule::Numeric, CanonicalRule::Float, CanonicalRule::TrimBlanks,
        CanonicalRule::FoldAscii, CanonicalRule::Opaque}) {
    EXPECT_FALSE(wire_equals_canonical(keyed_by(rule)));
  }
}

}  // namespace
}  // namespace lockstep
