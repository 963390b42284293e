// The set of keys that open COPYs hold: whatever is added and removed, it answers like a map.
#include "pipeline/merge/key_counts.h"

#include <gtest/gtest.h>

#include <map>
#include <random>

namespace lockstep {
namespace {

TEST(KeyCounts, HoldsNothingAtFirst) { EXPECT_FALSE(KeyCounts().contains({1, 1})); }

TEST(KeyCounts, AKeyHeldTwiceIsLetGoOfTwice) {
  KeyCounts counts;
  counts.add({1, 1});
  counts.add({1, 1});
  counts.remove({1, 1});
  EXPECT_TRUE(counts.contains({1, 1}));
  counts.remove({1, 1});
  EXPECT_FALSE(counts.contains({1, 1}));
}

// Few homes, so that keys are in each other's way; the table grows meanwhile.
TEST(KeyCounts, AnswersLikeAMap) {
  std::mt19937_64 random(20);
  KeyCounts counts;
  std::map<Hash128, int> truth;
  for (int step = 0; step < 200'000; ++step) {
    const Hash128 key{random() % 64, (random() % 64) * 37};
    if (random() % 2 == 0) {
      counts.add(key);
      ++truth[key];
    } else if (truth[key] > 0) {
      counts.remove(key);
      --truth[key];
    }
    const Hash128 other{random() % 64, (random() % 64) * 37};
    ASSERT_EQ(counts.contains(other), truth[other] > 0) << "step " << step;
  }
}

}  // namespace
}  // namespace lockstep
