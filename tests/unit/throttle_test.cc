// The backfill's pace: rows, bytes, and the governor's share of the time.
#include "pipeline/backfill/throttle.h"

#include <gtest/gtest.h>

namespace lockstep {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr Pacer::Time kFirst{seconds(1000)};

milliseconds rest(const Pacer& pacer, Pacer::Time now) {
  return std::chrono::duration_cast<milliseconds>(pacer.next() - now);
}

TEST(Pacer, WithoutALimitNobodyWaits) {
  Pacer pacer({});
  pacer.spend({1000, 1'000'000}, kFirst);
  EXPECT_LE(pacer.next(), kFirst);
}

TEST(Pacer, TheTighterOfRowsAndBytesCounts) {
  Pacer pacer({100, 1000, 1});
  pacer.spend({100, 10}, kFirst);
  EXPECT_EQ(rest(pacer, kFirst), seconds(1));
  Pacer of_bytes({100, 1000, 1});
  of_bytes.spend({100, 3000}, kFirst);
  EXPECT_EQ(rest(of_bytes, kFirst), seconds(3));
}

// A quarter of the time: three times as long as it worked.
TEST(Pacer, OfAShareItRestsForTheOthers) {
  Pacer pacer({});
  pacer.spend({1, 1}, kFirst);
  pacer.set({0, 0, 0.25});
  auto now = kFirst + milliseconds(100);
  EXPECT_FALSE(pacer.waits(now));
  pacer.spend({1, 1}, now);
  EXPECT_EQ(rest(pacer, now), milliseconds(300));
  // What it waits is no work, wherever its own work ends.
  EXPECT_TRUE(pacer.waits(now + milliseconds(50)));
  now += milliseconds(350);
  EXPECT_FALSE(pacer.waits(now));
  pacer.spend({1, 1}, now);
  EXPECT_EQ(rest(pacer, now), milliseconds(300));
}

// The governor changes the share just when a limit matters most.
TEST(Pacer, AnotherShareForgivesNothingOfALimit) {
  Pacer pacer({1000, 0, 1});
  pacer.spend({20'000, 1}, kFirst);
  for (const double share : {0.5, 0.25, 0.5, 1.0}) {
    pacer.set({1000, 0, share});
    EXPECT_EQ(rest(pacer, kFirst), seconds(20));
  }
  pacer.set({2000, 0, 1});  // Another limit counts at once.
  EXPECT_LE(pacer.next(), kFirst);
}

TEST(Pacer, NoRestIsSoLongThatABetterShareGoesUnnoticed) {
  Pacer pacer({0, 0, 1.0 / 64});
  pacer.spend({1, 1}, kFirst);
  EXPECT_LE(rest(pacer, kFirst), seconds(2));
  pacer.set({});
  EXPECT_LE(pacer.next(), kFirst);
}

}  // namespace
}  // namespace lockstep
