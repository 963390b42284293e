// Issue D, part 7: the manifest's `aggregates`, and what their results say.
#include <gmock/gmock.h>

#include <boost/json.hpp>
#include <utility>

#include "config/manifest_aggregates.h"
#include "daemon/aggregates/result.h"
#include "daemon/aggregates/side.h"

namespace lockstep {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

struct ReadAggregates {
  std::vector<ManifestAggregate> list;
  std::vector<std::string> problems;  // "LINE:COLUMN text (hint)"
};

ReadAggregates read(const std::string& yaml) {
  std::vector<YamlError> errors;
  const YamlNode root = parse_yaml(yaml, errors);
  EXPECT_THAT(errors, IsEmpty());
  Report report("shop.yaml");
  ReadAggregates outcome{read_aggregates(root, std::chrono::seconds(3600), report), {}};
  for (const Problem& problem : std::move(report).take())
    outcome.problems.push_back(std::to_string(problem.where.line) + ":" +
                               std::to_string(problem.where.column) + " " + problem.text);
  return outcome;
}

TEST(Aggregates, AreReadFromTheManifest) {
  const auto [list, problems] = read(
      "- {name: revenue, source: SELECT 1 ;, target: SELECT 2, tolerance: 0.01, every: 15m}\n"
      "- {name: rows, source: \"SELECT 1\", target: \"SELECT 1\"}\n");
  EXPECT_THAT(problems, IsEmpty());
  ASSERT_EQ(list.size(), 2U);
  EXPECT_EQ(list[0].source.value, "SELECT 1");
  EXPECT_EQ(list[0].tolerance, "0.01");
  EXPECT_EQ(list[0].every, std::chrono::minutes(15));
  EXPECT_EQ(list[1].tolerance, "");
  EXPECT_EQ(list[1].every, std::chrono::hours(1));
}

TEST(Aggregates, MistakesHaveTheirPlace) {
  EXPECT_THAT(read("- {name: a, sorce: SELECT 1, target: SELECT 1}\n").problems,
              ElementsAre(HasSubstr("1:3 aggregates[0].source is missing"),
                          HasSubstr("1:13 unknown key aggregates[0].sorce")));
  EXPECT_THAT(read("- name: a\n  source: SELECT 1\n  target: ' ; '\n  tolerance: -1\n").problems,
              ElementsAre(HasSubstr("3:11 aggregates[0].target is empty"),
                          HasSubstr("4:14 aggregates[0].tolerance must be a number")));
  EXPECT_THAT(read("- {name: a, source: SELECT 1, target: SELECT 1}\n"
                   "- {name: a, source: SELECT 1, target: SELECT 1}\n")
                  .problems,
              ElementsAre(HasSubstr("2:10 aggregates[1].name: 'a' stands here a second time")));
  EXPECT_THAT(read("name: a\n").problems, ElementsAre(HasSubstr("1:1 aggregates must be a list")));
}

TEST(Aggregates, AStatementCanOnlyRead) {
  EXPECT_EQ(aggregate_sql("SELECT 1 -- one"),
            "SELECT * FROM (\nSELECT 1 -- one\n) aggregate LIMIT 2");
}

AggregateResult result(const std::string& name, AggregateState state) {
  AggregateResult one;
  one.name = name;
  one.state = state;
  one.columns = {"sum", "count"};
  one.source = {"1.50", std::nullopt};
  one.target = {"1.50", "2"};
  one.at_us = 1'764'200'000'000'000;
  one.position = 0x1234;
  return one;
}

TEST(Aggregates, AreDueAgainAlsoWhenTheClockWasSetBack) {
  const AggregateResult last = result("a", AggregateState::Equal);
  constexpr std::int64_t kSecond = 1'000'000;
  const std::chrono::seconds every(10);
  EXPECT_FALSE(is_due(last, every, last.at_us + 9 * kSecond));
  EXPECT_TRUE(is_due(last, every, last.at_us + 10 * kSecond));
  EXPECT_TRUE(is_due(last, every, last.at_us - kSecond));
}

TEST(Aggregates, ResultsSurviveTheirNote) {
  AggregateResult failed = result("b", AggregateState::Failed);
  failed.reason = "no such table";
  const auto again = parse_results(
      boost::json::serialize(results_json({result("a", AggregateState::Different), failed})));
  ASSERT_EQ(again.size(), 2U);
  EXPECT_EQ(again[0].state, AggregateState::Different);
  EXPECT_EQ(again[0].columns, (std::vector<std::string>{"sum", "count"}));
  EXPECT_EQ(again[0].source, (AggregateResult::Values{"1.50", std::nullopt}));
  EXPECT_EQ(again[0].at_us, 1'764'200'000'000'000);
  EXPECT_EQ(again[0].position, 0x1234U);
  EXPECT_EQ(again[1].reason, "no such table");
  EXPECT_THAT(parse_results("no JSON"), IsEmpty());
}

TEST(Aggregates, TheExitCodeIsOfTheWorst) {
  const AggregateResult equal = result("a", AggregateState::Equal);
  const AggregateResult different = result("b", AggregateState::Different);
  const AggregateResult unaligned = result("c", AggregateState::Unaligned);
  EXPECT_EQ(exit_of({equal}), ExitCode::Ok);
  EXPECT_EQ(exit_of({equal, unaligned}), ExitCode::Incomplete);
  EXPECT_EQ(exit_of({unaligned, different, equal}), ExitCode::Different);
  EXPECT_EQ(exit_of({}), ExitCode::Ok);
}

TEST(Aggregates, OfTheManifestThatWereNeverTakenArePending) {
  Manifest manifest;
  for (const char* name : {"new", "old"}) {
    manifest.aggregates.emplace_back();
    manifest.aggregates.back().name.value = name;
  }
  AggregateResult old = pending_result(manifest.aggregates.back());
  old.state = AggregateState::Equal;
  const auto all = results_of(manifest, {old, result("gone", AggregateState::Different)});
  ASSERT_EQ(all.size(), 2U);
  EXPECT_EQ(all[0].state, AggregateState::Pending);
  EXPECT_EQ(all[1].state, AggregateState::Equal);
}

// Else `equal` of a statement that nobody asks any more would stand until `every` is over.
TEST(Aggregates, WhatIsAskedInOtherWordsIsPending) {
  Manifest manifest;
  ManifestAggregate& one = manifest.aggregates.emplace_back();
  one.name.value = "total";
  one.source.value = "SELECT sum(a) FROM t";
  one.target.value = "SELECT sum(b) FROM t";
  AggregateResult taken = result("total", AggregateState::Equal);
  taken.statements = pending_result(one).statements;
  const auto stored = parse_results(boost::json::serialize(results_json({taken})));
  const auto state = [&] { return results_of(manifest, stored).front().state; };
  EXPECT_EQ(state(), AggregateState::Equal);
  for (std::string* const changed : {&one.source.value, &one.target.value, &one.tolerance}) {
    const std::string before = std::exchange(*changed, "1");
    EXPECT_EQ(state(), AggregateState::Pending) << before;
    EXPECT_EQ(results_of(manifest, stored).front().source, AggregateResult::Values());
    *changed = before;
  }
  std::swap(one.source.value, one.target.value);
  EXPECT_EQ(state(), AggregateState::Pending);
}

}  // namespace
}  // namespace lockstep
