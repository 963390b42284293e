// One safe resume point per stream (I13).
#include "pipeline/merge/progress.h"

#include <gtest/gtest.h>

namespace lockstep {
namespace {

TEST(Progress, TheSlowestLaneDecides) {
  Progress progress(2, {});
  progress.committed(0, "t/0", {7, 0});
  EXPECT_EQ(progress.least("t/0"), (Position{}));
  progress.committed(1, "t/0", {5, 0});
  EXPECT_EQ(progress.least("t/0"), (Position{5, 0}));
}

TEST(Progress, NeverGoesBack) {
  Progress progress(1, {});
  progress.committed(0, "t/0", {7, 0});
  progress.committed(0, "t/0", {6, 9});
  EXPECT_EQ(progress.least("t/0"), (Position{7, 0}));
}

TEST(Progress, StartsWhereTheTargetStood) {
  const Progress progress(2, {{"t/0", 0, {7, 0}, 3, 4}, {"t/0", 1, {9, 0}, 3, 4}});
  EXPECT_EQ(progress.least("t/0"), (Position{7, 0}));
  EXPECT_EQ(progress.start("t/0", 1)->position, (Position{9, 0}));
  EXPECT_FALSE(progress.start("u/0", 1));
}

TEST(Progress, TellsWhatEachLaneHasCommitted) {
  Progress progress(2, {{"t/0", 1, {9, 0}, 3, 4}});
  progress.committed(1, "u/0", {5, 7});
  const std::vector<ProgressRow> rows = progress.rows();
  ASSERT_EQ(rows.size(), 2U) << "a lane without a position has committed nothing";
  EXPECT_EQ(rows[0].stream, "t/0");
  EXPECT_EQ(rows[0].lane, 1U);
  EXPECT_EQ(rows[0].position, (Position{9, 0}));
  EXPECT_EQ(rows[1].stream, "u/0");
  EXPECT_EQ(rows[1].position, (Position{5, 7}));
}

TEST(Progress, ReachedNamesTheStreamThatIsBehind) {
  Progress progress(1, {});
  progress.committed(0, "t/0", {7, 0});
  std::string behind;
  EXPECT_TRUE(progress.reached({{"t/0", {7, 0}}}, &behind));
  EXPECT_FALSE(progress.reached({{"t/0", {7, 0}}, {"u/0", {1, 0}}}, &behind));
  EXPECT_EQ(behind, "u/0");
}

// A table that stopped on one lane, and not on the other, which had no change of it: the slot would
// never be told to forget anything.
TEST(Progress, ALaneThatNeverHeldATableIsWhereItsStreamIs) {
  Progress progress(2, {{"wal", 0, {9, 0}, 3, 4}, {"wal", 1, {8, 0}, 3, 4}});
  progress.committed(0, "wal/public.a/b", {7, 0});
  EXPECT_EQ(progress.resume_point("wal"), (Position{7, 0}));
  progress.committed(0, "wal/public.a/b", {9, 0});
  EXPECT_EQ(progress.resume_point("wal"), (Position{8, 0}));
  EXPECT_EQ(progress.own_streams("wal"), (std::vector<std::string>{"wal/public.a/b"}));
}

TEST(Progress, ATableThatIsBackInItsStreamHasNoPlaceOfItsOwn) {
  Progress progress(2, {{"wal", 0, {9, 0}, 3, 4},
                        {"wal", 1, {8, 0}, 3, 4},
                        {"wal/public.a", 0, {7, 0}, 3, 4},
                        {"wal/public.a", 1, {8, 0}, 3, 4}});
  progress.rejoined(0, "wal/public.a");
  EXPECT_EQ(progress.least("wal/public.a"), (Position{8, 0}));
  progress.rejoined(1, "wal/public.a");
  EXPECT_TRUE(progress.own_streams("wal").empty());
  EXPECT_EQ(progress.resume_point("wal"), (Position{8, 0}));
}

}  // namespace
}  // namespace lockstep
