// Issue D, part 10: keys as an operator writes them for `explain-row`.
#include "daemon/row_key.h"

#include <gmock/gmock.h>

namespace lockstep {
namespace {

using testing::HasSubstr;
using Columns = std::vector<std::string>;
using Values = std::vector<std::string>;

Values values(const Columns& columns, const std::string& text) {
  const auto parsed = parse_row_key(columns, text);
  return parsed ? *parsed : Values{"error: " + parsed.error().message};
}

std::string refusal(const Columns& columns, const std::string& text) {
  const auto parsed = parse_row_key(columns, text);
  if (parsed) return "";
  EXPECT_EQ(parsed.error().exit, ExitCode::Usage);
  return parsed.error().message;
}

TEST(RowKey, OfOneColumnIsItsValue) {
  EXPECT_EQ(values({"id"}, "17"), Values{"17"});
  EXPECT_EQ(values({"id"}, "-3"), Values{"-3"});
  EXPECT_EQ(values({"id"}, "id=17"), Values{"17"});
  EXPECT_EQ(values({"name"}, "a,b=c"), Values{"a,b=c"});
  EXPECT_EQ(values({"name"}, ""), Values{""});
  EXPECT_EQ(values({"tags"}, "{1,2}"), Values{"{1,2}"});
}

TEST(RowKey, OfSeveralColumnsNamesThemInAnyOrder) {
  EXPECT_EQ(values({"a", "b"}, "a=1,b=x"), (Values{"1", "x"}));
  EXPECT_EQ(values({"a", "b"}, "b=x,a=1"), (Values{"1", "x"}));
}

TEST(RowKey, ACommaOrAnEqualsSignMayBeOfAValue) {
  EXPECT_EQ(values({"a", "b"}, "a=x,y=z,b=1=2"), (Values{"x,y=z", "1=2"}));
  EXPECT_EQ(values({"a", "b"}, "a=,b="), (Values{"", ""}));
}

TEST(RowKey, MayBeAnObject) {
  EXPECT_EQ(values({"a", "b"}, R"({"b": "x,a=1", "a": 9007199254740993})"),
            (Values{"9007199254740993", "x,a=1"}));
  EXPECT_EQ(values({"id"}, R"({"id": "id=17"})"), Values{"id=17"});
}

TEST(RowKey, WhatIsWrongNamesTheColumns) {
  EXPECT_THAT(refusal({"tenant", "id"}, "17"),
              HasSubstr("'17' is no key: the key is (tenant, id), written as tenant=..,id=.."));
  EXPECT_THAT(refusal({"a", "b"}, "a=1"), HasSubstr("b is missing"));
  EXPECT_THAT(refusal({"a", "b"}, "a=1,a=2,b=3"), HasSubstr("a is given twice"));
  EXPECT_THAT(refusal({"id"}, R"({"id": 1, "no": 2})"), HasSubstr("no is not of the key"));
  EXPECT_THAT(refusal({"id"}, R"({"id": null})"), HasSubstr("id is neither"));
  EXPECT_THAT(refusal({"id"}, R"({"id": 1.5})"), HasSubstr("id is neither"));
  EXPECT_THAT(refusal({}, "17"), HasSubstr("no key"));
}

}  // namespace
}  // namespace lockstep
