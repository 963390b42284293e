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
