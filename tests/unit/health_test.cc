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

}  // namespace
}  // namespace lockstep
