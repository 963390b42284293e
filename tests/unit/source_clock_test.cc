// SourceClock: how far two clocks are apart, as far as an answer that took its time can prove it.
#include "pipeline/base/source_clock.h"

#include <gtest/gtest.h>

namespace lockstep {
namespace {

TEST(SourceClock, AnswersThatFitTellOfNoDifference) {
  SourceClock clock;
  clock.told(1'050, 1'000, 1'100);
  EXPECT_EQ(clock.ahead_us(), 0);
  EXPECT_EQ(clock.at(2'000), 2'000);
}

TEST(SourceClock, AClockThatIsBehindOrAheadIsFollowed) {
  SourceClock clock;
  clock.told(10'000, 16'000, 16'100);
  EXPECT_EQ(clock.ahead_us(), -6'000);
  EXPECT_EQ(clock.at(17'000), 11'000);
  clock.told(26'100, 17'000, 17'100);
  EXPECT_EQ(clock.ahead_us(), 9'000);
}

TEST(SourceClock, ASlowAnswerTakesNothingBackThatIsKnown) {
  SourceClock clock;
  clock.told(10'000, 16'000, 16'100);
  clock.told(14'000, 15'000, 25'000);
  EXPECT_EQ(clock.ahead_us(), -6'000);
}

TEST(SourceClock, WhileOurClockIsSetBackNothingIsLearnt) {
  SourceClock clock;
  clock.told(10'000, 16'000, 15'000);
  EXPECT_EQ(clock.ahead_us(), 0);
}

}  // namespace
}  // namespace lockstep
