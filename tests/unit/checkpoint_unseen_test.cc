// After a restart U is used only if it is provably current (I5).
#include <gtest/gtest.h>

#include "checkpoint/unseen.h"

namespace lockstep {
namespace {

const Incarnation kFive{5, 900, {901, 905}};

TEST(CurrentUnseen, IsWhatTheIncarnationInheritedAndItsLanesAdded) {
  const std::vector<LaneIntent> intents{{0, 5, 7, {1002, 1001}}, {1, 5, 3, {1001, 905}}};
  const std::vector<LaneBatch> committed{{0, 5, 7}, {1, 5, 3}};
  EXPECT_EQ(current_unseen(kFive, intents, 5, committed), (Unseen{900, {901, 905, 1001, 1002}}));
}

TEST(CurrentUnseen, AnIntentThatWasNotCommittedOnlyAdds) {
  const std::vector<LaneIntent> intents{{0, 5, 8, {1003}}};
  EXPECT_EQ(current_unseen(kFive, intents, 5, std::vector<LaneBatch>{{0, 5, 7}}),
            (Unseen{900, {901, 905, 1003}}));
}

TEST(CurrentUnseen, ALaneThatCommittedNothingNeedsNoIntent) {
  const std::vector<LaneIntent> intents{{0, 5, 1, {1001}}, {1, 4, 60, {800}}};
  const std::vector<LaneBatch> committed{{0, 5, 1}, {1, 4, 60}};
  EXPECT_EQ(current_unseen(kFive, intents, 5, committed), (Unseen{900, {901, 905, 1001}}));
}

TEST(CurrentUnseen, NothingCommittedYetIsWhatWasInherited) {
  EXPECT_EQ(current_unseen(kFive, {}, 5, {}), (Unseen{900, {901, 905}}));
}

TEST(CurrentUnseen, AnOlderCopyOfTheDirectoryIsNotCurrent) {
  const std::vector<LaneIntent> intents{{0, 5, 6, {1001}}, {1, 5, 3, {1001}}};
  const std::vector<LaneBatch> committed{{0, 5, 7}, {1, 5, 3}};
  EXPECT_EQ(current_unseen(kFive, intents, 5, committed), std::nullopt);
}

TEST(CurrentUnseen, AnEmptyDirectoryIsNotCurrent) {
  EXPECT_EQ(current_unseen(std::nullopt, {}, 5, std::vector<LaneBatch>{{0, 5, 7}}), std::nullopt);
  EXPECT_EQ(current_unseen(std::nullopt, {}, 5, {}), std::nullopt);
}

TEST(CurrentUnseen, ALaneWithoutItsIntentIsNotCurrent) {
  const std::vector<LaneIntent> intents{{0, 5, 7, {1001}}};
  const std::vector<LaneBatch> committed{{0, 5, 7}, {1, 5, 1}};
  EXPECT_EQ(current_unseen(kFive, intents, 5, committed), std::nullopt);
}

TEST(CurrentUnseen, AnotherEpochIsNotCurrent) {
  const std::vector<LaneIntent> intents{{0, 5, 7, {1001}}};
  const std::vector<LaneBatch> committed{{0, 5, 7}};
  // A crash after the fence was raised, before the incarnation was recorded.
  EXPECT_EQ(current_unseen(kFive, intents, 6, committed), std::nullopt);
  // A target restored to a point in time.
  EXPECT_EQ(current_unseen(kFive, intents, 4, committed), std::nullopt);
  // Progress of an epoch that the fence never reached: nothing here can be trusted.
  EXPECT_EQ(current_unseen(kFive, intents, 5, std::vector<LaneBatch>{{0, 6, 1}}), std::nullopt);
}

TEST(CurrentUnseen, AnIntentOfAnOlderEpochDoesNotCoverALane) {
  const std::vector<LaneIntent> intents{{0, 4, 99, {1001}}};
  EXPECT_EQ(current_unseen(kFive, intents, 5, std::vector<LaneBatch>{{0, 5, 7}}), std::nullopt);
}

}  // namespace
}  // namespace lockstep
