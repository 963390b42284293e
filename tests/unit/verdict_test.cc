// The whole is never shown better than its worst part, and what is not known is not well.
#include "daemon/verdict.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <string>
#include <vector>

namespace lockstep {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

// A migration in which all is well.
RunStatus well() {
  RunStatus status;
  status.looked = true;
  status.phase = Phase::Follow;
  status.synced = true;
  status.lag_seconds = 0.2;
  status.proof = Proof{17, true, true, 0, 0.4};
  RunTableStatus table;
  table.table = "public.orders";
  table.counts.life.copied = true;
  table.sweep = TableSweep{};
  table.sweep->verified_through = 17;
  table.sweep->oldest_us = 1'700'000'000'000'000;
  status.tables = {table, table};
  status.tables[1].table = "public.items";
  return status;
}

MigrationVerdict judged(const std::function<void(RunStatus&)>& change) {
  RunStatus status = well();
  change(status);
  return verdict_of(status, "shop.yaml");
}

TEST(Verdict, WellRestsOnAProofAndSaysHowOldItIs) {
  const MigrationVerdict found = verdict_of(well(), "shop.yaml");
  EXPECT_EQ(found.mood, Mood::Well);
  EXPECT_THAT(found.text, AllOf(HasSubstr("until 0.4 s ago"), HasSubstr("exact proof"),
                                HasSubstr("every row was compared since 2023-11-14T22:13:20Z")));
}

TEST(Verdict, NothingIsWellWithoutAProof) {
  EXPECT_EQ(judged([](RunStatus& status) { status.synced = false; }).mood, Mood::Busy);
  EXPECT_EQ(judged([](RunStatus& status) { status.proof.reset(); }).mood, Mood::Busy);
}

TEST(Verdict, WhatWasNotComparedIsSaid) {
  EXPECT_THAT(judged([](RunStatus& status) { status.tables[1].sweep.reset(); }).text,
              HasSubstr("not every row was compared"));
}

// Each alone makes the whole as bad as it is, whatever else is well.
TEST(Verdict, TheWorstCounts) {
  struct Case {
    std::function<void(RunStatus&)> change;
    Mood mood;
    const char* says;
  };
  const std::vector<Case> cases{
      {[](RunStatus& s) { s.tables[1].stopped = "no column"; }, Mood::Trouble,
       "1 of 2 tables stopped: public.items: no column; next:"},
      {[](RunStatus& s) { s.tables[1].sweep->open_findings = 3; }, Mood::Trouble,
       "3 rows of public.items are not equal on both sides; next: lockstep findings list "
       "shop.yaml"},
      {[](RunStatus& s) { s.tables[0].quarantined = 2; }, Mood::Trouble,
       "2 rows of public.orders are set aside; next: lockstep quarantine list"},
      {[](RunStatus& s) { s.trouble = {"lane 0: target unreachable"}; }, Mood::Trouble,
       "lane 0: target unreachable; it is tried again; next: MigrationNotReady"},
      {[](RunStatus& s) { s.trouble = {"lane 0: lock timeout", "lanes: wait for a lock"}; },
       Mood::Trouble, "lanes: wait for a lock"},
      {[](RunStatus& s) { s.lag_seconds = 7; }, Mood::Trouble, "the lag is 7.0 s"},
      {[](RunStatus& s) { s.lag_seconds.reset(); }, Mood::Unknown, "has not been known"},
      {[](RunStatus& s) { s.proof->age_seconds = 9; }, Mood::Unknown, "has been proven for 9 s"},
      {[](RunStatus& s) { s.silent_seconds = 20, s.phase = Phase::Drain; }, Mood::Busy,
       "it drains"},
      {[](RunStatus& s) { s.silent_seconds = 20; }, Mood::Unknown, "said nothing for 20 s"},
      {[](RunStatus& s) { s.paused = {{"apply", "", "uid 0", "release 17", 0}}; }, Mood::Held,
       "by uid 0: release 17; once its reason is gone: lockstep resume shop.yaml --scope apply"},
      {[](RunStatus& s) { s.paused = {{"abort", "", "uid 0", "", 0}}; }, Mood::Held, "every write"},
      {[](RunStatus& s) { s.phase = Phase::Backfill; }, Mood::Busy, "it copies"},
      {[](RunStatus& s) { s.phase = Phase::Backfill, s.lag_seconds = 7; }, Mood::Trouble,
       "the lag is 7.0 s"},
      {[](RunStatus& s) { s.phase = Phase::Prepare, s.waiting_for = {"target: refused"}; },
       Mood::Busy, "it prepares: waiting for target: refused"},
      {[](RunStatus& s) { s.phase = Phase::Stopped; }, Mood::Unknown, "nothing runs"}};
  for (const Case& one : cases) {
    const MigrationVerdict found = judged(one.change);
    EXPECT_EQ(found.mood, one.mood) << one.says;
    EXPECT_THAT(found.text, HasSubstr(one.says));
  }
}

// Only a pause of apply explains that nothing arrives.
TEST(Verdict, APauseHidesNoLagButOfApply) {
  for (const char* scope : {"backfill", "reconcile", "table"}) {
    EXPECT_EQ(judged([&](RunStatus& status) {
                status.paused = {{scope, "public.orders", "uid 7", "", 0}};
                status.lag_seconds = 3600;
              }).mood,
              Mood::Trouble)
        << scope;
  }
  EXPECT_EQ(judged([](RunStatus& status) {
              status.paused = {{"apply", "", "uid 7", "", 0}};
              status.lag_seconds = 3600;
            }).mood,
            Mood::Held);
}

// A stream that hangs through days of copying is not busy; one that waits for the copy is.
TEST(Verdict, WhileItCopiesAnUnknownLagIsSaidUnlessTheStreamIsHeldOnPurpose) {
  const auto mood = [](bool held, double seconds) {
    return judged([&](RunStatus& status) {
             status.phase = Phase::Backfill;
             status.proof.reset();
             status.lag_seconds.reset();
             status.lag_unknown_seconds = seconds;
             status.stream_held = held;
           })
        .mood;
  };
  EXPECT_EQ(mood(false, 10), Mood::Busy);
  EXPECT_EQ(mood(false, 90), Mood::Unknown);
  EXPECT_EQ(mood(true, 90), Mood::Busy);
}

TEST(Verdict, WhatCannotBeginIsNotBusyForEver) {
  const MigrationVerdict found = judged([](RunStatus& status) {
    status.phase = Phase::Prepare;
    status.waiting_for = {"target: connection refused"};
    status.prepare_waits_seconds = 75;
  });
  EXPECT_EQ(found.mood, Mood::Trouble);
  EXPECT_THAT(found.text, HasSubstr("for 75 s: waiting for target: connection refused"));
}

TEST(Verdict, AnAbortIsTroubleUntilNothingCanBeWritten) {
  const MigrationVerdict found = judged([](RunStatus& status) {
    status.phase = Phase::Aborted;
    status.paused = {{"abort", "", "uid 7", "", 0}};
    status.abort_waits_for = "the end of what is under way";
  });
  EXPECT_EQ(found.mood, Mood::Trouble);
  EXPECT_THAT(found.text, HasSubstr("have not ended: waiting for the end of what is under way"));
}

TEST(Verdict, APausedTableIsHeldAndHasNotStopped) {
  const MigrationVerdict found = judged([](RunStatus& status) {
    status.tables[1].stopped = "table public.orders is paused";
    status.tables[1].counts.life.paused = true;
    status.paused = {{"table", "public.orders", "uid 7", "", 0}};
  });
  EXPECT_EQ(found.mood, Mood::Held);
  EXPECT_THAT(found.text, HasSubstr("table public.orders is held"));
}

TEST(Verdict, AnAggregateThatDiffersIsTrouble) {
  AggregateResult one;
  one.name = "revenue";
  one.state = AggregateState::Equal;
  EXPECT_EQ(verdict_of(well(), "shop.yaml", {one}).mood, Mood::Well);
  one.state = AggregateState::Different;
  const MigrationVerdict found = verdict_of(well(), "shop.yaml", {one});
  EXPECT_EQ(found.mood, Mood::Trouble);
  EXPECT_THAT(found.text,
              HasSubstr("1 of 1 aggregates differ: revenue; next: lockstep aggregates"));
}

TEST(Verdict, ALogThatIsFullSoonIsTrouble) {
  const auto full_in = [](double seconds) {
    return judged([&](RunStatus& status) { status.kept_wal = KeptWal{900, 1000, seconds}; }).mood;
  };
  EXPECT_EQ(full_in(600), Mood::Trouble);
  EXPECT_EQ(full_in(90'000), Mood::Well);
}

// Of a run that nobody has looked at yet nothing is known, however little speaks against it.
TEST(Verdict, ARunIsNotReadyBeforeItsFirstLook) {
  EXPECT_THAT(not_ready(well(), true), IsEmpty());
  RunStatus status;  // As a run begins.
  EXPECT_THAT(not_ready(status, true), ElementsAre("it is still preparing"));
  status.waiting_for = {"source: cannot connect"};
  EXPECT_THAT(not_ready(status, true), ElementsAre("source: cannot connect"));
  EXPECT_THAT(not_ready(status, false), ElementsAre("source: cannot connect"));
  status.silent_seconds = 20;  // Its first look hangs.
  EXPECT_EQ(verdict_of(status, "shop.yaml").mood, Mood::Unknown);
  status.phase = Phase::Aborted;
  EXPECT_THAT(not_ready(status, false), IsEmpty());
}

// Trouble that waits behind a pause must not be hidden by it.
TEST(Verdict, APauseHidesNoTrouble) {
  const MigrationVerdict found = judged([](RunStatus& status) {
    status.paused = {{"backfill", "", "uid 0", "", 0}};
    status.tables[0].sweep->open_findings = 1;
  });
  EXPECT_EQ(found.mood, Mood::Trouble);
}

}  // namespace
}  // namespace lockstep
