// Scenarios of repairs: what a person, or `repair: auto`, has made equal, and what stays as it is.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "pipeline/reconcile/repair_budget.h"
#include "tests/sim/scenario.h"

namespace lockstep {
namespace {

SimOptions looking(std::chrono::seconds every, bool unique = false) {
  SimOptions options =
      unique ? scenario_options({FakeTableOptions{.unique = true}}) : scenario_options();
  options.sweep_continuous = true;
  options.sweep_every = every;
  return options;
}

// Five rows, copied and followed.
void follows(Scenario& s) {
  for (const int id : {1, 2, 3, 4, 5}) s.seed(row(id, 0, "u" + std::to_string(id)));
  s.start();
  s.scan_all();
  s.deliver();
  s.apply();
}

std::uint64_t open_findings(Scenario& s) {
  return s.sweep_status().tables.at(0).second.open_findings;
}

// A row that the target lacks, one that it has too much, and one that differs.
TEST(RepairScenario, WhatIsRepairedIsEqual) {
  Scenario s(looking(std::chrono::seconds(0)));
  follows(s);
  s.store.edit_rows(0).erase(2);
  s.store.edit_rows(0).at(4).a = "another";
  s.store.edit_rows(0)[9] = row(9, 0, "u9");
  s.sweep_on();
  ASSERT_EQ(open_findings(s), 3U);
  for (const int id : {2, 4, 9}) s.repair(s.finding_of(id));
  s.sweep_on();
  EXPECT_EQ(open_findings(s), 0U);
  EXPECT_EQ(s.sweep_status().tables.at(0).second.repaired, 3U);
  EXPECT_EQ(s.debts(), 0U);
  EXPECT_EQ(s.difference(), "");
}

// Whoever asked for the repair has not seen what the row is now.
TEST(RepairScenario, ARowThatSomebodyChangedSinceIsNotRepaired) {
  Scenario s(looking(std::chrono::hours(1)));
  follows(s);
  s.store.edit_rows(0).at(4).a = "another";
  s.sweep();
  const std::uint64_t finding = s.finding_of(4);
  ASSERT_NE(finding, 0U);
  s.store.edit_rows(0).at(4).a = "yet another";
  s.repair(finding);
  s.sweep_on();
  EXPECT_EQ(s.store.rows(0).at(4).a, "yet another");
  EXPECT_EQ(open_findings(s), 1U);
  // Now he has.
  s.repair(finding);
  s.sweep_on();
  EXPECT_EQ(open_findings(s), 0U);
  EXPECT_EQ(s.difference(), "");
}

// Issue D, part 5: whoever wants nothing deleted loses no row that is in another one's way.
TEST(RepairScenario, ARowInTheWayStaysUnlessAllMayBeRepaired) {
  for (const RepairScope scope : {RepairScope::All, RepairScope::Insert, RepairScope::Upsert}) {
    SCOPED_TRACE(scope_text(scope));
    Scenario s(looking(std::chrono::hours(1), true));
    follows(s);
    s.store.edit_rows(0).erase(2);
    s.store.edit_rows(0)[9] = row(9, 0, "u2");
    s.sweep();
    ASSERT_EQ(open_findings(s), 2U);
    s.repair(s.finding_of(2), scope);
    s.sweep_on();
    const bool all = scope == RepairScope::All;
    EXPECT_EQ(s.on_target(9), !all);
    EXPECT_EQ(s.on_target(2), all);
    EXPECT_EQ(s.debts(), all ? 0U : 1U) << "it is quarantined, and names the row";
  }
}

// What was asked for is only what the scope names, whatever ids were given.
TEST(RepairScenario, ARowOutsideOfTheScopeIsNotRepaired) {
  Scenario s(looking(std::chrono::hours(1)));
  follows(s);
  s.store.edit_rows(0).at(4).a = "another";
  s.store.edit_rows(0)[9] = row(9, 0);
  s.sweep();
  s.repair(s.finding_of(4), RepairScope::Insert);
  s.repair(s.finding_of(9), RepairScope::Upsert);
  s.sweep_on();
  EXPECT_EQ(open_findings(s), 2U);
  EXPECT_TRUE(s.on_target(9));
  s.repair(s.finding_of(4), RepairScope::Upsert);
  s.sweep_on();
  EXPECT_EQ(open_findings(s), 1U);
}

// Row 4 differs, is repaired, and a person takes that back.  Returns the finding.
std::uint64_t repaired_and_undone(Scenario& s) {
  s.store.edit_rows(0).at(4).a = "before";
  s.sweep();
  const std::uint64_t finding = s.finding_of(4);
  s.repair(finding);
  s.sweep_on();
  EXPECT_EQ(open_findings(s), 0U);
  s.mark({finding, FindingState::Undone});
  s.sweep_round();
  s.store.edit_rows(0).at(4).a = "before";
  return finding;
}

// Issue D, part 5: it is a difference again, which nobody repairs but a person.
TEST(RepairScenario, WhatWasUndoneIsNotRepairedByItself) {
  SimOptions options = looking(std::chrono::seconds(0));
  options.repairs = true;
  options.repair_share_max = 1;
  Scenario s(options);
  follows(s);
  const std::uint64_t finding = repaired_and_undone(s);
  EXPECT_EQ(s.finding(finding)->state, FindingState::Undone);
  for (int i = 0; i < 3; ++i) s.sweep_on();
  EXPECT_EQ(s.store.rows(0).at(4).a, "before");
  EXPECT_EQ(open_findings(s), 1U);
  EXPECT_EQ(s.finding(finding)->state, FindingState::Undone);
  s.crash();
  s.sweep_on();
  EXPECT_EQ(s.store.rows(0).at(4).a, "before") << "also not by another process";
  s.repair(finding);
  s.sweep_on();
  EXPECT_EQ(s.finding(finding)->state, FindingState::Repaired);
  EXPECT_EQ(s.difference(), "");
}

// The mark is noted before the row is written, and whoever wrote it may have died in between.
TEST(RepairScenario, AMarkWithoutAWriteIsResolvedLater) {
  Scenario s(looking(std::chrono::seconds(0)));
  follows(s);
  const std::uint64_t finding = repaired_and_undone(s);
  s.store.edit_rows(0).at(4).a = "a0";
  s.sweep();
  EXPECT_EQ(s.finding(finding)->state, FindingState::Undone) << "the write may be under way";
  s.pass(std::chrono::minutes(2));
  s.sweep_on();
  EXPECT_EQ(s.finding(finding)->state, FindingState::Resolved);
}

TEST(RepairScenario, AMarkIsTakenBack) {
  Scenario s(looking(std::chrono::hours(1)));
  follows(s);
  const std::uint64_t finding = repaired_and_undone(s);
  s.mark({finding, FindingState::Repaired});
  s.sweep_round();
  EXPECT_EQ(s.finding(finding)->state, FindingState::Repaired);
  s.sweep_round();
  EXPECT_EQ(open_findings(s), 0U);
}

// Issue D, part 5: no more than so many repairs begin within a minute, whoever wants them.
TEST(RepairScenario, ABudgetBoundsRepairs) {
  SimOptions options = looking(std::chrono::hours(1));
  options.repairs_per_minute = 2;
  Scenario s(options);
  follows(s);
  for (const int id : {1, 2, 3, 4, 5}) s.store.edit_rows(0).at(id).a = "another";
  s.sweep();
  for (const int id : {1, 2, 3, 4, 5}) s.repair(s.finding_of(id));
  s.sweep_on();  // Half a minute.
  EXPECT_EQ(open_findings(s), 3U);
  EXPECT_THAT(s.sweep_status().held_back, testing::HasSubstr("3 repairs wait"));
  s.pass(std::chrono::minutes(1));
  s.sweep_on();
  EXPECT_EQ(open_findings(s), 1U);
  s.pass(std::chrono::minutes(1));
  s.sweep_on();
  EXPECT_EQ(open_findings(s), 0U);
  EXPECT_EQ(s.sweep_status().held_back, "");
  EXPECT_EQ(s.difference(), "");
}

// V11: he who asked has not seen the row that stands there once his repair has its turn.
TEST(RepairScenario, ARowThatIsSeenAnewWhileItsRepairWaitsIsNotRepaired) {
  SimOptions options = looking(std::chrono::hours(1));
  options.repairs_per_minute = 2;
  Scenario s(options);
  follows(s);
  for (const int id : {1, 2, 3, 4, 5}) s.store.edit_rows(0).at(id).a = "another";
  s.sweep();
  for (const int id : {1, 2, 3, 4, 5}) s.repair(s.finding_of(id));
  s.sweep_on();  // Half a minute.
  ASSERT_EQ(open_findings(s), 3U);
  for (auto& [id, row] : s.store.edit_rows(0))
    if (row.a == "another") row.a = "yet another";
  s.sweep();  // It is found, under the same number.
  for (int minute = 0; minute < 3; ++minute) {
    s.pass(std::chrono::minutes(1));
    s.sweep_on();
  }
  EXPECT_EQ(s.sweep_status().held_back, "");
  EXPECT_EQ(open_findings(s), 3U);
  for (const int id : {1, 2, 3, 4, 5}) {
    const std::uint64_t finding = s.finding_of(id);
    if (finding == 0) continue;
    EXPECT_EQ(s.store.rows(0).at(id).a, "yet another");
    s.repair(finding);  // Now he has.
    s.pass(std::chrono::minutes(1));
    s.sweep_on();
  }
  EXPECT_EQ(open_findings(s), 0U);
  EXPECT_EQ(s.difference(), "");
}

// Issue D, part 5: of many rows at once not even the first is repaired before a person has seen it.
TEST(RepairScenario, MassDivergenceWaitsForAPerson) {
  SimOptions options = looking(std::chrono::seconds(0));
  options.repairs = true;
  options.repair_share_max = 0.5;  // Two rows.
  Scenario s(options);
  follows(s);
  s.sweep_on();
  for (const int id : {1, 2, 3}) s.store.edit_rows(0).at(id).a = "another";
  s.sweep_on();
  EXPECT_EQ(open_findings(s), 3U);
  EXPECT_THAT(s.sweep_status().tables.at(0).second.repairs_wait,
              testing::HasSubstr("3 rows are not equal"));
  for (const int id : {1, 2, 3}) s.repair(s.finding_of(id));
  s.sweep_on();
  EXPECT_EQ(open_findings(s), 0U);
  EXPECT_EQ(s.sweep_status().tables.at(0).second.repairs_wait, "");
}

// Issue D, part 5: what a person accepted is found, and neither repaired nor healed by itself.
TEST(RepairScenario, WhatAPersonAcceptedIsLeftAlone) {
  SimOptions options = looking(std::chrono::seconds(0), true);
  options.repairs = true;
  options.repair_share_max = 0.2;  // One row.
  Scenario s(options);
  follows(s);
  s.store.edit_rows(0).erase(2);
  s.store.edit_rows(0)[9] = row(9, 0, "u2");
  s.sweep();
  s.repair(s.finding_of(2), RepairScope::Insert);
  s.sweep_on();
  ASSERT_EQ(s.debts(), 1U);
  s.store.accept_quarantined();
  for (int i = 0; i < 3; ++i) s.sweep_on();
  EXPECT_EQ(s.debts(), 0U);
  EXPECT_EQ(s.store.accepted().size(), 1U);
  EXPECT_NE(s.finding_of(2), 0U) << "it is not equal all the same";
  // It keeps no other row from being repaired.
  s.store.edit_rows(0).erase(9);
  s.sweep_on();
  s.store.edit_rows(0).at(4).a = "another";
  for (int i = 0; i < 3; ++i) s.sweep_on();
  EXPECT_EQ(s.store.rows(0).at(4).a, "a0");
  EXPECT_EQ(s.store.accepted().size(), 1U);
  // A person may want it after all.
  s.repair(s.finding_of(2));
  s.sweep_on();
  EXPECT_EQ(open_findings(s), 0U);
  EXPECT_EQ(s.difference(), "");
}

TEST(RepairBudget, NoMinuteHasMore) {
  RepairBudget budget(3);
  const RepairBudget::Time begin{std::chrono::milliseconds(1500)};
  const auto taken = [&](std::chrono::milliseconds after) {
    int begun = 0;
    for (int i = 0; i < 10; ++i) begun += budget.take(begin + after) ? 1 : 0;
    return begun;
  };
  EXPECT_TRUE(budget.take(begin));
  EXPECT_EQ(taken(std::chrono::seconds(30)), 2);
  EXPECT_EQ(taken(std::chrono::seconds(60)), 0) << "the first counts until its second is past";
  EXPECT_EQ(taken(std::chrono::seconds(61)), 1);
  EXPECT_EQ(taken(std::chrono::seconds(91)), 2);
}

}  // namespace
}  // namespace lockstep
