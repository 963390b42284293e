// Scenarios of a heal: what no event told of is read again, and a heal that dies goes on.
#include <gtest/gtest.h>

#include <functional>

#include "pipeline/watch/shape_watch.h"
#include "tests/sim/scenario.h"

namespace lockstep {
namespace {

SimOptions in_ranges_of(std::uint64_t rows) {
  SimOptions options = scenario_options();
  options.chunk_rows = rows;
  return options;
}

TableSweep swept(const Scenario& s) {
  const SweepStatus status = s.sweep_status();
  return status.tables.empty() ? TableSweep() : status.tables[0].second;
}

// Lets the heal go on until `reached`; no row of it needs a debt.
void heal_until(Scenario& s, const std::function<bool()>& reached) {
  for (int round = 0; round < 2000 && !reached(); ++round) {
    s.sweep_round();
    EXPECT_EQ(s.debts(), 0U);
  }
  EXPECT_TRUE(reached());
}

bool is_healed(const Scenario& s) {
  const RunStatus status = s.status();
  return !status.tables.empty() && status.tables[0].counts.life.is_whole();
}

// Somebody asks that all rows be compared; it is done by the next process.
void ask_for_heal(Scenario& s, std::uint64_t asked) {
  s.store.save_files(0, heal_text(s.store.files(0), asked));
}

// 30 rows, and two partitions: the first with the lowest keys, the second with the highest.
void two_partitions(Scenario& s) {
  for (int id = 11; id <= 40; ++id) s.seed(row(id, 1));
  s.start();
  ASSERT_TRUE(s.source.attach(0, {row(1, 2), row(2, 2), row(3, 2), row(4, 2)}));
  EXPECT_EQ(s.settle(), "");
  ASSERT_TRUE(s.source.attach(0, {row(50, 2), row(51, 2), row(52, 2), row(53, 2)}));
  EXPECT_EQ(s.settle(), "");
}

// Issue D, part 6: of a range in which many keys differ none is looked at by itself.
TEST(HealScenario, ARangeThatDiffersInManyKeysIsMadeEqual) {
  Scenario s;
  for (int id = 1; id <= 20; ++id) s.seed(row(id, 1));
  s.start();
  EXPECT_EQ(s.settle(), "");
  TargetStore::Rows& rows = s.store.edit_rows(0);
  for (const int id : {2, 3, 4, 5}) rows.erase(id);
  for (const int id : {8, 9, 10}) rows.at(id).a = "another";
  for (const int id : {0, 30, 31, 32}) rows[id] = row(id, 1);
  ask_for_heal(s, 1);
  s.crash();
  // A row that is changed while it is read again.
  s.at("start_read", [&s] {  // Of the range; then of the keys.
    s.at("start_read", [&s] {
      const Xid x = s.begin();
      s.source.update(x, 0, 3, row(3, 7), {});
      s.commit(x);
      s.deliver();
      s.apply();
    });
  });
  heal_until(s, [&s] { return is_healed(s); });
  EXPECT_EQ(s.difference(), "");
  EXPECT_EQ(swept(s).healed, 11U);
  EXPECT_EQ(swept(s).open_findings, 0U);
  EXPECT_EQ(s.settle(), "");
}

// Issue D, acceptance 6: ranges that were compared before a kill are not compared again.
TEST(HealScenario, GoesOnWhereAnotherProcessDied) {
  Scenario s(in_ranges_of(4));
  two_partitions(s);
  ASSERT_TRUE(s.source.lose_partition(0, FakeSource::Loss::Truncated));
  s.watch();
  heal_until(s, [&s] { return swept(s).verified_rows >= 12; });
  const std::uint64_t verified = swept(s).verified_rows;
  ASSERT_FALSE(is_healed(s));
  s.crash();
  s.watch();
  heal_until(s, [&s] { return is_healed(s); });
  EXPECT_LE(swept(s).rows, 34 - verified + 4) << "but for a range under way";
  EXPECT_EQ(s.settle(), "");
}

// What is lost while nobody looks lies in ranges that were compared.
TEST(HealScenario, BeginsAnewWhereMoreWasLostSince) {
  for (const auto loss : {FakeSource::Loss::Truncated, FakeSource::Loss::Detached}) {
    Scenario s(in_ranges_of(4));
    two_partitions(s);
    ASSERT_TRUE(s.source.lose_partition(0, FakeSource::Loss::Detached));
    s.watch();
    heal_until(s, [&s] { return swept(s).verified_rows >= 12; });
    ASSERT_TRUE(s.source.lose_partition(0, loss));
    s.crash();
    EXPECT_EQ(s.settle(), "");
    EXPECT_FALSE(s.on_target(1));
  }
}

// Whoever asks once more has lost something since.
TEST(HealScenario, BeginsAnewWhenSomebodyAsksAgain) {
  Scenario s(in_ranges_of(4));
  for (int id = 1; id <= 30; ++id) s.seed(row(id, 1));
  s.start();
  EXPECT_EQ(s.settle(), "");
  ask_for_heal(s, 1);
  s.crash();
  heal_until(s, [&s] { return swept(s).verified_rows >= 12; });
  s.store.edit_rows(0).erase(2);
  ask_for_heal(s, 2);
  s.crash();
  EXPECT_EQ(s.settle(), "");
  EXPECT_TRUE(s.on_target(2));
}

// A heal that is over is of no use to the next one of the same files.
TEST(HealScenario, OfWhatWasHealedNothingIsLeftToTheNext) {
  Scenario s(in_ranges_of(4));
  for (int id = 1; id <= 30; ++id) s.seed(row(id, 1));
  s.start();
  EXPECT_EQ(s.settle(), "");
  ask_for_heal(s, 1);
  s.crash();
  heal_until(s, [&s] { return is_healed(s); });
  s.store.edit_rows(0).erase(2);
  ask_for_heal(s, 1);
  s.crash();
  EXPECT_EQ(s.settle(), "");
  EXPECT_TRUE(s.on_target(2));
}

// V8: its range was compared, so that the process that goes on with the heal does not read it.
TEST(HealScenario, WhatAnotherProcessFoundIsLookedAt) {
  Scenario s(in_ranges_of(4));
  for (int id = 1; id <= 100; ++id) s.seed(row(id, 1));
  s.start();
  EXPECT_EQ(s.settle(), "");
  ask_for_heal(s, 1);
  s.crash();
  std::uint64_t found = 0;
  heal_until(s, [&] {
    found = s.finding_of(2);
    if (found == 0) s.store.edit_rows(0).at(2).a = "somebody writes it again and again";
    return found != 0;
  });
  ASSERT_FALSE(is_healed(s));
  s.crash();
  s.watch();
  s.sweep_round();
  EXPECT_EQ(s.finding(found)->state, FindingState::Open) << "nobody has looked at it";
  heal_until(s, [&s] { return is_healed(s); });
  EXPECT_EQ(s.finding(found)->state, FindingState::Resolved);
  EXPECT_EQ(s.difference(), "");
}

}  // namespace
}  // namespace lockstep
