// The models' interleavings of one key, one chunk and the stream (model.py, merged.py): each breaks
// a plausible design, and with it the rule that it is for.
#include <gtest/gtest.h>

#include "tests/sim/scenario.h"

namespace lockstep {
namespace {

constexpr Wire kToastLeftAlone{false, false, false};

FakeRow with_a(FakeRow row, const std::string& a) {
  row.a = a;
  return row;
}

// model.py 1: applied before the snapshot, visible only after it.
TEST(ChunkScenario, AppliedBeforeTheSnapshotThatDoesNotSeeIt) {
  Scenario s;
  s.seed(row(1, 0));
  s.start();
  const Xid x = s.begin();
  s.source.update(x, 0, 1, row(1, 1), {});
  s.log(x);
  s.deliver();
  s.apply();
  s.scan(3);  // Must not be accepted.
  s.visible(x);
  EXPECT_EQ(s.settle(), "");
}

// model.py 2: nothing is in flight, so a careless design forgets the change.
TEST(ChunkScenario, ForgetsOnlyWhatAProbeSees) {
  Scenario s;
  s.seed(row(1, 0));
  s.start();
  const Xid x = s.begin();
  s.source.update(x, 0, 1, row(1, 1), {});
  s.log(x);
  s.deliver();
  s.apply();
  s.probe();
  s.apply();
  s.scan(3);
  s.visible(x);
  s.probe();
  EXPECT_EQ(s.settle(), "");
}

// model.py 3 and 3b: after a crash nothing is remembered; the last event being visible is not
// enough.
TEST(ChunkScenario, AfterACrashASnapshotMustSeeEverythingApplied) {
  expect_needed(Rule::AcceptSnapshot, [] {
    Scenario s;
    s.seed(row(1, 0));
    s.seed(row(2, 0));
    s.start();
    const Xid first = s.begin();
    const Xid second = s.begin();
    s.source.update(first, 0, 1, row(1, 1), {});
    s.source.update(second, 0, 2, row(2, 2), {});
    s.log(second);
    s.commit(first);
    s.deliver();
    s.apply();
    s.crash();
    s.scan(4);  // Rows read before `second` is visible.
    s.visible(second);
    return s.settle();
  });
}

// The same without a usable checkpoint: then the largest xid in progress decides.
TEST(ChunkScenario, AnOlderTransactionMayBeTheOneThatIsNotVisible) {
  expect_needed(Rule::AcceptSnapshot, [] {
    Scenario s;
    s.seed(row(1, 0));
    s.start();
    const Xid older = s.begin();
    const Xid newer = s.begin();
    s.source.update(older, 0, 1, row(1, 1), {});
    s.source.insert(newer, 0, row(2, 2));
    s.log(older);
    s.commit(newer);
    s.deliver();
    s.apply();
    s.store.claim();  // An incarnation that recorded nothing: U is not provable.
    s.crash();
    s.scan(4);
    s.visible(older);
    return s.settle();
  });
}

// model.py 4: a chunk that was read after the delete does not make the delete superfluous.
TEST(ChunkScenario, ADeleteIsAppliedAlthoughItsChunkIsDone) {
  expect_needed(Rule::NeverSkipForChunk, [] {
    Scenario s;
    s.seed(row(1, 0));
    s.start();
    s.scan(4);  // The row is in an open COPY...
    const Xid x = s.begin();
    s.source.remove(x, 0, 1);
    s.commit(x);
    s.scan(4);  // ... which commits; the chunk is done.
    s.probe();
    s.deliver();
    return s.settle();
  });
}

// model.py 5: the value exists only in the source's table.
TEST(ChunkScenario, AnUnchangedToastValueOfARowNotCopiedYet) {
  expect_needed(Rule::DebtForMissingRow, [] {
    Scenario s;
    s.seed(row(1, 0));
    s.start();
    const Xid x = s.begin();
    s.at("start_read", [&] {
      s.source.update(x, 0, 1, with_a(row(1, 0), "new"), kToastLeftAlone);
      s.log(x);
      s.deliver();
      s.apply();
    });
    s.scan(8);  // Its row is dropped: the change is newer.
    s.visible(x);
    return s.settle();
  });
}

// model.py 6.
TEST(ChunkScenario, ARowThatAChangeOvertookIsDropped) {
  expect_needed(Rule::DropUnseenRow, [] {
    Scenario s(scenario_options({FakeTableOptions{.direct_copy = false}}));
    s.seed(row(1, 0));
    s.start();
    s.scan(3);  // The snapshot is taken, nothing is read yet.
    const Xid x = s.begin();
    s.source.update(x, 0, 1, row(1, 1), {});
    s.commit(x);
    s.deliver();
    s.apply();
    return s.settle();
  });
}

// merged.py "no I3": the row is judged when the change is already on its way.
TEST(ChunkScenario, AChangeIsRememberedBeforeItIsSent) {
  expect_needed(Rule::RecordBeforeSend, [] {
    Scenario s;
    s.seed(row(1, 0));
    s.start();
    const Xid x = s.begin();
    s.source.remove(x, 0, 1);
    s.flush();
    s.at("start_read", [&] {
      s.log(x);
      s.deliver();
      s.apply();
    });
    s.scan(8);
    s.visible(x);
    return s.settle();
  });
}

// A snapshot in flight does not see the change although the newest probe does.
TEST(ChunkScenario, ASnapshotInFlightKeepsTheMemory) {
  expect_needed(Rule::ForgetOnlyVisible, [] {
    Scenario s;
    s.seed(row(1, 0));
    s.start();
    const Xid x = s.begin();
    s.source.remove(x, 0, 1);
    s.flush();
    s.at("start_read", [&] {
      s.commit(x);
      s.deliver();
      s.apply();
      s.probe();
      s.apply();
    });
    s.scan(8);
    return s.settle();
  });
}

// I5 with S registered late: the answer to BEGIN travels while a probe overtakes it.
TEST(ChunkScenario, ASnapshotCountsAsInFlightBeforeItBegins) {
  expect_needed(Rule::RegisterBeforeBegin, [] {
    Scenario s;
    s.seed(row(1, 0));
    s.start();
    const Xid x = s.begin();
    s.source.update(x, 0, 1, row(1, 1), {});
    s.source.remove(x, 0, 1);
    s.flush();
    s.at("after_snapshot", [&] {
      s.commit(x);
      s.deliver();
      s.apply();
      s.probe();
      s.apply();
    });
    s.scan(8);
    return s.settle();
  });
}

// I6: what a crash of the source takes back must not have reached the target.
TEST(ChunkScenario, AVisibleCommitThatWasNotFlushed) {
  expect_needed(Rule::WaitForFlush, [] {
    Scenario s;
    s.start();
    const Xid x = s.begin(CommitMode::Async);
    s.source.insert(x, 0, row(1, 1));
    s.source.log_commit(x);
    s.visible(x);
    s.scan(8);
    s.source.crash();
    return s.settle();
  });
}

// I6 for probes: the number of a transaction that was lost is used again.
TEST(ChunkScenario, AProbeMustNotSeeWhatACrashTakesBack) {
  expect_needed(Rule::WaitForFlush, [] {
    Scenario s;
    s.seed(row(1, 0));
    s.start();
    const Xid lost = s.begin(CommitMode::Async);
    s.source.log_commit(lost);
    s.visible(lost);
    s.probe();
    s.source.crash();
    const Xid again = s.begin();
    s.source.remove(again, 0, 1);
    s.log(again);
    s.deliver();
    s.apply();
    for (int i = 0; i < 8; ++i) {
      s.pass(std::chrono::seconds(1));  // A refused snapshot has another try.
      s.scan(1);
    }
    s.visible(again);
    return again == lost ? s.settle() : "the number is not used again";
  });
}

// merged.py "no I18": rows of an open COPY are invisible to the lane's DELETE.
TEST(ChunkScenario, ADeleteOfAKeyInAnOpenCopyWaits) {
  expect_needed(Rule::OpenCopySet, [] {
    Scenario s;
    s.seed(row(1, 0));
    s.start();
    s.scan(4);
    const Xid x = s.begin();
    s.source.remove(x, 0, 1);
    s.commit(x);
    s.deliver();
    s.apply();
    s.scan(4);
    return s.settle();
  });
}

// The first I18 cycle: the lane waits for the COPY, and nothing waits for the lane.
TEST(ChunkScenario, ALaneThatWaitsForACopyGoesOnAfterIt) {
  Scenario s;
  s.seed(row(1, 0));
  s.start();
  s.scan(4);
  ASSERT_TRUE(s.store.copying());
  const Xid x = s.begin();
  s.source.update(x, 0, 1, with_a(row(1, 0), "new"), kToastLeftAlone);
  s.commit(x);
  s.deliver();
  s.apply();
  EXPECT_FALSE(s.on_target(1));
  s.scan(1);
  s.apply();
  EXPECT_EQ(s.store.rows(0).at(1).a, "new");
  EXPECT_EQ(s.debts(), 0u);
}

// The second one: a scanner with an open COPY has rows for the lane that waits for it.
TEST(ChunkScenario, AScannerWithAnOpenCopyWaitsForNoLane) {
  SimOptions options = scenario_options();
  options.lanes = 1;
  Scenario s(options);
  s.seed(row(1, 0));
  s.seed(row(2, 0));
  s.start();
  const Xid first = s.begin();  // Key 2 was written before: its row goes through the lane.
  s.source.update(first, 0, 2, row(2, 1), {});
  s.commit(first);
  s.deliver();
  s.apply();
  s.probe();
  s.scan(4);
  ASSERT_TRUE(s.store.copying());
  const Xid second = s.begin();
  s.source.update(second, 0, 1, row(1, 2), {});
  s.commit(second);
  s.deliver();
  s.apply();  // Waits.
  s.scan(1);
  EXPECT_FALSE(s.store.copying());
  EXPECT_EQ(s.settle(), "");
}

// A COPY over a row that exists falls back to the lanes.
TEST(ChunkScenario, ACopyOverAnExistingRowFallsBack) {
  Scenario s;
  s.seed(row(1, 0));
  s.start();
  s.scan_all();
  s.store.edit_rows(0)[1] = row(1, 9);
  s.crash();
  EXPECT_TRUE(s.on_target(1));
  const Xid x = s.begin();
  s.source.update(x, 0, 1, row(1, 2), {});
  s.commit(x);
  EXPECT_EQ(s.settle(), "");
}

// merged.py "debts in memory".
TEST(ChunkScenario, ADebtOutlivesACrash) {
  Scenario s;
  s.seed(row(1, 0));
  s.start();
  const Xid x = s.begin();
  s.at("start_read", [&] {
    s.source.update(x, 0, 1, with_a(row(1, 0), "new"), kToastLeftAlone);
    s.log(x);
    s.deliver();
    s.apply();
  });
  s.scan(8);
  EXPECT_EQ(s.debts(), 1u);
  s.crash();
  s.visible(x);
  EXPECT_EQ(s.settle(), "");
}

// I10: rows that went through a lane are committed before their chunk is marked.
TEST(ChunkScenario, AMarkComesAfterItsRows) {
  expect_needed(Rule::MarkAfterCommit, [] {
    Scenario s(scenario_options({FakeTableOptions{.direct_copy = false}}));
    s.seed(row(1, 0));
    s.start();
    s.scan(8);
    s.crash();
    return s.settle();
  });
}

SimOptions exported_options() {
  SimOptions options = scenario_options();
  options.mode = StreamMode::Direct;
  options.exported = true;
  return options;
}

// A transaction that runs when the slot is made is in the stream as a whole: the exported snapshot
// need not see it.
TEST(ExportScenario, TheSnapshotAndTheStreamAreAllThereIs) {
  Scenario s(exported_options());
  s.seed(row(1, 0));
  const Xid x = s.begin();
  s.source.update(x, 0, 1, row(1, 1), {});
  s.flush();
  s.start();
  s.scan_all();
  EXPECT_TRUE(s.on_target(1));
  s.commit(x);
  EXPECT_EQ(s.settle(), "");
}

TEST(ExportScenario, TheStreamIsHeldBackUntilAllIsCopied) {
  expect_needed(Rule::HoldStream, [] {
    Scenario s(exported_options());
    s.seed(row(1, 0));
    s.start();
    const Xid x = s.begin();
    s.source.update(x, 0, 1, row(1, 1), {});
    s.commit(x);
    s.deliver();
    s.apply();
    s.probe();
    s.apply();
    s.scan_all();
    return s.settle();
  });
}

}  // namespace
}  // namespace lockstep
