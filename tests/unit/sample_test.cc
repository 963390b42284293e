// Keys that were just changed, for the sweep.
#include "pipeline/merge/sample.h"

#include <gtest/gtest.h>

namespace lockstep {
namespace {

using std::chrono::milliseconds;

const Sample::Time kBegin{std::chrono::hours(1)};

TEST(SampleTest, WantsSoManyPerSecond) {
  Sample sample(20);
  std::size_t wanted = sample.allowance(kBegin);
  EXPECT_EQ(wanted, 5U) << "no more than a quarter of a second wants, after any pause";
  wanted = 0;
  for (int ms = 10; ms <= 10'000; ms += 10) wanted += sample.allowance(kBegin + milliseconds(ms));
  EXPECT_NEAR(static_cast<double>(wanted), 200, 1);
}

TEST(SampleTest, WantsNoneWhenNoneAreWanted) {
  Sample sample(0);
  EXPECT_EQ(sample.allowance(kBegin), 0U);
  sample.add({1, "key"});
  EXPECT_TRUE(sample.take().empty());
}

TEST(SampleTest, KeepsNoMoreThanTenSecondsOfThem) {
  Sample sample(2);
  for (TableId i = 0; i < 30; ++i) sample.add({i, "key"});
  const auto keys = sample.take();
  ASSERT_EQ(keys.size(), 20U);
  EXPECT_EQ(keys.back().table, 19U) << "the first ones";
  EXPECT_TRUE(sample.take().empty());
}

}  // namespace
}  // namespace lockstep
