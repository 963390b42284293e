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

// Issue D, part 6: a heal that died goes on.
TEST_F(Checkpoint, WhatAHealIsForIsKnownUntilItIsOver) {
  {
    const auto store = open();
    EXPECT_EQ(store->verified().load_heal("a.t"), "");
    ASSERT_TRUE(store->verified().save_heal("a.t", "7 @0 1/2/3"));
  }
  const auto store = open();
  EXPECT_EQ(store->verified().load_heal("a.t"), "7 @0 1/2/3");
  EXPECT_EQ(store->verified().load_heal("a.u"), "");
  ASSERT_TRUE(store->verified().save_heal("a.t", ""));
  EXPECT_EQ(store->verified().load_heal("a.t"), "");
}

TEST_F(Checkpoint, OfWhichCopyRangesAreIsKnownOverARestart) {
  {
    const auto store = open();
    EXPECT_EQ(store->verified().load_copy("a.t"), "");
    ASSERT_TRUE(store->verified().save_copy("a.t", "first"));
    ASSERT_TRUE(store->verified().save_copy("a.t", "second"));
    EXPECT_EQ(store->verified().load_target_end(), Lsn{0});
    ASSERT_TRUE(store->verified().save_target_end(~Lsn{0}));
  }
  const auto store = open();
  EXPECT_EQ(store->verified().load_copy("a.t"), "second");
  EXPECT_EQ(store->verified().load_copy("a.t2"), "");
  EXPECT_EQ(store->verified().load_target_end(), ~Lsn{0});
}

