// The governor: who is slowed down, for how long and why.
#include "pipeline/watch/governor.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace lockstep {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using ::testing::ElementsAre;
using ::testing::IsEmpty;

// One gauge with a bound of 5, looked at twice a second.
class GovernorTest : public ::testing::Test {
 protected:
  // Looks for so long at a value.
  void hold(std::optional<double> value, milliseconds time) {
    for (milliseconds passed{0}; passed < time; passed += milliseconds(500)) {
      now_ += milliseconds(500);
      governor_.look({{"stream lag", " s", value, 5}}, now_, 7);
    }
  }

  Governor governor_;
  Governor::Time now_ = Governor::Time(seconds(1000));
};

TEST_F(GovernorTest, NothingIsSlowedBelowTheBound) {
  hold(4.9, seconds(5));
  EXPECT_EQ(governor_.share(), 1);
  EXPECT_THAT(governor_.throttled().reasons, IsEmpty());
}

TEST_F(GovernorTest, OverTheBoundItSlowsMoreAndMoreAndSaysWhy) {
  hold(6, milliseconds(500));
  EXPECT_EQ(governor_.share(), 0.5);
  EXPECT_THAT(governor_.throttled().reasons, ElementsAre("stream lag 6 s > 5 s"));
  EXPECT_EQ(governor_.throttled().since_us, 7);
  hold(6, seconds(10));
  EXPECT_EQ(governor_.share(), 1.0 / 64);
}

// Acceptance 3: it settles within ten seconds after a step of the load.
TEST_F(GovernorTest, ItSettlesWithinTenSecondsBothWays) {
  hold(60, seconds(4));
  EXPECT_EQ(governor_.share(), 1.0 / 64);
  hold(1, seconds(4));
  EXPECT_EQ(governor_.share(), 1);
  EXPECT_THAT(governor_.throttled().reasons, IsEmpty());
  EXPECT_EQ(governor_.throttled().since_us, 0);
}

// What the slowed copy leaves is no reason to let it go on at once.
TEST_F(GovernorTest, JustBelowTheBoundItStaysAsItIs) {
  hold(6, seconds(1));
  const double share = governor_.share();
  hold(4.5, seconds(30));
  EXPECT_EQ(governor_.share(), share);
  EXPECT_THAT(governor_.throttled().reasons, ElementsAre("stream lag 6 s > 5 s"));
}

TEST_F(GovernorTest, WhatIsNotKnownSaysNothing) {
  hold(std::nullopt, seconds(5));
  EXPECT_EQ(governor_.share(), 1);
  hold(6, seconds(1));
  hold(std::nullopt, seconds(5));
  EXPECT_EQ(governor_.share(), 1);
}

TEST_F(GovernorTest, EveryGaugeThatIsOverIsNamed) {
  now_ += seconds(1);
  governor_.look({{"a", "", 30, 25}, {"b", " MiB", 2, 1}, {"c", "", 99, 0}}, now_, 1);
  EXPECT_THAT(governor_.throttled().reasons, ElementsAre("a 30 > 25", "b 2 MiB > 1 MiB"));
}

TEST_F(GovernorTest, WhatCannotBeMeasuredIsSaid) {
  now_ += seconds(1);
  governor_.look({{"a", "", std::nullopt, 25, "GRANT it"}, {"b", "", 0, 0, "no"}}, now_, 1);
  EXPECT_THAT(governor_.throttled().unknown, ElementsAre("a: GRANT it"));
}

TEST_F(GovernorTest, TheThrottledTimeIsCounted) {
  hold(6, seconds(2));
  hold(1, seconds(30));
  const std::map<std::string, double> held = governor_.throttled().seconds;
  ASSERT_THAT(held, testing::SizeIs(1));
  // Four looks halve its share, and four double it again: the last look before it is whole counts.
  EXPECT_NEAR(held.at("stream lag"), 3.5, 0.1);
}

}  // namespace
}  // namespace lockstep
