// Ranges of keys that were compared: they always cover everything, whatever is cut, joined,
// verified or read back from what was stored.
#include "pipeline/reconcile/coverage.h"

#include <gtest/gtest.h>

#include <map>
#include <random>
#include <set>

namespace lockstep {
namespace {

constexpr std::uint64_t kRows = 10;

// Keys of one letter, whose order is that of their bytes.
std::optional<std::string> key(char letter) { return std::string(1, letter); }

VerifiedRange result(std::int64_t at_us, Lsn position, std::uint64_t rows) {
  return {{}, at_us, position, rows};
}

// Takes what is due before `before`, cut at `cut`.
Coverage::RangeId take(Coverage& coverage, std::int64_t before, std::optional<std::string> cut) {
  const auto due = coverage.due(before, kRows);
  EXPECT_TRUE(due);
  return coverage.take(due->range, cut).value();
}

TEST(Coverage, BeginsWithOneRangeThatWasNeverCompared) {
  const Coverage coverage;
  EXPECT_FALSE(coverage.verified_through());
  EXPECT_EQ(coverage.oldest_us(), 0);
  const auto due = coverage.due(1, kRows);
  ASSERT_TRUE(due);
  EXPECT_FALSE(due->known);
  EXPECT_FALSE(due->range.lower || due->range.upper);
}

TEST(Coverage, KnowsThePositionOnlyOnceAllIsCompared) {
  Coverage coverage;
  const auto first = take(coverage, 100, key('m'));
  EXPECT_TRUE(coverage.busy());
  coverage.verified(first, result(50, 7, 3), 0);
  EXPECT_FALSE(coverage.verified_through());
  coverage.verified(take(coverage, 100, {}), result(60, 9, 4), 0);
  EXPECT_EQ(coverage.verified_through(), 7U);
  EXPECT_EQ(coverage.oldest_us(), 50);
  EXPECT_EQ(coverage.rows(), 7U);
  EXPECT_FALSE(coverage.due(50, kRows));
}

TEST(Coverage, WhatCouldNotBeComparedKeepsWhatWasKnownAndIsNotDueAtOnce) {
  Coverage coverage;
  coverage.verified(take(coverage, 100, {}), result(50, 7, 3), 0);
  coverage.untold(take(coverage, 100, {}), 120);
  EXPECT_EQ(coverage.verified_through(), 7U);
  EXPECT_EQ(coverage.oldest_us(), 50);
  EXPECT_FALSE(coverage.due(120, kRows));
  EXPECT_TRUE(coverage.due(121, kRows));
}

TEST(Coverage, SmallNeighboursJoin) {
  Coverage coverage;
  coverage.verified(take(coverage, 100, key('f')), result(50, 7, 3), 0);
  coverage.verified(take(coverage, 100, key('m')), result(51, 6, 4), 0);
  coverage.verified(take(coverage, 100, {}), result(52, 9, 8), 0);
  const auto due = coverage.due(100, kRows);
  ASSERT_TRUE(due);
  EXPECT_TRUE(due->known);
  EXPECT_EQ(due->range.upper, key('m'));  // 3 + 4 rows; the third would make 15.
  const auto joined = coverage.take(due->range, {}).value();
  EXPECT_EQ(coverage.ranges(), 2U);
  EXPECT_EQ(coverage.verified_through(), 6U);
  EXPECT_EQ(coverage.taken().gone, std::vector<std::optional<std::string>>{key('f')});
  coverage.released(joined);
  EXPECT_EQ(coverage.verified_through(), 6U);
}

// Issue D, part 3: of two that wait about as long, that in which rows were not equal is the next.
TEST(Coverage, WhereRowsWereUnequalIsComparedFirst) {
  Coverage coverage;
  coverage.verified(take(coverage, 100, key('f')), result(50, 7, 9), 0);
  coverage.verified(take(coverage, 100, {}), result(51, 7, 9), 3);
  EXPECT_EQ(coverage.due(100, kRows)->range.lower, key('f'));
  EXPECT_EQ(coverage.due(1'000'000, kRows)->range.lower, key('f'));
  EXPECT_EQ(coverage.due(51, kRows)->range.upper, key('f')) << "the other is not due";
  EXPECT_EQ(coverage.due(51, 2 * kRows, 1)->range.upper, std::nullopt) << "it soon is";
}

TEST(Coverage, TellsWhichRangesWaitLongest) {
  Coverage coverage;
  coverage.verified(take(coverage, 100, key('f')), result(60, 7, 9), 0);
  coverage.verified(take(coverage, 100, key('m')), result(50, 8, 9), 0);
  ASSERT_EQ(coverage.oldest(9).size(), 3U);
  EXPECT_FALSE(coverage.oldest(9)[0].known());
  EXPECT_EQ(coverage.oldest(9)[1].at_us, 50);
  EXPECT_EQ(coverage.oldest(1).size(), 1U);
}

TEST(Coverage, AGapInWhatIsStoredBeginsAnew) {
  const VerifiedRange low{{{}, key('f')}, 1, 7, 3};
  const VerifiedRange high{{key('m'), {}}, 1, 7, 3};
  EXPECT_FALSE(Coverage({low, high}, 100).verified_through());
  EXPECT_EQ(Coverage({low, high}, 100).ranges(), 1U);
  const VerifiedRange middle{{key('f'), key('m')}, 1, 5, 3};
  EXPECT_EQ(Coverage({high, low, middle}, 100).verified_through(), 5U);
}

// The clock was put back by an hour since: what was compared then is not taken for newer than now.
TEST(Coverage, ARangeFromTheFutureIsDueInTime) {
  const VerifiedRange all{{}, 5000, 7, 3};
  EXPECT_TRUE(Coverage({all}, 100).due(101, kRows));
  Coverage asked({all}, 100);
  EXPECT_FALSE(asked.due(1, kRows));
  asked.ask();
  EXPECT_TRUE(asked.due(1, kRows));
}

// A server that says of a key that it lies between two others where another range begins at it has
// not the order that the ranges are in: it would go round in circles, and ranges be lost.
TEST(Coverage, ACutAtWhichAnotherRangeBeginsIsRefused) {
  Coverage coverage;
  const auto first = take(coverage, 100, key('f'));
  const auto second = take(coverage, 100, key('m'));
  const auto rest = coverage.due(100, kRows);
  ASSERT_TRUE(rest);
  for (const char bound : {'f', 'm'}) EXPECT_FALSE(coverage.take(rest->range, key(bound)));
  EXPECT_EQ(coverage.ranges(), 3U);
  coverage.verified(first, result(50, 7, 3), 0);
  coverage.verified(second, result(51, 7, 3), 0);
  EXPECT_FALSE(coverage.take({{}, key('f')}, key('m')));
  coverage.verified(take(coverage, 100, {}), result(52, 7, 3), 0);
  EXPECT_EQ(coverage.verified_through(), 7U);
  // Of ranges that become one an old bound may stand again.
  const auto all = coverage.due(100, kRows);
  ASSERT_TRUE(all && !all->range.upper);
  EXPECT_TRUE(coverage.take(all->range, key('m')));
  EXPECT_EQ(coverage.ranges(), 2U);
}

// Whatever happens in whatever order, with what is stored by take() and verified() alone: the
// ranges that a restart reads back are those of before, without a gap.
TEST(Coverage, WhatIsStoredIsWhole) {
  for (std::uint32_t seed = 0; seed < 200; ++seed) {
    std::mt19937 random(seed);
    Coverage coverage;
    std::map<std::optional<std::string>, VerifiedRange> stored;
    std::set<Coverage::RangeId> busy;
    for (int step = 1; step < 60; ++step) {
      const auto due = coverage.due(step, kRows);
      if (due && random() % 2 == 0) {
        const char low = due->range.lower ? due->range.lower->front() : 'a';
        const char high = due->range.upper ? due->range.upper->front() : 'z';
        const char cut = static_cast<char>(low + 1 + static_cast<char>(random() % 5));
        busy.insert(coverage.take(due->range, cut < high ? key(cut) : std::nullopt).value());
        for (const auto& lower : coverage.taken().gone) stored.erase(lower);
        for (const VerifiedRange& range : coverage.taken().put) stored[range.range.lower] = range;
      } else if (!busy.empty()) {
        const auto id = *busy.begin();
        busy.erase(id);
        const VerifiedRange now =
            coverage.verified(id, result(step, static_cast<Lsn>(step), random() % 8), 0);
        stored[now.range.lower] = now;
      }
      std::vector<VerifiedRange> read;
      for (const auto& [lower, range] : stored) read.push_back(range);
      if (read.empty()) continue;
      const Coverage again(read, 1000);
      ASSERT_EQ(again.ranges(), coverage.ranges()) << "seed " << seed << ", step " << step;
      ASSERT_EQ(again.verified_through(), coverage.verified_through()) << "seed " << seed;
    }
  }
}

}  // namespace
}  // namespace lockstep