// V8: a target that went back was compared by nobody.
TEST_F(Checkpoint, ForgetsWhatWasComparedAndKeepsWhatIsOpen) {
  Finding repaired = finding("a.t", 1, 10);
  repaired.state = FindingState::Repaired;
  {
    const auto store = open();
    VerifiedStore& verified = store->verified();
    for (const char* const table : {"a.t", "b.t"}) {
      ASSERT_TRUE(verified.save_ranges(table, std::vector{VerifiedRange{{}, 5, 7, 3}}, {}));
      ASSERT_TRUE(verified.save_heal(table, "missed"));
      ASSERT_TRUE(verified.save_copy(table, "copy"));
    }
    ASSERT_TRUE(verified.begin_shape("a.u", "shape"));
    ASSERT_TRUE(verified.save_target_end(5));
    ASSERT_TRUE(verified.save_finding(repaired));
    ASSERT_TRUE(verified.save_finding(finding("a.t", 2, 10)));
    ASSERT_TRUE(verified.forget_compared());
  }
  const auto store = open();
  VerifiedStore& verified = store->verified();
  for (const char* const table : {"a.t", "b.t"}) {
    EXPECT_TRUE(verified.load_ranges(table)->empty());
    EXPECT_EQ(verified.load_heal(table), "");
    EXPECT_EQ(verified.load_copy(table), "");
  }
  EXPECT_EQ(verified.load_target_end(), Lsn{0});
  EXPECT_EQ(verified.load_shape("a.u"), "shape");
  EXPECT_FALSE(*verified.find(1));
  EXPECT_TRUE(*verified.find(2));
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
  const auto by_id = verified.find(2);
  ASSERT_TRUE(by_id && *by_id);
  EXPECT_EQ((*by_id)->key, "k2");
  EXPECT_FALSE(*verified.find(17));
  (*known)->state = FindingState::Undone;
  EXPECT_EQ(verified.save_finding(**known), 2U);
  EXPECT_EQ(verified.count_open("a.t"), 2U) << "the row is not equal";
  EXPECT_EQ((*verified.find(2))->state, FindingState::Undone);
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

// Issue D, part 5: the newest stay, as what a repair can be taken back from.
TEST_F(Checkpoint, WhoWroteARowAndSinceWhenStaysKnownOverARestart) {
  Finding found = finding("a.t", 1, 10);
  found.writer = {17, "another session"};
  found.become(FindingState::Undone, 20);
  ASSERT_TRUE(open()->verified().save_finding(found));
  const auto store = open();
  const auto known = store->verified().find("a.t", found.key_hash);
  ASSERT_TRUE(known && *known);
  EXPECT_EQ((*known)->state_since_us, 20);
  EXPECT_EQ(cause_text(**known), "another session");
}

// V9: after a restart nobody can tell any more that a transaction was not ours.
TEST(Finding, AWriterStaysKnownWhileTheRowIsOfTheSameTransaction) {
  const TargetWriter known{17, "another session"};
  TargetWriter seen{17, ""};
  keep_known_writer(seen, known);
  EXPECT_EQ(seen.foreign, "another session");
  seen = {17, "another session; connected now: psql"};
  keep_known_writer(seen, known);
  EXPECT_EQ(seen.foreign, "another session") << "who was connected then says more";
  for (TargetWriter other : {TargetWriter{18, ""}, TargetWriter{}}) {
    keep_known_writer(other, known);
    EXPECT_EQ(other.foreign, "") << "it was written again, by whoever";
  }
  seen = {0, ""};
  keep_known_writer(seen, {});
  EXPECT_EQ(seen.foreign, "");
}

TEST_F(Checkpoint, FindingsThatAreNotOpenGoAfterAWhile) {
  const auto store = open();
  VerifiedStore& verified = store->verified();
  for (std::uint64_t key = 1; key <= 6; ++key) {
    Finding one = finding("a.t", key, static_cast<std::int64_t>(10 * key));
    if (key != 1) one.state = key % 2 == 0 ? FindingState::Repaired : FindingState::Resolved;
    ASSERT_TRUE(verified.save_finding(one));
  }
  const auto left = [&] {
    std::string keys;
    for (std::uint64_t id = 1; id <= 6; ++id)
      if (const auto found = verified.find(id); *found) keys += (*found)->key;
    return keys;
  };
  ASSERT_TRUE(verified.prune(0, 10));
  EXPECT_EQ(left(), "k1k2k3k4k5k6");
  ASSERT_TRUE(verified.prune(25, 10));
  EXPECT_EQ(left(), "k1k3k4k5k6") << "an open one stays, however old it is";
  ASSERT_TRUE(verified.prune(25, 2));
  EXPECT_EQ(left(), "k1k5k6");
  ASSERT_TRUE(verified.prune(0, 0));
  EXPECT_EQ(left(), "k1k6") << "who reads the store later must not give its number again";
  EXPECT_EQ(verified.save_finding(finding("a.t", 9, 1)), 7U) << "no number twice";
}

// Issue D, part 5: a key that was an int is none of a bigint.
TEST_F(Checkpoint, WhatIsStoredInAnotherFormIsForgotten) {
  {
    const auto store = open();
    VerifiedStore& verified = store->verified();
    EXPECT_EQ(*verified.load_shape("a.t"), "");
    ASSERT_TRUE(verified.begin_shape("a.t", "id integer"));
    ASSERT_TRUE(verified.save_finding(finding("a.t", 1, 10)));
    ASSERT_TRUE(verified.save_finding(finding("a.t2", 1, 10)));
    ASSERT_TRUE(verified.save_ranges("a.t", std::vector{VerifiedRange{}}, {}));
  }
  const auto store = open();
  VerifiedStore& verified = store->verified();
  EXPECT_EQ(*verified.load_shape("a.t"), "id integer");
  ASSERT_TRUE(verified.begin_shape("a.t", "id bigint"));
  EXPECT_EQ(*verified.load_shape("a.t"), "id bigint");
  EXPECT_EQ(verified.count_open("a.t"), 0U);
  EXPECT_EQ(verified.count_open("a.t2"), 1U);
  EXPECT_TRUE(verified.load_ranges("a.t")->empty());
}

}  // namespace
}  // namespace lockstep
