// What a lane remembers of its keys, and which of them an open COPY holds (I3, I4, I7, I18).
#include "pipeline/merge/recent.h"

#include <gtest/gtest.h>

#include <array>

namespace lockstep {
namespace {

constexpr Hash128 kRecentKey{1, 1};
constexpr Hash128 kRecentOther{2, 2};
const Snapshot kSeesTen{11, 11, {}};
const Snapshot kDoesNotSeeTen{10, 11, {10}};

class RecentTest : public ::testing::Test {
 protected:
  Recent::CopyJudgement open(const Hash128& key, const Snapshot& snapshot) {
    std::array<Recent::CopyJudgement, 1> judgement;
    recent_.open_for_copy(0, std::array{key}, snapshot, judgement);
    return judgement[0];
  }

  Visibility visibility_{0, {}};
  Recent recent_{2, 2, visibility_};
};

TEST_F(RecentTest, ARowIsDroppedWhenItsChangeIsNotSeen) {
  recent_.record(0, kRecentKey, 10, 0);
  EXPECT_EQ(recent_.judge(0, kRecentKey, kDoesNotSeeTen), Judgement::Drop);
  EXPECT_EQ(recent_.judge(0, kRecentKey, kSeesTen), Judgement::Write);
  EXPECT_EQ(recent_.judge(0, kRecentOther, kDoesNotSeeTen), Judgement::Write);
}

// A key change has the row read again under its new key, and comes through the old key's stream.
TEST_F(RecentTest, OfEachStreamTheLastChangeIsRemembered) {
  recent_.record(0, kRecentKey, 10, 0);
  recent_.record(0, kRecentKey, 7, 1);
  EXPECT_EQ(recent_.judge(0, kRecentKey, kDoesNotSeeTen), Judgement::Drop);
  EXPECT_EQ(recent_.last_change(0, kRecentKey), 10u);
  EXPECT_EQ(recent_.judge(0, kRecentKey, kSeesTen), Judgement::Write);
  visibility_.probed(kDoesNotSeeTen);
  recent_.forget();
  EXPECT_EQ(recent_.entries(), 1u);
  EXPECT_EQ(recent_.judge(0, kRecentKey, kDoesNotSeeTen), Judgement::Drop);
}

// Seeds 55139 and 90777: the row of an unreadable DELETE was read again and was gone, and an older
// chunk row then came after it.
TEST_F(RecentTest, ALaterChangeOfTheSameStreamTakesThePlaceOfAnEarlierOne) {
  recent_.record(0, kRecentKey, 7, 0);
  recent_.record(0, kRecentKey, 10, 0);
  EXPECT_EQ(recent_.entries(), 1u);
  EXPECT_EQ(recent_.judge(0, kRecentKey, kDoesNotSeeTen), Judgement::Drop);
}

TEST_F(RecentTest, AnUnknownTransactionIsNeverSeen) {
  recent_.record(0, kRecentKey, 0, 0);
  EXPECT_EQ(recent_.judge(0, kRecentKey, kSeesTen), Judgement::Drop);
}

TEST_F(RecentTest, ForgetsOnceAProbeSeesTheChange) {
  recent_.record(0, kRecentKey, 10, 0);
  visibility_.probed(kDoesNotSeeTen);
  recent_.forget();
  EXPECT_EQ(recent_.entries(), 1u);
  visibility_.probed(kSeesTen);
  recent_.forget();
  EXPECT_EQ(recent_.entries(), 0u);
}

TEST_F(RecentTest, OverflowDegradesOneTableOnly) {
  recent_.record(1, Hash128{7, 7}, 10, 0);
  recent_.record(0, kRecentKey, 10, 0);
  recent_.record(0, kRecentOther, 10, 0);
  EXPECT_EQ(recent_.entries(), 1u);
  EXPECT_EQ(recent_.judge(0, Hash128{9, 9}, kDoesNotSeeTen), Judgement::Retake);
  EXPECT_EQ(recent_.judge(1, Hash128{9, 9}, kDoesNotSeeTen), Judgement::Write);
  EXPECT_EQ(recent_.judge(0, kRecentKey, kSeesTen), Judgement::Write);
}

TEST_F(RecentTest, ATruncateVoidsSnapshotsThatDoNotSeeIt) {
  recent_.record_table(0, 10);
  EXPECT_EQ(recent_.judge(0, kRecentKey, kDoesNotSeeTen), Judgement::Retake);
  EXPECT_EQ(recent_.open_mark(0, kDoesNotSeeTen), Judgement::Retake);
  visibility_.probed(kSeesTen);
  recent_.forget();
  EXPECT_EQ(recent_.judge(0, kRecentKey, kDoesNotSeeTen), Judgement::Write);
}

TEST_F(RecentTest, AnOpenCopyHoldsItsKeysUntilClosed) {
  EXPECT_FALSE(open(kRecentKey, kSeesTen).via_lane);
  EXPECT_TRUE(recent_.copy_open(kRecentKey));
  EXPECT_EQ(recent_.open_copies(0), 1u);
  recent_.close_copy(0, std::array{kRecentKey});
  EXPECT_FALSE(recent_.copy_open(kRecentKey));
  EXPECT_EQ(recent_.open_copies(0), 0u);
}

TEST_F(RecentTest, AKeyThatWasWrittenGoesThroughItsLane) {
  recent_.record(0, kRecentKey, 10, 0);
  EXPECT_TRUE(open(kRecentKey, kSeesTen).via_lane);
  EXPECT_FALSE(recent_.copy_open(kRecentKey));
}

Hash128 numbered(std::uint64_t number) { return hash128(std::to_string(number), 0); }

// Of a table that is copied for hours beside many writes.
TEST_F(RecentTest, FewRowsTakeTheirLaneForKeysThatOthersHave) {
  constexpr std::uint64_t kWritten = 1'000'000;
  for (std::uint64_t i = 0; i < kWritten; ++i) {
    recent_.record(0, numbered(i), 10, 0);
    if (i % 10'000 != 0) continue;
    EXPECT_TRUE(open(numbered(i), kSeesTen).via_lane);
  }
  EXPECT_TRUE(open(numbered(0), kSeesTen).via_lane);
  EXPECT_TRUE(open(numbered(kWritten - 1), kSeesTen).via_lane);
  int via_lane = 0;
  for (std::uint64_t i = 0; i < 10'000; ++i)
    via_lane += open(numbered(kWritten + i), kSeesTen).via_lane ? 1 : 0;
  EXPECT_LT(via_lane, 2000);
}

// While nothing is copied nobody needs to know; what S does not see is remembered all the same
// (I7).
TEST_F(RecentTest, WhatNobodyAsksForIsForgotten) {
  constexpr std::uint64_t kWritten = 300'000;
  for (std::uint64_t i = 0; i < kWritten; ++i) recent_.record(0, numbered(i), 10, 0);
  EXPECT_FALSE(open(numbered(0), kSeesTen).via_lane);
  EXPECT_TRUE(open(numbered(kWritten - 1), kSeesTen).via_lane);
  EXPECT_EQ(open(numbered(0), kDoesNotSeeTen).judgement, Judgement::Retake);
}

TEST_F(RecentTest, NoCopyBeginsWhileTheTableIsHeld) {
  recent_.hold_copies(0, true);
  EXPECT_TRUE(open(kRecentKey, kSeesTen).via_lane);
  EXPECT_EQ(recent_.open_mark(0, kSeesTen), Judgement::Drop);
  recent_.hold_copies(0, false);
  EXPECT_EQ(recent_.open_mark(0, kSeesTen), Judgement::Write);
  recent_.close_mark(0);
}

// Issue E, row 18: not the table that happens to be written to when there are too many.
TEST_F(RecentTest, OverflowDegradesTheLargestTable) {
  recent_.record(0, kRecentKey, 10, 0);
  recent_.record(0, kRecentOther, 10, 0);
  recent_.record(1, Hash128{7, 7}, 10, 0);
  EXPECT_EQ(recent_.entries(), 1u);
  EXPECT_EQ(recent_.judge(0, Hash128{9, 9}, kDoesNotSeeTen), Judgement::Retake);
  EXPECT_EQ(recent_.judge(1, Hash128{9, 9}, kDoesNotSeeTen), Judgement::Write);
  EXPECT_EQ(recent_.judge(1, Hash128{7, 7}, kDoesNotSeeTen), Judgement::Drop);
}

}  // namespace
}  // namespace lockstep
