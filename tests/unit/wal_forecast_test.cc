// When the source's disk is full: from what was measured, and not before that says something.
#include "pipeline/watch/wal_forecast.h"

#include <gtest/gtest.h>

namespace lockstep {
namespace {

using std::chrono::seconds;

class WalForecastTest : public ::testing::Test {
 protected:
  // Watches for so long while what is kept grows by `per_second`, with jumps of a file's size.
  void watch(seconds time, double per_second) {
    for (seconds passed{0}; passed < time; passed += seconds(1)) {
      now_ += seconds(1);
      mb_ += per_second;
      forecast_.add(mb_ + (now_.time_since_epoch().count() % 2 == 0 ? 0 : 16), now_);
    }
  }

  WalForecast forecast_;
  WalForecast::Time now_{seconds(1000)};
  double mb_ = 100;
};

TEST_F(WalForecastTest, SaysNothingBeforeItHasWatched) {
  watch(seconds(20), 2);
  EXPECT_FALSE(forecast_.forecast(50'000).full_in_seconds);
  EXPECT_NEAR(forecast_.forecast(50'000).mb, 140, 17);
}

TEST_F(WalForecastTest, SaysWhenTheLimitIsReached) {
  watch(seconds(300), 2);
  const KeptWal kept = forecast_.forecast(24'000);
  ASSERT_TRUE(kept.full_in_seconds);
  EXPECT_NEAR(*kept.full_in_seconds, (24'000 - 700) / 2.0, 600);
}

TEST_F(WalForecastTest, WithoutALimitOrGrowthThereIsNoEnd) {
  watch(seconds(300), 2);
  EXPECT_FALSE(forecast_.forecast(std::nullopt).full_in_seconds);
  watch(seconds(900), -0.1);
  EXPECT_FALSE(forecast_.forecast(24'000).full_in_seconds);
}

TEST_F(WalForecastTest, ALoadThatHasEndedIsForgotten) {
  watch(seconds(600), 5);
  watch(seconds(660), 0);
  EXPECT_NEAR(*forecast_.growth(), 0, 0.05);
}

TEST_F(WalForecastTest, PastItsLimitItIsFullNow) {
  watch(seconds(120), 5);
  EXPECT_EQ(*forecast_.forecast(50).full_in_seconds, 0);
}

}  // namespace
}  // namespace lockstep
