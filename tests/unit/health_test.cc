// What a part waits for: a fault, or something that comes by itself.
#include "pipeline/base/health.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace lockstep {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

TEST(Health, OnlyFaultsAreFaults) {
  Health health;
  EXPECT_TRUE(health.set("source", "not connected"));
  EXPECT_TRUE(health.set_waiting("scan 0 waits", "the source to flush its log"));
  EXPECT_THAT(health.waiting(),
              ElementsAre("scan 0 waits: the source to flush its log", "source: not connected"));
  EXPECT_THAT(health.faults(), ElementsAre("source: not connected"));
  EXPECT_FALSE(health.set("source", "not connected"));  // Nothing new.
  EXPECT_TRUE(health.set("source", ""));
  EXPECT_THAT(health.faults(), IsEmpty());
  EXPECT_TRUE(health.set_waiting("scan 0 waits", ""));
  EXPECT_THAT(health.waiting(), IsEmpty());
  EXPECT_FALSE(health.set_waiting("scan 0 waits", ""));
}

TEST(Health, APartThatFailsAndGoesWellByTurnsIsToldOnce) {
  using News = Health::News;
  Health health;
  const auto at = [](int second) {
    return std::chrono::steady_clock::time_point(std::chrono::hours(1) +
                                                 std::chrono::seconds(second));
  };
  EXPECT_EQ(health.tell("locks", "", at(0)), News::None);
  EXPECT_EQ(health.tell("locks", "target away", at(1)), News::Waits);
  for (int second = 2; second < 20; ++second) {
    EXPECT_EQ(health.tell("locks", "", at(second)), News::None);
    EXPECT_THAT(health.faults(), IsEmpty());
    EXPECT_EQ(health.tell("locks", "target away", at(second)), News::None);
    EXPECT_THAT(health.faults(), ElementsAre("locks: target away"));
  }
  EXPECT_EQ(health.tell("locks", "", at(23)), News::None);
  EXPECT_EQ(health.tell("locks", "", at(24)), News::GoesOn);
  EXPECT_EQ(health.tell("locks", "", at(25)), News::None);
}

TEST(Health, AnotherReasonIsToldOnceItLasts) {
  using News = Health::News;
  Health health;
  const std::chrono::steady_clock::time_point begin(std::chrono::hours(1));
  EXPECT_EQ(health.tell("lane 0", "shut down", begin), News::Waits);
  EXPECT_EQ(health.tell("lane 0", "refused", begin + std::chrono::seconds(1)), News::None);
  EXPECT_EQ(health.tell("lane 0", "refused", begin + std::chrono::seconds(6)), News::Waits);
  EXPECT_EQ(health.tell("lane 0", "refused", begin + std::chrono::seconds(60)), News::None);
}

}  // namespace
}  // namespace lockstep
