// judge_cast: which types may feed which.
#include <gtest/gtest.h>

#include <vector>

#include "pipeline/tables/table_cast.h"
#include "tests/unit/table_map_fixture.h"

namespace lockstep {
namespace {

struct CastCase {
  Type from;
  Type to;
  char expected;  // '=' identical, 'k' lossless also in keys, 'y' lossless, 'n' refused.
};

char verdict(const Type& from, const Type& to) {
  const CastVerdict v = judge_cast(from, to);
  if (v.kind == CastKind::Refused) {
    EXPECT_FALSE(v.reason.empty());
    return 'n';
  }
  if (v.kind == CastKind::Identical) return '=';
  return v.key_safe ? 'k' : 'y';
}

const Type kInt2 = type(Kind::Int2, "smallint");
const Type kFloat4 = type(Kind::Float4, "real");
const Type kFloat8 = type(Kind::Float8, "double precision");
const Type kJson = type(Kind::Json, "json");
const Type kJsonb = type(Kind::Jsonb, "jsonb");
const Type kBpchar = type(Kind::Bpchar, "character(5)", 9);
const Type kBpchar9 = type(Kind::Bpchar, "character(9)", 13);
const Type kUnlimited = type(Kind::Varchar, "varchar");
const Type kCitext = user_type(Kind::Citext, "public.citext");
const Type kCitext2 = user_type(Kind::Citext, "ext.citext", kUserOid + 7);
const Type kMood = user_type(Kind::Enum, "public.mood");
const Type kMood2 = user_type(Kind::Enum, "sales.mood");
const Type kDate = type(Kind::Date, "date");
const Type kTs = type(Kind::Timestamp, "timestamp");
const Type kTs3 = type(Kind::Timestamp, "timestamp(3)", 3);
const Type kTz = type(Kind::TimestampTz, "timestamptz");
const Type kUuid = type(Kind::Uuid, "uuid");
const Type kCidr = type(Kind::Cidr, "cidr");
const Type kInet = type(Kind::Inet, "inet");
const Type kMac = type(Kind::MacAddr, "macaddr");
const Type kMac8 = type(Kind::MacAddr8, "macaddr8");
const Type kBit8 = type(Kind::Bit, "bit(8)", 8);
const Type kVarbit4 = type(Kind::VarBit, "varbit(4)", 4);
const Type kVarbit8 = type(Kind::VarBit, "varbit(8)", 8);
const Type kPrice = domain_of(numeric(12, 4), "public.price");
const Type kBytea = type(Kind::Bytea, "bytea");

void expect(const std::vector<CastCase>& cases) {
  for (const CastCase& c : cases) {
    EXPECT_EQ(verdict(c.from, c.to), c.expected) << c.from.sql << " -> " << c.to.sql;
  }
}

TEST(Cast, OfNumbersLosesNothing) {
  expect({
      {kInt2, kInt4, 'k'},
      {kInt4, kInt8, 'k'},
      {kInt8, kInt4, 'n'},
      {kInt8, kNumeric, 'k'},
      {kInt4, numeric(10, 0), 'k'},
      {kInt4, numeric(9, 0), 'n'},
      {kInt8, numeric(21, 2), 'k'},
      {kInt4, numeric(12, -2), 'n'},
      {kInt2, kFloat4, 'k'},
      {kInt4, kFloat4, 'n'},
      {kInt4, kFloat8, 'k'},
      {kInt8, kFloat8, 'n'},
      {kFloat4, kFloat8, 'k'},
      {kFloat8, kFloat4, 'n'},
      {kFloat8, kNumeric, 'n'},
      {kNumeric, kFloat8, 'n'},
      {kNumeric, kInt8, 'n'},
      {numeric(10, 2), kNumeric, 'k'},
      {kNumeric, numeric(10, 2), 'n'},
      {numeric(10, 2), numeric(12, 4), 'k'},
      {numeric(10, 2), numeric(12, 5), 'n'},
      {numeric(10, 2), numeric(10, 2), '='},
      {type(Kind::Bool, "boolean"), kInt4, 'n'},
      {type(Kind::Oid, "oid"), kInt8, 'k'},
      {type(Kind::Oid, "oid"), kInt4, 'n'},
      {type(Kind::Money, "money"), kNumeric, 'n'},
  });
}

TEST(Cast, OfStringsLosesNothing) {
  expect({
      {kNumeric, kText, 'y'},
      {varchar(10), varchar(10), '='},
      {varchar(10), varchar(20), 'k'},
      {varchar(10), varchar(9), 'n'},
      {varchar(10), kText, 'k'},
      {kText, kUnlimited, 'k'},
      {kText, varchar(10), 'n'},
      {kUnlimited, varchar(10), 'n'},
      {kBpchar, kText, 'n'},
      {kBpchar, kBpchar9, 'n'},
      {kText, kBpchar, 'n'},
      {kCitext, kText, 'y'},
      {kText, kCitext, 'y'},
      {kCitext, kCitext2, '='},
      {kMood, kMood, '='},
      {kMood, kMood2, 'n'},
      {kMood, kText, 'k'},
      {kText, kMood, 'n'},
      {kUuid, kText, 'k'},
      {kText, kUuid, 'n'},
      {kInt4, kText, 'k'},
      {kInt4, varchar(20), 'n'},
      {kBytea, kText, 'n'},
      {kFloat8, kText, 'n'},
      {kTz, kText, 'n'},
      {kJson, kJsonb, 'n'},
      {kJsonb, kJson, 'y'},
      {kJson, kText, 'y'},
      {kJsonb, kText, 'y'},
      {type(Kind::Bool, "boolean"), kText, 'k'},
  });
}

TEST(Cast, OfTimesBitsAndAddressesLosesNothing) {
  expect({
      {kDate, kTs, 'k'},
      {kTs, kDate, 'n'},
      {kTs3, kTs, 'k'},
      {kTs, kTs3, 'n'},
      {kTs, kTz, 'n'},
      {kTz, kTs, 'n'},
      {kCidr, kInet, 'k'},
      {kInet, kCidr, 'n'},
      {kMac, kMac8, 'n'},
      {kBit8, kVarbit8, 'k'},
      {kBit8, kVarbit4, 'n'},
      {kVarbit4, kVarbit8, 'k'},
      {kVarbit8, kBit8, 'n'},
  });
}

TEST(Cast, OfContainersLosesNothing) {
  expect({
      {array_of(kCitext), array_of(kCitext2), '='},
      {array_of(kInt4), array_of(kInt8), 'k'},
      {array_of(kInt8), array_of(kInt4), 'n'},
      {array_of(kInt4), kText, 'n'},
      {kInt4, array_of(kInt4), 'n'},
      {array_of(kMood), array_of(kText), 'k'},
      {kPrice, kPrice, '='},
      {kPrice, numeric(12, 4), '='},
      {numeric(12, 4), kPrice, '='},
      {kPrice, kInt4, 'n'},
      {range_of(kInt4, "int4range"), range_of(kInt8, "int8range"), 'n'},
  });
}

// Issue E, rows 36 and 38: types of one name are compared by what they are made of, and those of
// one extension are the same in whichever schema it is.
TEST(Cast, OfOneNameComparesTheDefinitions) {
  const Type pair = composite_of({{"a", kInt4}, {"b", kText}});
  const Type cube = [](std::string sql) {
    Type t = user_type(Kind::Other, sql);
    t.identity = t.base_identity = "extension cube: cube";
    return t;
  }("public.cube");
  Type moved = cube;
  moved.sql = moved.base_sql = "extensions.cube";
  expect({
      {pair, pair, '='},
      {pair, composite_of({{"b", kInt4}, {"a", kText}}), 'n'},
      {pair, composite_of({{"a", kText}, {"b", kInt4}}), 'n'},
      {pair, composite_of({{"a", kInt4}}), 'n'},
      {composite_of({{"a", kInt4}}), pair, 'n'},
      {pair, composite_of({{"a", kInt8}, {"b", kText}}), 'n'},
      {composite_of({{"c", array_of(pair)}}),
       composite_of({{"c", array_of(composite_of({{"b", kText}, {"a", kInt4}}))}}), 'n'},
      {range_of(kInt8, "public.span"), range_of(kTs, "public.span"), 'n'},
      {enum_of({"a", "b"}), enum_of({"b", "x", "a"}), '='},
      {enum_of({"a", "b"}), enum_of({"a"}), 'n'},
      {array_of(enum_of({"a", "b"})), array_of(enum_of({"a"})), 'n'},
      {cube, moved, '='},
      {array_of(cube), array_of(moved), '='},
      {composite_of({{"c", cube}}), composite_of({{"c", moved}}), '='},
  });
}

TEST(Cast, TheHintFitsTheChange) {
  EXPECT_EQ(judge_cast(enum_of({"a", "new"}), enum_of({"a", "old"})).hint,
            "ALTER TYPE public.mood RENAME VALUE 'old' TO 'new'; as its owner on the target");
  EXPECT_EQ(judge_cast(enum_of({"a", "new"}), enum_of({"a"})).hint,
            "ALTER TYPE public.mood ADD VALUE 'new'; as its owner on the target");
  const Type pair = composite_of({{"a", kInt4}, {"b", kText}});
  EXPECT_EQ(
      judge_cast(pair, composite_of({{"b", kText}, {"a", kInt4}})).reason,
      "attribute 1 of public.pair is \"a\" integer on the source and \"b\" text on the target");
}

}  // namespace
}  // namespace lockstep
