// Values with parts (arrays, ranges, hstore, point), and what depends on the column: placeholders,
// and NULLs that are not to be believed.  The expected bytes were printed by PostgreSQL 15.
#include <gtest/gtest.h>

#include "pipeline/decode/bytes.h"
#include "tests/unit/value_fixture.h"

namespace lockstep {
namespace {

using enum TypeKind;

TEST(ValueColumn, Point) {
  EXPECT_EQ(cell(Point, R"({"x":1.5,"y":-2.0,"wkb":"AQ==","srid":null})"),
            "3ff8000000000000c000000000000000");
  EXPECT_EQ(cell(Point, R"({"y":"NaN","x":-0.0})"), "80000000000000007ff8000000000000");
  EXPECT_EQ(cell(Point, R"({"x":1.5})"), "unreadable");
  EXPECT_EQ(cell(Point, "\"(1,2)\""), "unreadable");
}

TEST(ValueColumn, HstoreFromStringAndMap) {
  const std::string expected =
      "00000003000000016b0000000176000000016effffffff00000006737020616365000000067122756f7465";
  EXPECT_EQ(cell(Hstore, R"({"sp ace":"q\"uote","k":"v","n":null})"), expected);
  EXPECT_EQ(cell(Hstore, R"("{\"sp ace\":\"q\\\"uote\",\"k\":\"v\",\"n\":null}")"), expected);
  EXPECT_EQ(cell(Hstore, "{}"), "00000000");
  EXPECT_EQ(cell(Hstore, "\"\""), "unreadable");
  EXPECT_EQ(cell(Hstore, R"({"a":1})"), "unreadable");
}

TEST(ValueColumn, Ltree) { EXPECT_EQ(cell(Ltree, "\"Top.Sci\""), "01546f702e536369"); }

TEST(ValueColumn, Ranges) {
  EXPECT_EQ(cell(range_of(Int4), "\"[1,10)\""), "020000000400000001000000040000000a");
  EXPECT_EQ(cell(range_of(Int4), "\"empty\""), "01");
  EXPECT_EQ(cell(range_of(Int8), "\"(,)\""), "18");
  EXPECT_EQ(cell(range_of(Numeric), "\"[1.5,)\""), "120000000c000200000000000100011388");
  EXPECT_EQ(cell(range_of(Date), "\"(,infinity)\""), "08000000047fffffff");
  EXPECT_EQ(cell(range_of(Timestamp), R"("[\"0044-03-15 12:00:00.5 BC\",]")"),
            "1200000008ff1af9e8fb4e7120");
  EXPECT_EQ(cell(range_of(TimestampTz), R"("[\"2024-01-01 00:00:00+02\",infinity]")"),
            "06000000080002b0d427c1f800000000087fffffffffffffff");
}

TEST(ValueColumn, RangesThatAreNone) {
  for (const char* json :
       {"\"\"", "\"[1,10\"", "\"1,10)\"", "\"[1)\"", "\"[a,b)\"", "\"[1,2)x\""}) {
    EXPECT_EQ(cell(range_of(Int4), json), "unreadable") << json;
  }
  EXPECT_EQ(cell(range_of(Text), "\"[a,b)\""), "doubtful");
}

TEST(ValueColumn, Arrays) {
  EXPECT_EQ(cell(array_of(Int4, 23), "[1,-3]"),
            "0000000100000000000000170000000200000001000000040000000100000004fffffffd");
  EXPECT_EQ(cell(array_of(Int4, 23), "[]"), "000000000000000000000017");
  EXPECT_EQ(cell(array_of(Text, 25), R"(["a",""])"),
            "0000000100000000000000190000000200000001000000016100000000");
  EXPECT_EQ(cell(array_of(Int4, 23), "[1,\"a\"]"), "unreadable");
  EXPECT_EQ(cell(array_of(Int4, 23), "\"x\""), "unreadable");
}

TEST(ValueColumn, ArraysWithNullMayHaveBeenNested) {
  EXPECT_EQ(cell(array_of(Int4, 23), "[1,null]"), "doubtful");
  EXPECT_EQ(cell(array_of(Int4, 23), "[[1],[2]]"), "doubtful");
}

TEST(ValueColumn, ArraysThatTheWireDoesNotCarry) {
  EXPECT_EQ(cell(array_of(Ltree), "[\"\"]"), "doubtful");
  EXPECT_EQ(cell(array_of(Name), "[\"YQ==\"]"), "doubtful");
  Type domains = array_of(Numeric, 16400);
  domains.inner[0].base_oid = 1700;
  EXPECT_EQ(cell(domains, "[\"1.5\"]"), "doubtful");
}

TEST(ValueColumn, ArraysOfDatesOnlyWithinJavasCalendar) {
  EXPECT_EQ(cell(array_of(Date, 1082), "[19723]"),
            "00000001000000000000043a0000000100000001000000040000223e");
  EXPECT_EQ(cell(array_of(Date, 1082), "[-735160]"), "doubtful");
  EXPECT_EQ(cell(array_of(Date, 1082), "[-2147472692]"), "doubtful");
  Given local{.type = array_of(TimestampTz, 1184)};
  local.settings.connect_runs_in_utc = false;
  EXPECT_EQ(cell(local, "[\"2024-02-29T11:14:15.123456Z\"]"), "doubtful");
}

TEST(ValueColumn, ArraysWhoseBoundsMatterAreReadAgain) {
  EXPECT_EQ(cell({.type = array_of(Int4, 23), .reread_arrays = true}, "[1]"), "doubtful");
  EXPECT_EQ(cell({.type = array_of(Int4, 23), .reread_arrays = true}, "null"), "null");
}

TEST(ValueColumn, TextArraysAreQuotedAsPostgresqlDoes) {
  const Given enums{.type = array_of(Enum, 16390), .plane = Plane::Text};
  EXPECT_EQ(cell(enums, R"(["a","b \"q\"","c,d","","\\"," x","NULL","null","{}","é"])"),
            to_hex(R"({a,"b \"q\"","c,d","","\\"," x","NULL","null","{}",é})"));
  EXPECT_EQ(cell(enums, "[]"), to_hex("{}"));
  EXPECT_EQ(cell(enums, "[null]"), "doubtful");
}

Given toasted(const Type& type, bool own_placeholder = true) {
  Given setup{.type = type, .toastable = true};
  setup.settings.placeholder = own_placeholder ? "ph7x" : "__debezium_unavailable_value";
  setup.settings.placeholder_is_default = !own_placeholder;
  return setup;
}

TEST(ValueColumn, PlaceholderInEveryRepresentation) {
  for (const TypeKind kind : {Text, Varchar, Bpchar, Json, Jsonb, Citext}) {
    EXPECT_EQ(cell(toasted(type_of(kind)), "\"ph7x\""), "unavailable");
  }
  EXPECT_EQ(cell(toasted(type_of(Bytea)), quoted_text(to_base64("ph7x"))), "unavailable");
  EXPECT_EQ(cell(toasted(type_of(Bytea)), "\"ph7x\""), "unavailable");
  EXPECT_EQ(cell(toasted(range_of(Numeric)), "\"ph7x\""), "unavailable");
  EXPECT_EQ(cell(toasted(array_of(Text, 25)), "[\"ph7x\"]"), "unavailable");
  EXPECT_EQ(cell(toasted(array_of(Jsonb)), "[\"ph7x\"]"), "unavailable");
  EXPECT_EQ(cell(toasted(array_of(Bytea)), "[\"cGg3eA==\"]"), "unavailable");
  EXPECT_EQ(cell(toasted(array_of(Int4, 23)), "[112,104,55,120]"), "unavailable");
  EXPECT_EQ(cell(toasted(array_of(Int8, 20)), "[112,104,55,120]"), "unavailable");
  EXPECT_EQ(cell(toasted(array_of(Date, 1082)), "[112,104,55,120]"), "unavailable");
  EXPECT_EQ(cell(toasted(type_of(Hstore)), R"({"ph7x":"ph7x"})"), "unavailable");
  EXPECT_EQ(cell(toasted(type_of(Hstore)), R"("{\"ph7x\":\"ph7x\"}")"), "unavailable");
  EXPECT_EQ(cell(toasted(array_of(Uuid)), "[\"a0eebc99-9c0b-3ef8-bb6d-6bb9bd380a11\"]"),
            "doubtful");
}

TEST(ValueColumn, WhatIsNotThePlaceholder) {
  EXPECT_EQ(cell(toasted(type_of(Text)), "\"ph7x \""), to_hex("ph7x "));
  EXPECT_EQ(cell(toasted(array_of(Text, 25)), "[\"ph7x\",\"ph7x\"]").substr(0, 8), "00000001");
  EXPECT_EQ(cell(toasted(array_of(Uuid)), "[\"a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11\"]").size(),
            80U);
  Given never_toasted = toasted(type_of(Text));
  never_toasted.toastable = false;
  EXPECT_EQ(cell(never_toasted, "\"ph7x\""), to_hex("ph7x"));
}

TEST(ValueColumn, TheDefaultPlaceholderMayBeUserData) {
  EXPECT_EQ(cell(toasted(type_of(Text), false), "\"__debezium_unavailable_value\""), "doubtful");
}

TEST(ValueColumn, NullIsNotBelievedWhereItMayStandForSomethingElse) {
  EXPECT_EQ(cell({.type = type_of(Text), .not_null = true}, "null"), "doubtful");
  Given warn = toasted(array_of(Float8));
  EXPECT_EQ(cell(warn, "null"), "null");
  warn.settings.failure_mode_warn = true;
  EXPECT_EQ(cell(warn, "null"), "doubtful");
  warn.type = type_of(Numeric);
  EXPECT_EQ(cell(warn, "null"), "doubtful");
  warn.type = type_of(Text);
  EXPECT_EQ(cell(warn, "null"), "null");
}

// Under `warn` the empty varbit(1) and every bit[] arrived as NULL and were taken for it.
TEST(ValueColumn, NullIsNotBelievedWhereAConversionFails) {
  for (const Type& type : {type_of(VarBit, 1562, 1), array_of(Bit)}) {
    Given given{.type = type};
    EXPECT_EQ(cell(given, "null"), "null");
    given.settings.failure_mode_warn = true;
    EXPECT_EQ(cell(given, "null"), "doubtful");
  }
}

// Elements came as 13:14:15.123 for 13:14:15.123456, and as 00:00 for 24:00.
TEST(ValueColumn, ArraysOfTimesAreReadAgain) {
  EXPECT_EQ(cell(array_of(Time, 1083), "[47655123000]"), "doubtful");
}

// replace.null.with.default=true, the converters' default, made NULL a 7 in the captures.
TEST(ValueColumn, ADefaultMayStandForNull) {
  Given given{.type = type_of(Int4), .has_default = true};
  EXPECT_EQ(cell(given, "7"), "00000007");
  given.settings.null_becomes_default = true;
  EXPECT_EQ(cell(given, "7"), "doubtful");
  given.not_null = true;
  EXPECT_EQ(cell(given, "7"), "00000007");
}

}  // namespace
}  // namespace lockstep
