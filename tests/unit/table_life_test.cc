#include "pipeline/apply/table_life.h"

#include <gtest/gtest.h>

namespace lockstep {
namespace {

TableLife after(std::initializer_list<Happening> all) {
  TableLife life;
  for (const Happening one : all) life.on(one);
  return life;
}

using enum Happening;

TEST(TableLife, GoesFromItsFirstChunkToFollowing) {
  EXPECT_EQ(after({}).stage, Stage::Waiting);
  EXPECT_EQ(after({Planned}).stage, Stage::Copying);
  EXPECT_EQ(after({Planned, Copied}).stage, Stage::Following);
  EXPECT_EQ(after({Copied}).stage, Stage::Following) << "Its marks were complete at a start.";
}

TEST(TableLife, ATruncateMakesEveryChunkVoid) {
  const TableLife life = after({Planned, Copied, Voided});
  EXPECT_EQ(life.stage, Stage::Copying);
  EXPECT_FALSE(life.copied);
  EXPECT_EQ(life.generation, 1U);
}

TEST(TableLife, IsCopiedAgainOnlyOnceTheStreamHasPassedWhatWasNoticed) {
  EXPECT_EQ(after({Copied, Passed}).stage, Stage::Following);
  const TableLife noticed = after({Copied, Noticed});
  EXPECT_TRUE(noticed.copied);
  EXPECT_TRUE(noticed.is_doubtful());
  const TableLife again = after({Copied, Noticed, Passed});
  EXPECT_EQ(again.stage, Stage::CopyingAgain);
  EXPECT_FALSE(again.copied);
  EXPECT_EQ(again.generation, 1U);
  EXPECT_TRUE(again.is_doubtful());
}

TEST(TableLife, FollowsAgainWhenTheCatalogHasConfirmedTheNewCopy) {
  EXPECT_EQ(after({Noticed, Passed, Copied}).stage, Stage::CopyingAgain);
  EXPECT_EQ(after({Noticed, Passed, Copied, Settled}).stage, Stage::Following);
  EXPECT_EQ(after({Noticed, Passed, Copied, Voided, Settled}).stage, Stage::Copying)
      << "A TRUNCATE came between the look and its answer.";
}

TEST(TableLife, WhatIsNoticedDuringANewCopyBeginsItOnceMore) {
  const TableLife life = after({Copied, Noticed, Passed, Noticed});
  EXPECT_EQ(life.stage, Stage::Noticed);
  EXPECT_EQ(after({Copied, Noticed, Passed, Noticed, Passed}).generation, 2U);
}

TEST(TableLife, HealsOnceAllItsChunksAreCopied) {
  EXPECT_EQ(after({Missed, Planned}).stage, Stage::Copying);
  EXPECT_FALSE(after({Missed, Planned}).is_settled());
  EXPECT_EQ(after({Missed, Planned, Copied}).stage, Stage::Healing);
  EXPECT_EQ(after({Copied, Missed}).stage, Stage::Healing);
  EXPECT_EQ(after({Copied, Missed, Voided}).stage, Stage::Copying);
  EXPECT_EQ(after({Copied, Missed, Settled}).stage, Stage::Healing) << "It is not over.";
  TableLife life = after({Copied, Missed});
  life.healed = 1;
  life.on(Settled);
  EXPECT_EQ(life.stage, Stage::Following);
}

TEST(TableLife, ANewCopyCuresNothingOfWhatWasMissed) {
  EXPECT_EQ(after({Copied, Missed, Noticed, Passed, Copied, Settled}).stage, Stage::Healing);
  EXPECT_EQ(after({Copied, Noticed, Passed, Missed, Copied, Settled}).stage, Stage::Healing);
}

TEST(TableLife, NothingHappensToAStoppedOne) {
  for (const Happening one : {Planned, Copied, Voided, Missed, Noticed, Passed, Settled, Stopped}) {
    TableLife life = after({Stopped});
    EXPECT_FALSE(life.on(one));
    EXPECT_EQ(life.stage, Stage::Stopped);
    EXPECT_EQ(life.generation, 0U);
  }
}

}  // namespace
}  // namespace lockstep
