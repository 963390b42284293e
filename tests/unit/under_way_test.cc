// When a pause is in force: once nothing is under way that began before it.
#include "pipeline/run/under_way.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace lockstep {
namespace {

using testing::HasSubstr;

TEST(UnderWay, APauseOfApplyWaitsForTheStepsOfLanes) {
  UnderWay under_way(2, 1);
  EXPECT_EQ(under_way.waits_for("apply", false), "");
  under_way.lane_begins(1);
  under_way.lane_writes(1);
  EXPECT_EQ(under_way.waits_for("apply", false),
            "1 of 2 lanes to end what they write to the target");
  EXPECT_EQ(under_way.waits_for("backfill", false), "");
  under_way.lane_ends(1, false);  // It failed: nothing of it is on the target.
  EXPECT_EQ(under_way.waits_for("apply", false), "");
}

TEST(UnderWay, APauseOfTheCopyWaitsUntilNoChunkIsOpen) {
  UnderWay under_way(1, 2);
  under_way.scan_begins(0);
  under_way.scan_ends(0, true, false);
  EXPECT_THAT(under_way.waits_for("backfill", false), HasSubstr("1 of 2 scanners"));
  under_way.scan_begins(0);
  under_way.scan_ends(0, false, true);
  EXPECT_EQ(under_way.waits_for("backfill", false), "");
}

TEST(UnderWay, APauseOfTheComparisonWaitsUntilItIsLeft) {
  UnderWay under_way(1, 1);
  under_way.sweep_begins();
  EXPECT_NE(under_way.waits_for("reconcile", false), "");
  under_way.sweep_is_left();
  EXPECT_EQ(under_way.waits_for("reconcile", false), "");
}

// A batch that failed is made again with the rows that it has, also after the table is held.
TEST(UnderWay, APausedTableWaitsForWhatBeganBefore) {
  UnderWay under_way(2, 1);
  const std::string name = held_table("public.t");
  EXPECT_THAT(under_way.waits_for(name, true), HasSubstr("supervisor"));
  EXPECT_EQ(under_way.waits_for(name, false), "");  // It is no table of this run.
  under_way.lane_begins(0);
  under_way.lane_writes(0);
  under_way.scan_begins(0);
  under_way.scan_ends(0, true, false);
  under_way.holds_table("public.t");
  under_way.lane_begins(1);  // After it: it writes nothing of the table.
  under_way.lane_writes(1);
  EXPECT_THAT(under_way.waits_for(name, true), HasSubstr("1 lanes and 1 scanners"));
  under_way.lane_ends(0, false);
  under_way.scan_begins(0);
  under_way.scan_ends(0, false, false);
  EXPECT_THAT(under_way.waits_for(name, true), HasSubstr("1 lanes and 0 scanners"));
  under_way.lane_begins(0);
  under_way.lane_writes(0);
  under_way.lane_ends(0, true);
  EXPECT_EQ(under_way.waits_for(name, true), "");
}

}  // namespace
}  // namespace lockstep
