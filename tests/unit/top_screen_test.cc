// The screen fits, whatever the names are, and shows the worst table first.
#include "daemon/top_screen.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <boost/json.hpp>
#include <string>

namespace lockstep {
namespace {

namespace json = boost::json;
using ::testing::AllOf;
using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::Not;

json::object table(const std::string& name, const std::string& state, double done, double total) {
  return {{"table", name},       {"state", state},
          {"rows_done", done},   {"rows_expected", total > 0 ? json::value(total) : json::value()},
          {"debts", 0},          {"quarantined", 0},
          {"findings", nullptr}, {"verified_age_seconds", nullptr}};
}

json::object status(json::array tables) {
  return {{"migration", "shop"},
          {"phase", "backfill"},
          {"verdict", {{"mood", "trouble"}, {"text", std::string(300, 'x') + " end"}}},
          {"lag_seconds", nullptr},
          {"queue_bytes", 2048},
          {"kept_wal", nullptr},
          {"throttled", nullptr},
          {"tables", std::move(tables)}};
}

std::size_t columns(const std::string& line) {
  return static_cast<std::size_t>(std::ranges::count_if(
      line, [](char c) { return (static_cast<unsigned char>(c) & 0xC0U) != 0x80; }));
}

TEST(TopScreen, FitsWhateverTheNamesAre) {
  json::array tables;
  for (int i = 0; i < 40; ++i)
    tables.push_back(table("public." + std::string(static_cast<std::size_t>(i), 'n') + "\u00e9",
                           "backfill", 1e9, 2e9));
  for (const ScreenSize size : {ScreenSize{80, 24}, ScreenSize{120, 60}, ScreenSize{40, 8}}) {
    const auto lines = top_screen(status(tables), nullptr, nullptr, size);
    EXPECT_LE(lines.size(), size.rows);
    for (const std::string& line : lines) EXPECT_LE(columns(line), size.columns) << line;
  }
}

TEST(TopScreen, TheWorstTableStandsFirstAndWhatIsCutIsCounted) {
  json::array tables;
  for (int i = 10; i < 40; ++i)
    tables.push_back(table("public.t" + std::to_string(i), "following", 10, 10));
  tables.push_back(table("public.z", "stopped", 10, 10));
  const auto lines = top_screen(status(tables), nullptr, nullptr, {80, 24});
  const auto head = std::ranges::find_if(
      lines, [](const std::string& line) { return line.starts_with("table "); });
  ASSERT_NE(head, lines.end());
  EXPECT_THAT(*std::next(head), AllOf(HasSubstr("public.z"), HasSubstr("stopped")));
  EXPECT_THAT(lines.back(), HasSubstr("more: lockstep status"));
}

TEST(TopScreen, WhatIsNotKnownIsNoNumber) {
  const auto lines =
      top_screen(status({table("public.t", "pending", 0, 0)}), nullptr, nullptr, {80, 24});
  EXPECT_THAT(lines, Contains(HasSubstr("lag unknown  events ?/s  rows ?/s")));
  EXPECT_THAT(lines, Contains(HasSubstr("source's log kept for us: unknown")));
  EXPECT_THAT(lines, Not(Contains(HasSubstr("100 %"))));
}

TEST(TopScreen, TheHistoryOfTheLagHasGaps) {
  const json::value history = json::parse(
      R"({"every_seconds": 2, "eta": {"p50_seconds": 60, "p90_seconds": null},
          "points": [[0, 0.0, 0, 0], [2000, null, 10, 4], [4000, 5.0, 20, 8]]})");
  const auto lines =
      top_screen(status({table("public.t", "backfill", 10, 100)}), history, nullptr, {80, 24});
  EXPECT_THAT(lines, Contains(HasSubstr("lag ▁?█")));
  EXPECT_THAT(lines, Contains(HasSubstr("events 2/s  rows 5/s")));
  EXPECT_THAT(lines, Contains(HasSubstr("ETA 60.0 s to unknown")));
}

TEST(TopScreen, EventsFillWhatIsLeft) {
  const json::value events = json::parse(
      R"({"events": [{"at": "2026-11-27T14:02:00Z", "level": "info", "message": "older",
           "fields": {}},
          {"at": "2026-11-27T14:03:00Z", "level": "error",
           "message": "a table has stopped", "fields": {"table": "public.orders"}}]})");
  const json::object one = status({table("public.t", "stopped", 10, 100)});
  const auto lines = top_screen(one, nullptr, events, {80, 24});
  EXPECT_EQ(*std::prev(lines.end(), 2), "14:03:00Z error: a table has stopped table=public.orders");
  EXPECT_EQ(lines.back(), "14:02:00Z older");
  for (std::size_t rows = 1; rows < 24; ++rows)
    EXPECT_LE(top_screen(one, nullptr, events, {80, rows}).size(), rows);
}

TEST(TopScreen, WhatSomebodyHasToDoSomethingAboutIsShownWhole) {
  const json::value events = json::parse(
      R"({"events": [{"at": "2026-11-27T14:02:00Z", "level": "info", "message": "routine",
           "fields": {"table": "a name that is far too long for so narrow a screen"}},
          {"at": "2026-11-27T14:03:00Z", "level": "warn", "message": "a row is set aside",
           "fields": {"table": "public.orders", "error": "violates check constraint no_zed"}}]})");
  const auto lines =
      top_screen(status({table("public.t", "following", 10, 10)}), nullptr, events, {50, 24});
  EXPECT_THAT(lines, Contains(HasSubstr("no_zed")));
  EXPECT_THAT(lines, Not(Contains(HasSubstr("narrow"))));
}

TEST(TopScreen, APipeGetsOneLine) {
  EXPECT_THAT(top_line(status({}), nullptr),
              AllOf(HasSubstr("trouble"), Not(HasSubstr("\n")), HasSubstr("copied: unknown")));
}

json::value history(json::array points) {
  return json::object{{"points", std::move(points)}, {"eta", nullptr}};
}

// The marks of earlier processes are no throughput, and a run that counts anew has one.
TEST(TopScreen, RatesAreOfThePresentRunOnly) {
  const auto flow = [](json::array points) {
    return top_line(status({table("public.t", "backfill", 1, 2)}), history(std::move(points)));
  };
  EXPECT_THAT(flow({{0, nullptr, nullptr, nullptr}, {2000, 0.1, 5e6, 0}}),
              HasSubstr("events ?/s  rows ?/s"));
  EXPECT_THAT(flow({{0, 0.1, 9e6, 900},
                    {2000, nullptr, nullptr, nullptr},
                    {4000, 0.1, 5e6, 0},
                    {6000, 0.1, 5e6 + 200, 20}}),
              HasSubstr("events 10/s  rows 100/s"));
  EXPECT_THAT(flow({{0, 0.1, 9e6, 900}, {2000, 0.1, 9e6, 0}, {4000, 0.1, 9e6 + 200, 20}}),
              HasSubstr("events 10/s  rows 100/s"));
}

TEST(TopScreen, WhatNobodyKnowsIsNotNothing) {
  json::object one = table("public.t", "unknown", 0, 100);
  for (const char* name : {"rows_done", "debts", "quarantined"}) one[name] = nullptr;
  const auto lines = top_screen(status({one}), nullptr, nullptr, {120, 24});
  EXPECT_THAT(lines, Contains(HasSubstr("copied: unknown")));
  EXPECT_THAT(lines, Contains(testing::ContainsRegex("unknown +[?] +[?] +[?] +[?]")));
  EXPECT_THAT(lines, Not(Contains(HasSubstr("0 %"))));
}

}  // namespace
}  // namespace lockstep
