// Compared: which rows count as equal, by their bytes or by `compare: value`.
#include "pipeline/tables/compared.h"

#include <gtest/gtest.h>

#include "tests/unit/decode_fixture.h"
#include "tests/unit/table_map_fixture.h"

namespace lockstep {
namespace {

constexpr const char* kKey = "00000001";

// Whether rows with these values (hex) of a column of that type are equal.
bool equal(const Column& column, bool by_value, const std::string& a, const std::string& b) {
  const auto spec = table("t", {lockstep::column("id", type(Kind::Int4, "integer")), column});
  TableRule rule;
  if (by_value) rule.compare_value = {column.name};
  const auto outcome = plan_table(spec, spec, rule, {StreamKind::Direct});
  if (!outcome.map) {
    ADD_FAILURE() << outcome.problems.front().text;
    return false;
  }
  const Compared compared(*outcome.map, 7);
  Compared::Scratch scratch;
  RowDigest left;
  RowDigest right;
  EXPECT_TRUE(compared.digest(Compared::From::Source, row_of({kKey, a}), left, scratch));
  EXPECT_TRUE(compared.digest(Compared::From::Target, row_of({kKey, b}), right, scratch));
  const std::string one = from_hex(a);
  const std::string other = from_hex(b);
  EXPECT_EQ(left == right,
            same_value(*outcome.map, 1, {Presence::Value, one}, {Presence::Value, other}));
  return left == right;
}

void expect_relaxed(const Type& type, const std::string& a, const std::string& b) {
  const Column v = column("v", type);
  EXPECT_FALSE(equal(v, false, a, b)) << type.sql;
  EXPECT_TRUE(equal(v, true, a, b)) << type.sql;
}

const Type kNumeric = type(Kind::Numeric, "numeric");
const Type kInterval = type(Kind::Interval, "interval");

TEST(Compared, ValuesThatAreEqualAreSoWhereTheManifestSaysSo) {
  expect_relaxed(kNumeric, "00010000000000020001", "00010000000000010001");
  expect_relaxed(type(Kind::Float8, "double precision"), "0000000000000000", "8000000000000000");
  // 30 days and 1 month; 1 day -1 hour and 23 hours.
  expect_relaxed(kInterval, "00000000000000000000001e00000000", "00000000000000000000000000000001");
  expect_relaxed(kInterval, "ffffffff296c5c000000000100000000", "000000134743bc000000000000000000");
  EXPECT_FALSE(equal(column("v", kInterval), true, "00000000000000010000001e00000000",
                     "00000000000000000000000000000001"));
  // What is equal only by its bytes.
  EXPECT_FALSE(equal(column("v", type(Kind::Text, "text")), true, "61", "41"));
}

TEST(Compared, ElementsOfArraysToo) {
  const std::string header = "000000010000000100000064";
  const std::string bounds = "0000000200000001";
  const std::string null = "ffffffff";
  const std::string one = "0000000a00010000000000020001";
  const std::string same = "0000000a00010000000000000001";
  const std::string two = "0000000a00010000000000000002";
  expect_relaxed(array_of(kNumeric), header + bounds + null + one, header + bounds + null + same);
  const Column v = column("v", array_of(kNumeric));
  EXPECT_FALSE(equal(v, true, header + bounds + null + one, header + bounds + null + two));
  EXPECT_FALSE(equal(v, true, header + bounds + null + one, header + bounds + one + null));
  EXPECT_FALSE(equal(v, true, header + bounds + one + one, header + "0000000200000000" + one + one))
      << "lower bounds count";
}

const Type kInt = type(Kind::Int4, "integer");

Type xml() {
  Type t = type(Kind::Other, "xml");
  t.oid = t.base_oid = 142;
  return t;
}

// A slice of an array that had NULLs keeps the note of that, and another server makes it anew.
TEST(Compared, WhetherAnArrayHadNullsIsNoPartOfIt) {
  const std::string sliced = "000000010000000100000017";
  const std::string plain = "000000010000000000000017";
  const std::string one = "00000001000000010000000400000001";
  const std::string null = "0000000100000001ffffffff";
  const Column v = column("v", array_of(kInt));
  EXPECT_TRUE(equal(v, false, sliced + one, plain + one));
  EXPECT_FALSE(equal(v, false, sliced + null, plain + one));
  EXPECT_TRUE(equal(v, false, "000000000000000100000017", "000000000000000000000017"));
  EXPECT_FALSE(equal(v, false, sliced + "00000001000000010000000400000002", plain + one));
  EXPECT_FALSE(equal(v, false, "00", "01")) << "no array";
  EXPECT_FALSE(equal(v, false, sliced + one + "00", plain + one)) << "no array, either";
  // The same inside of other values.
  const auto in_pair = [&](const std::string& array) {
    return "00000002"
           "000000b5"
           "0000001c" +
           array +
           "00000065"
           "ffffffff";
  };
  const Column pair = column("v", composite_of({array_of(kInt), kInt}, "public.pair"));
  EXPECT_TRUE(equal(pair, false, in_pair(sliced + one), in_pair(plain + one)));
  const Column ranges = column("v", range_of(array_of(kInt), "arrays"));
  EXPECT_TRUE(equal(ranges, false,
                    "12"
                    "0000001c" +
                        sliced + one,
                    "12"
                    "0000001c" +
                        plain + one));
  // Together with `compare: value`.
  const std::string number = "00000001000000010000000a00010000000000020001";
  const std::string same = "00000001000000010000000a00010000000000000001";
  EXPECT_TRUE(equal(column("v", array_of(kNumeric)), true, sliced + number, plain + same));
}

// Each server leaves out one newline when it sends the value.
TEST(Compared, NewlinesBeforeXmlAreNoPartOfIt) {
  const Column v = column("v", xml());
  EXPECT_TRUE(equal(v, false, "0a0a3c612f3e", "3c612f3e"));
  EXPECT_TRUE(equal(v, false, "0a", ""));
  EXPECT_FALSE(equal(v, false, "203c612f3e", "3c612f3e"));
  EXPECT_FALSE(equal(v, false, "3c612f3e0a", "3c612f3e"));
  const std::string header = "00000001000000000000008e0000000100000001";
  EXPECT_TRUE(equal(column("v", array_of(xml())), false, header + "000000050a3c612f3e",
                    header + "000000043c612f3e"));
  EXPECT_FALSE(equal(column("v", type(Kind::Text, "text")), false, "0a61", "61"));
}

TEST(Compared, ByValueIsRefusedWhereOnlyPostgresKnows) {
  for (const Type& each : {type(Kind::Jsonb, "jsonb"), user_type(Kind::Citext, "public.citext")}) {
    const auto spec = table("t", {column("id", type(Kind::Int4, "integer")), column("v", each)});
    TableRule rule;
    rule.compare_value = {"v"};
    const auto outcome = plan_table(spec, spec, rule, {StreamKind::Direct});
    ASSERT_FALSE(outcome.map);
    EXPECT_NE(outcome.problems.front().text.find("known to PostgreSQL only"), std::string::npos);
  }
}

}  // namespace
}  // namespace lockstep
