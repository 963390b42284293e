// How long a failed call waits, and that steps which go well between failures do not make a storm.
#include "pipeline/base/backoff.h"

#include <gtest/gtest.h>

namespace lockstep {
namespace {

using std::chrono::milliseconds;

class BackoffTest : public ::testing::Test {
 protected:
  // Fails and waits.
  milliseconds fail() {
    const milliseconds waited = backoff_.next(now_);
    now_ += waited;
    return waited;
  }
  void work(milliseconds time) {
    now_ += time;
    backoff_.went_well(now_);
  }

  Backoff backoff_{1};
  Backoff::Time now_{std::chrono::hours(1)};
};

TEST_F(BackoffTest, DoublesUpToFiveSeconds) {
  for (const int most : {50, 100, 200, 400, 800, 1600, 3200, 5000, 5000}) {
    const milliseconds waited = fail();
    EXPECT_LE(waited, milliseconds(most));
    EXPECT_GE(waited, milliseconds(most / 2));
  }
}

TEST_F(BackoffTest, ShortStepsThatGoWellBetweenFailuresDoNotMakeItFast) {
  for (int i = 0; i < 20; ++i) {
    fail();
    work(milliseconds(2));
  }
  EXPECT_GE(fail(), milliseconds(2500));
}

TEST_F(BackoffTest, BeginsAnewOnceAllWentWellForAsLongAsItWaited) {
  for (int i = 0; i < 20; ++i) fail();
  work(milliseconds(5000));
  EXPECT_LE(fail(), milliseconds(50));
}

// Few failures among much work cost no more time than the work itself.
TEST_F(BackoffTest, WaitsNoLongerThanAboutTheTimeThatGoesWell) {
  milliseconds waited{0};
  milliseconds worked{0};
  for (int i = 0; i < 1000; ++i) {
    waited += fail();
    worked += milliseconds(100);
    work(milliseconds(100));
  }
  EXPECT_LE(waited, worked);
}

}  // namespace
}  // namespace lockstep
