// Scenarios of claims: what the program says of itself, and how it ends.
#include <gtest/gtest.h>

#include "tests/sim/scenario.h"

namespace lockstep {
namespace {

using std::chrono::milliseconds;

SimOptions following() {
  SimOptions options = scenario_options();
  options.until_synced = false;
  options.lanes = 1;
  return options;
}

// One row, copied and proven.
std::string follow(Scenario& s) {
  s.seed(row(1, 0));
  s.start();
  std::string wrong = s.settle();
  if (wrong.empty() && !s.status().synced) wrong = "not synced";
  return wrong;
}

void update(Scenario& s, int version) {
  const Xid x = s.begin();
  s.source.update(x, 0, 1, row(1, version), {});
  s.commit(x);
}

// Issue E, row 3: a lane that waits, say for a lock on the target's table, ends `synced` at once.
std::string a_lane_waits() {
  Scenario s(following());
  if (std::string wrong = follow(s); !wrong.empty()) return wrong;
  update(s, 1);
  s.deliver();
  s.fail_next("apply", Fate::LostBefore);
  s.apply_once();
  return s.status().synced && s.difference() != "" ? "synced beside a lane that waits" : "";
}
TEST(ClaimScenario, ALaneThatWaitsEndsSynced) {
  expect_needed(Rule::ContradictedProof, a_lane_waits);
}

// Issue E, row 3: what the last look of a proof notices ends the claim of the proof before it.
std::string a_table_is_rewritten_during_a_proof() {
  Scenario s(following());
  if (std::string wrong = follow(s); !wrong.empty()) return wrong;
  bool noticed = false;
  s.at("proof", [&s] { EXPECT_TRUE(s.source.rewrite(0)); });
  for (int i = 0; i < 20 && !noticed; ++i) {
    s.pass(milliseconds(500));
    s.watch();
    noticed = s.status().tables.at(0).counts.life.stage == Stage::Noticed;
    if (noticed && s.status().synced) return "synced beside a table that was rewritten";
    s.deliver();
    s.apply();
  }
  return noticed ? "" : "nobody noticed the rewrite";
}
TEST(ClaimScenario, ATableThatIsRewrittenEndsSynced) {
  expect_needed(Rule::ContradictedProof, a_table_is_rewritten_during_a_proof);
}

// Issue E, rows 3 and 4: nothing is known of a source that is away, and no number is made up.
TEST(ClaimScenario, ASourceThatIsAwayEndsSyncedAndLagIsUnknown) {
  Scenario s(following());
  ASSERT_EQ(follow(s), "");
  EXPECT_EQ(s.status().lag_seconds, 0.0);
  s.fail_next("poll", Fate::LostBefore);
  s.poll_once();
  s.pass(milliseconds(3000));
  EXPECT_FALSE(s.status().synced);
  EXPECT_FALSE(s.status().lag_seconds);
  EXPECT_GE(s.status().lag_unknown_seconds, 3.0);
  s.poll_once();
  s.watch();
  EXPECT_TRUE(s.status().synced);
  EXPECT_EQ(s.status().lag_seconds, 0.0);
}

// Commits have the source's times: of a clock that is behind ours no lag comes, and of one that is
// ahead none is hidden.
TEST(ClaimScenario, LagGoesByTheClockOfTheSource) {
  Scenario s(following());
  ASSERT_EQ(follow(s), "");
  update(s, 1);
  s.deliver();
  s.fail_next("apply", Fate::LostBefore);
  s.apply_once();  // The lane has it, and waits.
  for (const std::int64_t since_us : {2'000'000, 9'000'000, 3'000'000}) {
    s.source.clock_us = static_cast<std::int64_t>(s.source.insert_lsn()) + since_us;
    s.probe();
    EXPECT_NEAR(s.status().lag_seconds.value_or(0), static_cast<double>(since_us) / 1e6, 0.1);
  }
}

// Issue E, row 4: a stream that brings nothing, and of which nobody knows that it should not.
TEST(ClaimScenario, LagIsUnknownOnceNoProofIsReached) {
  Scenario s(following());
  ASSERT_EQ(follow(s), "");
  for (int i = 0; i < 20; ++i) {
    s.pass(milliseconds(1000));
    s.poll_once();
    s.fail_next("emit_marker", Fate::LostBefore);
    s.watch();
  }
  EXPECT_FALSE(s.status().lag_seconds);
  EXPECT_FALSE(s.status().synced);
}

// I13: a target that was put back while nothing is to be written.  A conclusion that sees it first
// does not take it for something that keeps it from being drawn.
TEST(ClaimScenario, ATargetThatIsPutBackDuringAProofEndsTheRun) {
  Scenario s(following());
  ASSERT_EQ(follow(s), "");
  bool put_back = false;
  s.at("proof", [&] {
    s.at("count_debts", [&] {
      s.store.lose_progress();
      put_back = true;
    });
  });
  for (int i = 0; i < 40 && !put_back; ++i) {
    s.pass(milliseconds(500));
    s.deliver();
    s.apply();
    const bool goes_on = s.try_watch().has_value();
    EXPECT_EQ(goes_on, !put_back);
  }
  EXPECT_TRUE(put_back);
}

// A first look that hangs is noticed: until then nothing is known.
TEST(ClaimScenario, ARunThatNobodyHasLookedAtIsSilent) {
  Scenario s(following());
  s.seed(row(1, 0));
  s.start();
  s.pass(milliseconds(90'000));
  EXPECT_FALSE(s.status().looked);
  EXPECT_GE(s.status().silent_seconds, 90);
  EXPECT_TRUE(s.status().tables.empty());
  s.watch();
  EXPECT_TRUE(s.status().looked);
  EXPECT_EQ(s.status().silent_seconds, 0);
  EXPECT_EQ(s.status().tables.at(0).quarantined, 0U);
}

// Issue E, row 9.
TEST(EndScenario, AnEndThatIsCutOffIsTold) {
  expect_needed(Rule::CutDrainIsTold, [] {
    Scenario s(following());
    if (std::string wrong = follow(s); !wrong.empty()) return wrong;
    update(s, 1);
    return std::string(s.end(true) == ExitCode::Temporary ? "" : "ends as asked");
  });
}

// Issue E, row 40.
TEST(EndScenario, StoppedBeforeItWasSyncedIsIncomplete) {
  expect_needed(Rule::StopIsNotSynced, [] {
    Scenario s;
    s.seed(row(1, 0));
    s.start();
    return std::string(s.end(false) == ExitCode::Incomplete ? "" : "ends as synced");
  });
}

TEST(EndScenario, AStoppedRunThatFollowsEndsAsAsked) {
  Scenario s(following());
  ASSERT_EQ(follow(s), "");
  EXPECT_EQ(s.end(false), ExitCode::Ok);
}

// Issue E, row 18: one worker, and a table whose every change is a debt.
TEST(FairScenario, DebtsDoNotStarveTheCopy) {
  SimOptions options = scenario_options();
  options.scanners = 1;
  options.chunk_rows = 1;
  Scenario s(options);
  for (int id = 1; id <= 6; ++id) s.seed(row(id, 0));
  s.start();
  for (int i = 0; i < 300; ++i) {
    s.reread(1 + i % 6);
    s.poll_once();
    s.apply_once();
    s.read_once();
  }
  s.watch();
  EXPECT_TRUE(s.status().tables[0].counts.life.copied);
}

// Thousands of lines, of which each is looked for in all, else.
TEST(EndScenario, ManyTablesThatAreNotCopiedYetAreOneLine) {
  std::vector<FakeTableOptions> tables(6);
  for (TableId id = 0; id < tables.size(); ++id) tables[id].id = id;
  Scenario s(scenario_options(tables));
  for (TableId id = 0; id < tables.size(); ++id) s.seed(row(1, 0), id);
  s.start();
  s.watch();
  const std::vector<std::string> waits = s.status().waiting_for;
  ASSERT_FALSE(waits.empty());
  EXPECT_EQ(waits.front(), "the backfill of public.t0, public.t1, public.t2 and 3 more tables");
  EXPECT_EQ(std::ranges::count_if(
                waits, [](const std::string& line) { return line.contains("backfill"); }),
            1);
}

// Of millions a count takes long, and the target has other work.
TEST(EndScenario, DebtsAreCountedForASmallPartOfTheTimeOnly) {
  Scenario s;
  s.seed(row(1, 0));
  s.start();
  s.scan_all();
  s.deliver();
  s.apply();
  s.reread(1);
  s.deliver();
  s.apply();
  ASSERT_EQ(s.debts(), 1U);
  s.at("count_debts", [&s] { s.pass(std::chrono::seconds(1)); });
  s.pass(std::chrono::seconds(10));
  s.watch();
  const std::size_t counted = s.calls("count_debts");
  ASSERT_GT(counted, 0U);
  for (int second = 0; second < 15; ++second) {
    s.pass(std::chrono::seconds(1));
    s.watch();
  }
  EXPECT_EQ(s.calls("count_debts"), counted);
  s.pass(std::chrono::seconds(10));
  s.watch();
  EXPECT_GT(s.calls("count_debts"), counted);
  EXPECT_EQ(s.settle(), "");
}

}  // namespace
}  // namespace lockstep
