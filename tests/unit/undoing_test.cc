// Undoing: a pause of apply waits for the statement of a `repair undo`, and not for ever.
#include "daemon/undoing.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace lockstep {
namespace {

using testing::HasSubstr;

TEST(Undoing, APauseWaitsForAWriteUntilItEnds) {
  Undoing undoing;
  const Undoing::Time now{std::chrono::hours(1)};
  EXPECT_EQ(undoing.waits(now), "");
  undoing.begins(17, now);
  EXPECT_THAT(undoing.waits(now), HasSubstr("finding 17"));
  undoing.ends(17);
  EXPECT_EQ(undoing.waits(now), "");
}

TEST(Undoing, AProcessThatDiedIsNotWaitedForLongerThanItsStatementCanTake) {
  Undoing undoing;
  const Undoing::Time now{std::chrono::hours(1)};
  undoing.begins(17, now);
  EXPECT_NE(undoing.waits(now + kUndoWritesMax), "");
  EXPECT_EQ(undoing.waits(now + 2 * kUndoWritesMax), "");
}

}  // namespace
}  // namespace lockstep
