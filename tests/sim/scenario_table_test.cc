// Scenarios beyond one key: unique values (unique.py), TRUNCATE, key changes, fencing, progress.
#include <gtest/gtest.h>

#include "tests/sim/scenario.h"

namespace lockstep {
namespace {

SimOptions unique_table(LaneMode lanes = LaneMode::All) {
  return scenario_options({FakeTableOptions{.unique = true, .lanes = lanes}});
}

// Both rows on the target, the stream at its end.
void copy_all(Scenario& s) {
  s.scan_all();
  s.deliver();
  s.apply();
}

// unique.py: a value moves on before the event that freed it is applied.
std::string value_moves_on(SimOptions options) {
  Scenario s(std::move(options));
  s.seed(row(1, 0, "a"));
  s.seed(row(2, 0, "b"));
  s.start();
  copy_all(s);
  const Xid x = s.begin();
  s.source.update(x, 0, 1, row(1, 1, "c"), {});
  s.source.update(x, 0, 2, row(2, 1, "a"), {});
  s.commit(x);
  s.deliver();
  for (const std::uint32_t lane : {1u, 0u}) s.apply(lane);
  return s.settle();
}
TEST(UniqueScenario, AValueMovesOn) { EXPECT_EQ(value_moves_on(unique_table()), ""); }
TEST(UniqueScenario, AValueMovesOnInOneLane) {
  EXPECT_EQ(value_moves_on(unique_table(LaneMode::Auto)), "");
}

// A swap fails in either order; only a debt that evicts the holder can end it.
std::string values_are_swapped() {
  Scenario s(unique_table());
  s.seed(row(1, 0, "a"));
  s.seed(row(2, 0, "b"));
  s.start();
  copy_all(s);
  const Xid x = s.begin();
  s.source.swap_unique(x, 0, 1, 2);
  s.commit(x);
  s.deliver();
  s.apply();
  return s.settle();
}
TEST(UniqueScenario, ASwapNeedsAnEviction) { expect_needed(Rule::EvictHolder, values_are_swapped); }
TEST(UniqueScenario, AViolationIsADebt) {
  expect_needed(Rule::DebtOnViolation, values_are_swapped);
}

// The chunk is ahead of the stream: its row holds a value that an older event wants.
TEST(UniqueScenario, TheChunkIsAheadOfTheStream) {
  Scenario s(unique_table());
  s.seed(row(1, 0, "a"));
  s.start();
  const Xid first = s.begin();
  s.source.update(first, 0, 1, row(1, 1, "b"), {});
  s.commit(first);
  const Xid second = s.begin();
  s.source.remove(second, 0, 1);
  s.source.insert(second, 0, row(2, 2, "b"));
  s.commit(second);
  s.scan_all();  // Key 2 with "b".
  s.deliver();
  s.apply();
  EXPECT_EQ(s.settle(), "");
}

// I15: rows that were read before the TRUNCATE wait in the lanes when it arrives.
TEST(TruncateScenario, RowsReadBeforeItAreVoid) {
  Scenario s(scenario_options({FakeTableOptions{.direct_copy = false}}));
  s.seed(row(1, 0));
  s.start();
  const Xid x = s.begin();
  s.scan(4);  // Read; the lane has the row.
  ASSERT_TRUE(s.source.truncate(x, 0));
  s.source.insert(x, 0, row(2, 1));
  s.commit(x);
  s.deliver();
  EXPECT_EQ(s.settle(), "");
}

// An open COPY ends before the TRUNCATE is carried out.
TEST(TruncateScenario, ItWaitsForAnOpenCopy) {
  Scenario s;
  s.seed(row(1, 0));
  s.start();
  s.scan(4);
  ASSERT_TRUE(s.store.copying());
  const Xid x = s.begin();
  ASSERT_TRUE(s.source.truncate(x, 0));
  s.commit(x);
  s.deliver();
  s.apply();
  s.scan(4);
  EXPECT_EQ(s.settle(), "");
  EXPECT_FALSE(s.on_target(1));
}

SimOptions three_partitions() {
  SimOptions options = scenario_options();
  options.partitions = {3};
  return options;
}

// Several partitions: a newer row of another partition is wiped with the rest, so all chunks are
// taken again, also the one that was under way (the simulator's seeds 64 and 1597 found it marked
// done).
TEST(TruncateScenario, AChunkUnderWayDoesNotCountAfterIt) {
  Scenario s(three_partitions());
  s.seed(row(1, 0));
  s.start();
  const Xid x = s.begin();
  ASSERT_TRUE(s.source.truncate(x, 0));
  s.commit(x);
  const Xid y = s.begin();
  for (int id = 1; id <= 6; ++id) s.source.insert(y, 0, row(id, 1));
  s.commit(y);
  s.at("mark_done", [&] { s.deliver(); });
  s.scan(5);  // Copied and committed under a snapshot that sees both; not marked yet.
  s.deliver();
  s.apply();
  s.scan(3);
  s.crash();
  EXPECT_EQ(s.settle(), "");
}

// I2: 1.0 and 1.00 are one key, on the wire they are two.
TEST(KeyScenario, EqualKeysAreOneRow) {
  expect_needed(Rule::LaneByCanonicalKey, [] {
    Scenario s(scenario_options({FakeTableOptions{.key = KeyKind::Numeric}}));
    for (int id = 1; id <= 6; ++id) s.seed(row(id, 0));
    s.start();
    copy_all(s);
    const Xid x = s.begin();
    for (int id = 1; id <= 6; ++id) {
      FakeRow changed = row(id, 1);
      changed.scale = 2;
      s.source.update(x, 0, id, changed, {.split_key = true});
    }
    s.commit(x);
    s.deliver();
    for (const std::uint32_t lane : {1u, 0u, 1u}) s.apply(lane);
    return s.settle();
  });
}

// Both halves of a key change carry one position on the direct stream: they are committed together.
TEST(KeyScenario, ACrashBetweenTheHalvesOfAKeyChange) {
  for (int to = 2; to < 12; ++to) {
    SimOptions options = scenario_options();
    options.mode = StreamMode::Direct;
    options.batch_rows_max = 1;
    Scenario s(options);
    s.seed(row(1, 0));
    s.start();
    copy_all(s);
    const Xid x = s.begin();
    s.source.update(x, 0, 1, row(to, 1), {});
    s.commit(x);
    s.deliver();
    // The process dies in its second transaction from here.
    s.at("apply", [&] { s.at("apply", [&] { s.fail_next("apply", Fate::KilledBefore); }); });
    s.apply();
    s.crash();
    EXPECT_EQ(s.settle(), "") << "to key " << to;
  }
}

// I12: what a killed process had sent arrives after its successor has gone on.
TEST(FenceScenario, AZombieWritesNothing) {
  expect_needed(Rule::Fence, [] {
    Scenario s;
    s.seed(row(1, 0));
    s.start();
    copy_all(s);
    const Xid x = s.begin();
    s.source.update(x, 0, 1, row(1, 1), {});
    s.commit(x);
    s.deliver();
    s.fail_next("apply", Fate::Zombie);
    s.apply();
    s.crash();
    const Xid y = s.begin();
    s.source.remove(y, 0, 1);
    s.commit(y);
    const std::string settled = s.settle();
    s.carry_out_zombies();
    return settled.empty() ? s.difference() : settled;
  });
}

// I19: the toast value is in the full image only.
TEST(FoldScenario, APartialChangeAfterAFullOne) {
  expect_needed(Rule::FoldPartialIntoFull, [] {
    SimOptions options = scenario_options();
    options.item_changes_max = 10;
    Scenario s(options);
    s.start();
    s.scan_all();
    const Xid x = s.begin();
    s.source.insert(x, 0, row(1, 1));
    FakeRow changed = row(1, 1);
    changed.a = "new";
    s.source.update(x, 0, 1, changed, {.toast = false});
    s.commit(x);
    s.deliver();
    return s.settle();
  });
}

// I13: a position that is committed before its change loses the change in a crash.
TEST(ProgressScenario, APositionIsCommittedWithItsChange) {
  expect_needed(Rule::ProgressWithBatch, [] {
    Scenario s;
    s.start();
    s.scan_all();
    const Xid x = s.begin();
    s.source.insert(x, 0, row(1, 1));
    s.commit(x);
    s.deliver();
    // Of the first transaction that is sent, nothing more than itself is carried out.
    s.at("apply", [&] { s.at("apply", [&] { s.fail_next("apply", Fate::KilledBefore); }); });
    s.apply();
    s.crash();
    return s.settle();
  });
}

// Committed and rewritten before the migration begins, and decoded only afterwards: the event is
// older than every row of the scan, and would undo the rewrite.
TEST(ShapeScenario, WhatIsOlderThanTheCopyIsLeftOut) {
  Scenario s;
  s.seed(row(1, 0));
  const Xid x = s.begin();
  s.source.update(x, 0, 1, row(1, 1), {});
  s.source.log_commit(x);
  s.flush();
  s.visible(x);
  ASSERT_TRUE(s.source.rewrite(0));
  s.start();
  s.scan_all();
  EXPECT_EQ(s.settle(), "");
}

// One row is copied, then changed by ALTER TABLE ... USING; the watch has noticed.
void rewrite_after_the_copy(Scenario& s) {
  s.seed(row(1, 1));
  s.start();
  s.scan_all();
  ASSERT_TRUE(s.source.rewrite(0));
  s.watch();
}

// ALTER TABLE ... USING changes rows without an event.  An older event, applied after the table was
// copied again, would undo it: the copy waits for the stream.
TEST(ShapeScenario, ARewrittenTableIsCopiedAgainBehindItsEvents) {
  Scenario s;
  s.seed(row(1, 1));
  s.seed(row(2, 1));
  s.start();
  s.scan_all();
  const Xid x = s.begin();
  s.source.update(x, 0, 1, row(1, 2), {});
  s.commit(x);  // Not delivered yet.
  ASSERT_TRUE(s.source.rewrite(0));
  s.watch();
  s.scan_all();
  EXPECT_NE(s.difference(), "") << "copied in front of its events";
  EXPECT_EQ(s.settle(), "");
}

// Issue E, row 31: behind older events, one of which would delete its row; nothing else is read.
TEST(ShapeScenario, APartitionThatCameWithRowsIsCopiedAlone) {
  Scenario s;
  for (int id = 1; id <= 21; ++id) s.seed(row(id, 1));
  s.start();
  s.scan_all();
  const Xid x = s.begin();
  s.source.remove(x, 0, 21);
  s.commit(x);  // Not delivered yet.
  ASSERT_TRUE(s.source.attach(0, {row(21, 2), row(22, 2), row(23, 2)}));
  const std::size_t read = s.source.rows_read(0);
  s.watch();
  s.scan_all();
  EXPECT_EQ(s.source.rows_read(0), read) << "copied in front of its events";
  EXPECT_EQ(s.settle(), "");
  EXPECT_EQ(s.source.rows_read(0), read + 3);
}

// Issue E, row 31: its copy has no marks of its own; of two that came, the second waits for the
// first.
TEST(ShapeScenario, ThePartitionsCopyBeginsAnewAfterACrash) {
  Scenario s;
  for (int id = 1; id <= 20; ++id) s.seed(row(id, 1));
  s.start();
  s.scan_all();
  for (const int id : {30, 40}) ASSERT_TRUE(s.source.attach(0, {row(id, 2), row(id + 1, 2)}));
  s.watch();
  s.deliver();
  s.apply();
  s.watch();
  s.scan_all();
  EXPECT_TRUE(s.on_target(30));
  EXPECT_FALSE(s.on_target(40));
  s.crash();
  EXPECT_EQ(s.settle(), "");
}

// A partition that comes is stored at once, and what is stored still says what was to be done.
TEST(ShapeScenario, AMarkOutlastsAPartitionThatComes) {
  Scenario s;
  s.seed(row(1, 1));
  s.start();
  s.scan_all();
  s.store.save_files(0, copy_again_text(s.store.files(0)));
  s.crash();
  ASSERT_TRUE(s.source.attach(0, {row(30, 2)}));
  s.watch();
  const auto stored = parse_files(s.store.files(0));
  ASSERT_TRUE(stored.has_value());
  EXPECT_EQ(stored->files.size(), 2U);
  EXPECT_TRUE(stored->copy_again);
  EXPECT_EQ(s.settle(), "");
}

void lose_a_partition(FakeSource::Loss loss, bool crashes) {
  Scenario s;
  for (int id = 1; id <= 20; ++id) s.seed(row(id, 1));
  s.start();
  ASSERT_TRUE(s.source.attach(0, {row(30, 2), row(31, 2), row(40, 2)}));
  EXPECT_EQ(s.settle(), "");
  const Xid x = s.begin();
  s.source.update(x, 0, 31, row(31, 3), {});
  s.source.update(x, 0, 7, row(7, 3), {});
  s.commit(x);  // Not delivered yet.
  ASSERT_TRUE(s.source.lose_partition(0, loss));
  s.watch();
  EXPECT_EQ(s.status().waiting_for.front(), "the heal of public.t0");
  if (crashes) {
    for (int i = 0; i < 12; ++i) s.sweep_round();
    s.crash();
  }
  EXPECT_EQ(s.settle(), "");
  EXPECT_FALSE(s.on_target(31));
  EXPECT_TRUE(s.on_target(7));
}

// Its rows are on the target, and no event tells that they are gone.
TEST(ShapeScenario, ATableHealsThatHasLostAPartition) {
  for (const auto loss : {FakeSource::Loss::Truncated, FakeSource::Loss::Detached})
    for (const bool crashes : {false, true}) lose_a_partition(loss, crashes);
}

// A row that is left out of the new copy, since an event of it is newer, may lack what the event
// did not carry: it is read again.
TEST(ShapeScenario, ARowLeftOutOfTheNewCopyIsReadAgain) {
  Scenario s;
  rewrite_after_the_copy(s);
  s.deliver();
  s.apply();
  s.watch();
  s.at("start_read", [&] {
    const Xid x = s.begin();
    FakeRow changed = *s.source.find(x, 0, 1);
    changed.a = "later";
    s.source.update(x, 0, 1, changed, {.toast = false});
    s.log(x);
    s.flush();
    s.deliver();
    s.apply();
    s.visible(x);
  });
  s.scan_all();
  EXPECT_EQ(s.debts(), 1u);
  EXPECT_EQ(s.settle(), "");
}

// ALTER TABLE ... USING over the key: the old keys are in no chunk, and must go.  An event that is
// applied before, between or after finds its place.
TEST(ShapeScenario, KeysThatTheNewCopyLacksGo) {
  Scenario s;
  for (int id = 1; id <= 4; ++id) s.seed(row(id, 1));
  s.start();
  s.scan_all();
  ASSERT_TRUE(s.source.rewrite(0, FakeSource::Keys::Moved));
  const Xid x = s.begin();
  FakeRow changed = *s.source.find(x, 0, 3);
  changed.a = "later";
  s.source.update(x, 0, 3, changed, {.toast = false});
  s.commit(x);
  s.watch();
  EXPECT_EQ(s.settle(), "");
}

// The process dies in the middle of the new copy: the stored files say that it is not complete.
TEST(ShapeScenario, ACopyThatWasCutShortBeginsAnew) {
  Scenario s;
  rewrite_after_the_copy(s);
  s.crash();
  EXPECT_EQ(s.settle(), "");
}

}  // namespace
}  // namespace lockstep
