// Issue D, part 10: the sentence that `explain-row` ends in, and its exit code.
#include "daemon/row_verdict.h"

#include <gmock/gmock.h>

namespace lockstep {
namespace {

using testing::HasSubstr;

// A row of a table that is followed by a daemon, and differs with nothing under way.
RowFacts differing() {
  RowFacts row;
  row.manifest = "shop.yaml";
  row.table = "public.orders";
  row.state = "following";
  row.copied = row.running = row.proven = true;
  row.sides = RowSides::Differing;
  row.columns = {"qty"};
  return row;
}

TEST(RowVerdict, ARowThatDiffersUnexplainedIsToBeCompared) {
  const RowVerdict verdict = row_verdict(differing());
  EXPECT_EQ(verdict.exit, ExitCode::Different);
  EXPECT_EQ(verdict.text,
            "differs in qty, and nothing known explains it: lockstep reconcile shop.yaml --once "
            "--table public.orders");
}

TEST(RowVerdict, EqualRowsAreEqualWhateverElseIsKnown) {
  RowFacts row = differing();
  row.sides = RowSides::Absent;
  row.copied = row.proven = false;
  row.debt.emplace();
  EXPECT_EQ(row_verdict(row).exit, ExitCode::Ok);
  EXPECT_EQ(row_verdict(row).text, "absent on both sides");
}

TEST(RowVerdict, OfAStoppedTableNothingIsToBeTold) {
  RowFacts row = differing();
  row.state = "stopped";
  row.reason = "its column is gone";
  row.sides = RowSides::Equal;
  EXPECT_EQ(row_verdict(row).exit, ExitCode::Incomplete);
  EXPECT_EQ(row_verdict(row).text,
            "equal on both sides now, but the table has stopped: its column is gone");
}

TEST(RowVerdict, OfAPausedTableThePauseIsNamed) {
  RowFacts row = differing();
  row.state = "paused";
  row.copied = row.proven = false;  // As nobody can say of it.
  row.reason =
      "table public.orders is paused since 2026-11-27T04:00:00Z by uid 0; next: lockstep resume "
      "shop.yaml --table 'public.orders'";
  EXPECT_EQ(row_verdict(row).exit, ExitCode::Incomplete);
  EXPECT_EQ(row_verdict(row).text, "differs in qty now, but the table is paused: " + row.reason);
}

TEST(RowVerdict, WhileApplyIsHeldNobodyIsToldToAskAgain) {
  RowFacts row = differing();
  row.proven = false;
  row.held = "apply is paused since 2026-11-27T04:00:00Z by uid 0; next: lockstep resume shop.yaml";
  EXPECT_EQ(row_verdict(row).exit, ExitCode::Incomplete);
  EXPECT_THAT(row_verdict(row).text, testing::EndsWith(row.held));
  row.running = false;
  EXPECT_THAT(row_verdict(row).text, testing::EndsWith(row.held));
  row.sides = RowSides::Equal;
  EXPECT_EQ(row_verdict(row).exit, ExitCode::Ok);
}

TEST(RowVerdict, WhatIsUndoneIsSoSinceThatMoment) {
  RowFacts row = differing();
  row.finding.emplace();
  row.finding->first_seen_us = 1'000'000;
  row.finding->become(FindingState::Undone, 61'000'000);
  EXPECT_THAT(row_verdict(row).text, HasSubstr("is undone since 1970-01-01T00:01:01Z"));
  row.finding->last_seen_us = 90'000'000;
  row.finding->become(FindingState::Undone, 90'000'000);
  EXPECT_THAT(row_verdict(row).text, HasSubstr("is undone since 1970-01-01T00:01:01Z"));
}

TEST(RowVerdict, WhatIsUnderWayIsNoDifference) {
  RowFacts unproven = differing();
  unproven.proven = false;
  RowFacts pending = differing();
  pending.copied = false;
  RowFacts healing = differing();
  healing.state = "healing";
  for (const RowFacts& row : {unproven, pending, healing})
    EXPECT_EQ(row_verdict(row).exit, ExitCode::Incomplete) << row_verdict(row).text;
}

TEST(RowVerdict, ADebtExplainsTheDifference) {
  RowFacts row = differing();
  row.debt = QuarantinedRow{};
  row.debt->id = "00ff";
  row.debt->state = "open";
  row.debt->reason = "missing_row";
  EXPECT_EQ(row_verdict(row).exit, ExitCode::Different);
  EXPECT_THAT(row_verdict(row).text, HasSubstr("a debt is open"));
  row.debt->state = "quarantined";
  EXPECT_THAT(row_verdict(row).text, HasSubstr("lockstep quarantine retry shop.yaml 00ff"));
  row.debt->state = "dropped";
  EXPECT_THAT(row_verdict(row).text, HasSubstr("somebody has accepted that"));
}

TEST(RowVerdict, AFindingIsNamedWhileItIsOpen) {
  RowFacts row = differing();
  row.finding.emplace();
  row.finding->id = 7;
  EXPECT_THAT(row_verdict(row).text, HasSubstr("lockstep repair shop.yaml --id 7"));
  row.finding->state = FindingState::Repaired;
  EXPECT_THAT(row_verdict(row).text, HasSubstr("nothing known explains it"));
}

TEST(RowVerdict, RowsThatTheManifestKeepsAreWell) {
  RowFacts row = differing();
  row.sides = RowSides::ExtraInTarget;
  row.keeps_rows = true;
  EXPECT_EQ(row_verdict(row).exit, ExitCode::Ok);
}

TEST(RowVerdict, WithoutADaemonItMayBeThatNobodyHasAppliedTheChange) {
  RowFacts row = differing();
  row.running = row.proven = false;
  EXPECT_EQ(row_verdict(row).exit, ExitCode::Different);
  EXPECT_THAT(row_verdict(row).text, HasSubstr("lockstep does not run"));
}

}  // namespace
}  // namespace lockstep
