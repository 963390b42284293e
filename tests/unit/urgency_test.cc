// Issue D, part 3: priorities, age x change rate x past findings.
#include "pipeline/reconcile/urgency.h"

#include <gtest/gtest.h>

namespace lockstep {
namespace {

TEST(Urgency, GrowsWithTimeChangesAndFindings) {
  EXPECT_LT(urgency_of(10, 0), urgency_of(11, 0));
  EXPECT_LT(urgency_of(10, 0), urgency_of(10, 1));
  EXPECT_LT(urgency_of(10, 1), urgency_of(10, 2));
  EXPECT_LT(change_factor(0, 100), change_factor(1, 100));
  EXPECT_LT(change_factor(10, 1000), change_factor(10, 100));
  EXPECT_EQ(change_factor(0, 0), 1);
}

// A range that is quiet and was equal has its turn, too.
TEST(Urgency, IsBoundedBesideTime) {
  const double quiet = urgency_of(16'001, 0) * change_factor(0, 1);
  const double loud = urgency_of(1000, 1'000'000) * change_factor(1'000'000'000, 1);
  EXPECT_GT(quiet, loud);
  EXPECT_GT(loud, urgency_of(15'999, 0) * change_factor(0, 1));
}

}  // namespace
}  // namespace lockstep
