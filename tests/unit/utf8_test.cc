// What comes from outside is text, or is told as text: no JSON reader takes anything else.
#include "pipeline/base/utf8.h"

#include <gtest/gtest.h>

#include <boost/json.hpp>

#include "connectors/connect/rest.h"
#include "connectors/postgres/wire/first_words.h"
#include "daemon/event_log.h"

namespace lockstep {
namespace {

bool is_json(const std::string& text) {
  boost::system::error_code broken;
  boost::json::parse(text, broken);
  return !broken;
}

TEST(Utf8, WhatIsTextStaysAsItIs) {
  for (const char* text : {"", "plain", "r\u00f4le \u00ab\u20ac\u00bb \U0001F600"}) {
    EXPECT_EQ(invalid_utf8(text), std::string_view::npos) << text;
    EXPECT_EQ(valid_utf8(text), text);
  }
}

TEST(Utf8, EachByteThatIsNoneIsReplaced) {
  EXPECT_EQ(valid_utf8("r\xF4le"), "r\uFFFDle");
  EXPECT_EQ(valid_utf8("\xF4"), "\uFFFD");
  EXPECT_EQ(valid_utf8("\xE2\x82"), "\uFFFD\uFFFD");  // A character that was cut.
  EXPECT_EQ(valid_utf8("\xC0\xAF\xED\xA0\x80 ok"), "\uFFFD\uFFFD\uFFFD\uFFFD\uFFFD ok");
  EXPECT_EQ(invalid_utf8("ab\xFF"), 2U);
}

TEST(Utf8, AnEventOfAVersionBeforeIsStillShown) {
  const std::string json = event_json({7,
                                       0,
                                       "warn",
                                       "waits",
                                       {{"why",
                                         "FATAL: r\xF4le \xAB"
                                         "app\xBB"}}});
  EXPECT_TRUE(is_json(json)) << json;
}

TEST(Utf8, WordsOfOthersAreText) {
  EXPECT_EQ(first_words("LOCK \"caf\xE9\""), "LOCK \"caf\uFFFD\"");
  // The cause of a connector is cut after 400 bytes, wherever that is.
  std::string trace = "x";
  while (trace.size() < 500) trace += "\u20ac";
  const auto status = parse_connector_status(boost::json::serialize(boost::json::object{
      {"connector", boost::json::object{{"state", "FAILED"}, {"trace", trace}}}}));
  ASSERT_TRUE(status) << status.error().message;
  EXPECT_TRUE(status->cause.ends_with("\uFFFD...") || status->cause.ends_with("\u20ac..."));
  EXPECT_EQ(invalid_utf8(status->cause), std::string_view::npos);
}

}  // namespace
}  // namespace lockstep
