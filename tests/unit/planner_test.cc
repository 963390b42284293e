// Chunks cover a table once, across restarts, retakes and TRUNCATE (I10, I15).
#include "pipeline/backfill/planner.h"

#include <gtest/gtest.h>

namespace lockstep {
namespace {

using std::chrono::milliseconds;
using Kind = Planner::Next::Kind;

class PlannerTest : public ::testing::Test {
 protected:
  static PlannerOptions options() {
    PlannerOptions options;
    options.order = {0};
    return options;
  }
  // Plans the next chunk up to `upper`; nothing: to the table's end.
  ChunkTask plan(std::optional<std::string> upper) {
    const Planner::Next next = planner_.next();
    EXPECT_EQ(next.kind, Kind::Plan);
    return planner_.planned(next.task, std::move(upper));
  }
  static ChunkMark mark(std::uint64_t first, std::uint64_t last, std::optional<std::string> lower,
                        std::optional<std::string> upper) {
    return {0, first, last, {std::move(lower), std::move(upper)}, 10};
  }

  TableBoard board_{1};
  Planner planner_{options(), board_};
};

TEST_F(PlannerTest, ChunksFollowEachOther) {
  const ChunkTask first = plan("k");
  const ChunkTask second = plan(std::nullopt);
  EXPECT_FALSE(first.range.lower);
  EXPECT_EQ(second.range.lower, "k");
  EXPECT_FALSE(second.range.upper);
  EXPECT_EQ(planner_.next().kind, Kind::Wait);
  planner_.done(first, 1, milliseconds(1));
  planner_.done(second, 1, milliseconds(1));
  EXPECT_TRUE(planner_.all_done());
  EXPECT_EQ(board_.life(0).stage, Stage::Following);
}

TEST_F(PlannerTest, OneWorkerPlansAtATime) {
  EXPECT_EQ(planner_.next().kind, Kind::Plan);
  EXPECT_EQ(planner_.next().kind, Kind::Wait);
}

TEST_F(PlannerTest, AFailedPlanIsAskedAgain) {
  planner_.plan_failed(planner_.next().task);
  EXPECT_EQ(planner_.next().kind, Kind::Plan);
}

TEST_F(PlannerTest, AChunkToRetakeComesFirst) {
  const ChunkTask first = plan("k");
  planner_.retake(first, false);
  const Planner::Next next = planner_.next();
  EXPECT_EQ(next.kind, Kind::Scan);
  EXPECT_EQ(next.task.range.upper, "k");
}

// Somebody holds a lock on the first table: the one worker there is copies the others meanwhile.
TEST(PlannerOfSeveral, ATableThatCannotBeReadLetsTheOthersPass) {
  TableBoard board{2};
  PlannerOptions options;
  options.order = {0, 1};
  Planner planner{options, board};
  planner.plan_failed(planner.next().task);
  std::vector<TableId> offered;
  for (int i = 0; i < 3; ++i) {
    const Planner::Next next = planner.next();
    ASSERT_EQ(next.kind, Kind::Plan);
    offered.push_back(next.task.table);
    if (next.task.table == 0)
      planner.plan_failed(next.task);
    else
      planner.done(planner.planned(next.task, "k"), 1, milliseconds(1));
  }
  EXPECT_EQ(offered, (std::vector<TableId>{1, 1, 0}));
  const ChunkTask last = planner.planned(planner.next().task, std::nullopt);
  EXPECT_EQ(last.table, 1u);
  planner.done(last, 1, milliseconds(1));
  EXPECT_EQ(planner.next().task.table, 0u);  // There is no other one left.
}

TEST_F(PlannerTest, MarksLeaveTheirGaps) {
  planner_.restore({mark(0, 0, {}, "b"), mark(2, 2, "d", {})});
  const Planner::Next gap = planner_.next();
  EXPECT_EQ(gap.kind, Kind::Scan);
  EXPECT_EQ(gap.task.range.lower, "b");
  EXPECT_EQ(gap.task.range.upper, "d");
  planner_.done(gap.task, 1, milliseconds(1));
  EXPECT_TRUE(planner_.all_done());
}

TEST_F(PlannerTest, MarksUpToACursorGoOnThere) {
  planner_.restore({mark(0, 3, {}, "m")});
  const Planner::Next next = planner_.next();
  EXPECT_EQ(next.kind, Kind::Plan);
  EXPECT_EQ(next.task.range.lower, "m");
  EXPECT_EQ(next.task.first, 4u);
}

TEST_F(PlannerTest, ForgottenChunksAreTakenAgainAndOldOnesDoNotCount) {
  const ChunkTask old = plan(std::nullopt);
  board_.void_chunks(0);
  EXPECT_FALSE(planner_.current(old));
  planner_.retake(old, false);
  EXPECT_FALSE(planner_.all_done());
  const ChunkTask fresh = plan(std::nullopt);
  EXPECT_TRUE(planner_.current(fresh));
  planner_.done(fresh, 1, milliseconds(1));
  EXPECT_TRUE(planner_.all_done());
}

// Its rows are on their way to the lanes, and older than what would be read now.
TEST_F(PlannerTest, NothingIsReadAgainWhileAnOldChunkIsOut) {
  const ChunkTask old = plan(std::nullopt);
  board_.void_chunks(0);
  EXPECT_EQ(planner_.next().kind, Kind::Wait);
  planner_.done(old, 1, milliseconds(1));
  EXPECT_EQ(planner_.next().kind, Kind::Plan);
}

// The request may not have been taken yet when somebody asks.
TEST_F(PlannerTest, IsNotDoneOnceChunksAreForgotten) {
  planner_.done(plan(std::nullopt), 1, milliseconds(1));
  board_.void_chunks(0);
  EXPECT_FALSE(planner_.all_done());
}

TEST_F(PlannerTest, AStoppedTableIsLeftAlone) {
  board_.stop(0, "drift");
  EXPECT_EQ(planner_.next().kind, Kind::Done);
}

}  // namespace
}  // namespace lockstep
