// What reconciliation keeps in the state directory: ranges and findings, over a restart.
#include "checkpoint/verified_records.h"

#include <gtest/gtest.h>

#include "tests/unit/checkpoint_fixture.h"

namespace lockstep {
namespace {

Finding finding(std::string table, std::uint64_t key, std::int64_t seen_us) {
  Finding found;
  found.table = std::move(table);
  found.key_hash = {key, 0};
  found.key = "k" + std::to_string(key);
  found.first_seen_us = found.last_seen_us = seen_us;
  return found;
}

TEST_F(Checkpoint, KeepsRangesOfEachTableOverARestart) {
  const VerifiedRange low{{{}, "m"}, 5, 7, 3};
  const VerifiedRange high{{"m", {}}, 6, 8, 4};
  {
    const auto store = open();
    ASSERT_TRUE(store->verified().save_ranges("a.t", std::vector{low, high}, {}));
    ASSERT_TRUE(store->verified().save_ranges("a.t2", std::vector{low}, {}));
  }
  const auto store = open();
  const auto ranges = store->verified().load_ranges("a.t");
  ASSERT_TRUE(ranges);
  ASSERT_EQ(ranges->size(), 2U);
  EXPECT_EQ((*ranges)[0].range.upper, "m");
  EXPECT_FALSE((*ranges)[0].range.lower);
  EXPECT_EQ((*ranges)[1].position, 8U);
  const std::vector<std::optional<std::string>> gone{"m"};
  ASSERT_TRUE(store->verified().save_ranges("a.t", {}, gone));
  EXPECT_EQ(store->verified().load_ranges("a.t")->size(), 1U);
  ASSERT_TRUE(store->verified().forget_ranges("a.t"));
  EXPECT_TRUE(store->verified().load_ranges("a.t")->empty());
  EXPECT_EQ(store->verified().load_ranges("a.t2")->size(), 1U);
}

TEST_F(Checkpoint, FindingsHaveNumbersAndStayOverARestart) {
  {
    const auto store = open();
    VerifiedStore& verified = store->verified();
    EXPECT_EQ(verified.save_finding(finding("a.t", 1, 10)), 1U);
    EXPECT_EQ(verified.save_finding(finding("a.t", 2, 11)), 2U);
    EXPECT_EQ(verified.count_open("a.t"), 2U);
    EXPECT_EQ(verified.count_open("a.u"), 0U);
  }
  const auto store = open();
  VerifiedStore& verified = store->verified();
  const auto unknown = verified.find("a.t", {3, 0});
  ASSERT_TRUE(unknown);
  EXPECT_FALSE(*unknown);
  auto known = verified.find("a.t", {2, 0});
  ASSERT_TRUE(known && *known);
  EXPECT_EQ((*known)->id, 2U);
  EXPECT_EQ((*known)->first_seen_us, 11);
  (*known)->state = FindingState::Repaired;
  EXPECT_EQ(verified.save_finding(**known), 2U);
  const auto open_ones = verified.open_findings("a.t", 10);
  ASSERT_TRUE(open_ones);
  ASSERT_EQ(open_ones->size(), 1U);
  EXPECT_EQ(open_ones->front().id, 1U);
  EXPECT_EQ(verified.count_open("a.t"), 1U);
  // Another divergence of a row that was equal in between is another finding.
  EXPECT_EQ(verified.save_finding(finding("a.t", 2, 30)), 3U);
}

}  // namespace
}  // namespace lockstep
