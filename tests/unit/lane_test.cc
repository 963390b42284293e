// A lane on its own: batches, progress, waiting, barriers, stopped tables.
#include "pipeline/apply/lane.h"

#include <gtest/gtest.h>

#include <array>
#include <deque>
#include <memory>
#include <string>

#include "pipeline/apply/route.h"
#include "pipeline/model/key.h"
#include "tests/fakes/fake_checkpoint.h"
#include "tests/fakes/fake_clock.h"
#include "tests/fakes/fake_target.h"

namespace lockstep {
namespace {

class LaneTest : public ::testing::Test {
 protected:
  LaneTest() {
    for (std::uint32_t index = 0; index < 2; ++index) {
      recents_.push_back(std::make_unique<Recent>(tables_.size(), 1000, visibility_));
      queues_.push_back(std::make_unique<LaneQueue>(1 << 20));
    }
    store_.claim();
    for (std::uint32_t index = 0; index < 2; ++index)
      targets_.push_back(
          std::make_unique<FakeTarget>(store_, zombies_, chaos_, FakeTarget::Connection{1, index}));
    make_lanes("");
  }

  void make_lanes(const std::string& shared_stream) {
    lanes_.clear();
    for (std::uint32_t index = 0; index < 2; ++index) {
      LaneOptions options;
      options.index = index;
      options.epoch = 1;
      options.shared_stream = shared_stream;
      lanes_.push_back(std::make_unique<Lane>(options, shared_, *targets_[index],
                                              [](StreamId id) { return id == 0 ? "t/0" : "t/1"; }));
    }
  }

  Change change(ChangeKind kind, const FakeRow& row, std::uint64_t offset, TableId table = 0) {
    Change change;
    change.table = table;
    change.kind = kind;
    change.xid = 10 + offset;
    change.next = {offset, 0};
    const std::string key = key_cells(tables_[table], row.id, 0);
    change.key = key_hash(tables_[table], key);
    if (kind == ChangeKind::Delete) change.row = key;
    if (kind == ChangeKind::Full) change.row = row_cells(tables_[table], row);
    if (kind == ChangeKind::Partial)
      change.row = row_cells(tables_[table], row, {true, false, false});
    return change;
  }
  void add(Change change, std::uint32_t lane = 0) {
    ChangesItem item;
    item.changes.push_back(std::move(change));
    lanes_[lane]->add(std::move(item));
  }
  void full(int id, std::uint64_t offset, TableId table = 0) {
    add(change(ChangeKind::Full, {id, 0, "a" + std::to_string(offset), "t", ""}, offset, table));
  }
  void watermark(std::uint64_t offset) { lanes_[0]->add(WatermarkItem{{{0, {offset, 0}}}}); }
  std::shared_ptr<SourceRead> rows(int id, const std::string& a, const Snapshot& snapshot) {
    RowsItem item;
    item.read = std::make_shared<SourceRead>();
    item.read->table = &tables_[0];
    item.read->snapshot = snapshot;
    item.rows.add(row_cells(tables_[0], {id, 0, a, "t", ""}));
    item.keys.push_back(key_hash(tables_[0], key_cells(tables_[0], id, 0)));
    const auto read = item.read;
    lanes_[0]->add(std::move(item));
    return read;
  }
  Hash128 key_of(int id) { return key_hash(tables_[0], key_cells(tables_[0], id, 0)); }
  // In one item: changes at `begin`, `begin` + 1, .. of these rows.
  void item(std::initializer_list<int> ids, std::uint64_t begin) {
    ChangesItem item;
    for (const int id : ids) {
      item.changes.push_back(change(ChangeKind::Full, {id, 0, "a", "t", ""}, begin));
      ++begin;
    }
    lanes_[0]->add(std::move(item));
  }
  Lane::Step step(std::uint32_t lane = 0) {
    const auto step = lanes_[lane]->step();
    EXPECT_TRUE(step.has_value());
    return step.value_or(Lane::Step::Idle);
  }
  // Changes at 5 (table 0), 6 (table 1, which is stopped), 7 (table 0), all before 8.
  void step_with_a_stopped_table() {
    board_.stop(1, "drift");
    full(1, 5, 0);
    full(1, 6, 1);
    full(2, 7, 0);
    watermark(8);
    step();
  }
  Position progress() const {
    return store_.progress().empty() ? Position{} : store_.progress()[0].position;
  }

  std::vector<TableMap> tables_{fake_table({.id = 0}), fake_table({.id = 1})};
  std::vector<const TableMap*> pointers_{&tables_[0], &tables_[1]};
  Chaos chaos_;
  FakeClock clock_;
  Visibility visibility_{0, {}};
  std::vector<std::unique_ptr<Recent>> recents_;
  std::vector<std::unique_ptr<LaneQueue>> queues_;
  Progress progress_{2, {}};
  TableBoard board_{2};
  FakeCheckpoint checkpoint_{chaos_};
  TargetStore store_{tables_};
  Zombies zombies_;
  KeyHold hold_{std::chrono::seconds(2)};
  Rereads rereads_{};
  Standstill standstill_{2, std::chrono::seconds(2)};
  Sample sample_{0};
  Meters meters_;
  SourceClock source_clock_;
  const Shared shared_{pointers_,   visibility_, recents_, queues_,      progress_,
                       board_,      checkpoint_, clock_,   hold_,        rereads_,
                       standstill_, sample_,     meters_,  source_clock_};
  std::vector<std::unique_ptr<FakeTarget>> targets_;
  std::vector<std::unique_ptr<Lane>> lanes_;
};

TEST_F(LaneTest, CommitsAPositionWithItsChange) {
  full(1, 5);
  EXPECT_EQ(step(), Lane::Step::Applied);
  EXPECT_EQ(store_.rows(0).at(1).a, "a5");
  EXPECT_EQ(progress(), (Position{5, 0}));
  EXPECT_TRUE(lanes_[0]->drained());
}

TEST_F(LaneTest, MakesTheUnseenDurableBeforeTheCommit) {
  full(1, 5);
  step();
  EXPECT_EQ(checkpoint_.state().intents.at(0).unseen, std::vector<Xid>{15});
}

TEST_F(LaneTest, AnIdleLaneCommitsTheWatermarkAtItsPace) {
  full(1, 5);
  step();
  watermark(9);
  EXPECT_EQ(step(), Lane::Step::Idle);
  clock_.advance(std::chrono::seconds(2));
  EXPECT_EQ(step(), Lane::Step::Applied);
  EXPECT_EQ(progress(), (Position{9, 0}));
}

TEST_F(LaneTest, AFlushCommitsTheWatermarkNow) {
  full(1, 5);
  step();
  watermark(9);
  lanes_[0]->add(FlushItem{});
  step();
  EXPECT_EQ(progress(), (Position{9, 0}));
}

TEST_F(LaneTest, WaitsForAnOpenCopyAndCommitsWhatCameBefore) {
  const Hash128 key = key_hash(tables_[0], key_cells(tables_[0], 1, 0));
  std::array<Recent::CopyJudgement, 1> judgement;
  recents_[0]->open_for_copy(0, std::array{key}, {5, 5, {}}, judgement);
  full(2, 4);
  full(1, 5);
  EXPECT_EQ(step(), Lane::Step::Applied);
  EXPECT_EQ(progress(), (Position{4, 0}));
  EXPECT_EQ(step(), Lane::Step::Blocked);
  recents_[0]->close_copy(0, std::array{key});
  EXPECT_EQ(step(), Lane::Step::Applied);
  EXPECT_EQ(progress(), (Position{5, 0}));
}

// V7: what lies before the held change is committed, also of its own item; the rest waits.
TEST_F(LaneTest, WaitsInFrontOfAChangeThatASweepHolds) {
  hold_.place(0, std::array{key_of(2)});
  hold_.see({16, 16, {}});  // The change at 5, of transaction 15, is seen.
  item({2, 1, 2, 3}, 5);
  const std::size_t bytes = lanes_[0]->pending_bytes();
  EXPECT_EQ(step(), Lane::Step::Applied);
  EXPECT_TRUE(hold_.arrived().empty());
  EXPECT_EQ(progress(), (Position{6, 0}));
  EXPECT_LT(lanes_[0]->pending_bytes(), bytes);
  EXPECT_EQ(step(), Lane::Step::Blocked);
  EXPECT_EQ(hold_.arrived(), std::vector{key_of(2)});
  // It has not reached the target, and nobody says so.
  EXPECT_EQ(recents_[0]->judge(0, key_of(2), {16, 16, {}}), Judgement::Write);
  EXPECT_EQ(recents_[0]->judge(0, key_of(3), {16, 16, {}}), Judgement::Write);
  hold_.release_all();
  EXPECT_EQ(step(), Lane::Step::Applied);
  EXPECT_EQ(progress(), (Position{8, 0}));
  EXPECT_EQ(lanes_[0]->pending_bytes(), 0U);
  EXPECT_TRUE(lanes_[0]->drained());
}

// A restart between them would skip the second (I13).
TEST_F(LaneTest, HalvesOfAKeyChangeThatCarryOnePositionWaitTogether) {
  hold_.place(0, std::array{key_of(2)});
  ChangesItem item;
  item.changes.push_back(change(ChangeKind::Full, {3, 0, "a", "t", ""}, 4));
  item.changes.push_back(change(ChangeKind::Delete, {1, 0, "a", "t", ""}, 5));
  item.changes.push_back(change(ChangeKind::Full, {2, 0, "a", "t", ""}, 5));
  lanes_[0]->add(std::move(item));
  EXPECT_EQ(step(), Lane::Step::Applied);
  EXPECT_EQ(progress(), (Position{4, 0}));
  EXPECT_EQ(step(), Lane::Step::Blocked);
  EXPECT_TRUE(hold_.arrived().empty());  // S is not known: nobody knows whether it sees the change.
  hold_.see({20, 20, {}});
  EXPECT_EQ(step(), Lane::Step::Applied);
  EXPECT_EQ(progress(), (Position{5, 0}));
}

TEST_F(LaneTest, DoesNotWaitForASweepForEver) {
  hold_.place(0, std::array{key_of(2)});
  item({2}, 5);
  EXPECT_EQ(step(), Lane::Step::Blocked);
  clock_.advance(std::chrono::seconds(3));
  EXPECT_EQ(step(), Lane::Step::Applied);
  EXPECT_EQ(progress(), (Position{5, 0}));
}

TEST_F(LaneTest, DoesNotWaitForASweepWithAStoppedTable) {
  hold_.place(0, std::array{key_of(2)});
  item({2}, 5);
  EXPECT_EQ(step(), Lane::Step::Blocked);
  board_.stop(0, "drift");
  EXPECT_EQ(step(), Lane::Step::Applied);
  EXPECT_TRUE(store_.rows(0).empty());
}

TEST_F(LaneTest, DropsAChunkRowThatAChangeOvertook) {
  full(1, 5);
  step();
  const auto read = rows(1, "old", {15, 16, {15}});
  step();
  EXPECT_EQ(store_.rows(0).at(1).a, "a5");
  const auto reports = read->reports.take(1, std::chrono::milliseconds(0));
  ASSERT_EQ(reports.size(), 1u);
  EXPECT_EQ(reports[0].dropped, 1u);
}

TEST_F(LaneTest, ARetriedBatchIsAppliedOnce) {
  full(1, 5);
  store_.claim();  // Another incarnation.
  EXPECT_FALSE(lanes_[0]->step().has_value());
  EXPECT_TRUE(store_.rows(0).empty());
}

// What was read again and what has stopped is no change that was applied.
TEST_F(LaneTest, CountsWhatItHasCommitted) {
  board_.stop(1, "drift");
  Change known = change(ChangeKind::Full, {1, 0, "a", "t", ""}, 5);
  known.commit_us = clock_.wall_us() - 3'000'000;
  add(known);
  full(2, 6);  // Nobody knows when it was committed.
  add(change(ChangeKind::Delete, {3, 0, "", "", ""}, 7));
  full(1, 8, 1);
  step();
  const TableMeters& table = meters_.table(tables_[0].text());
  EXPECT_EQ(table.applied[static_cast<std::size_t>(ChangeKind::Full)].value(), 2u);
  EXPECT_EQ(table.applied[static_cast<std::size_t>(ChangeKind::Delete)].value(), 1u);
  EXPECT_EQ(meters_.skipped_stopped.value(), 1u);
  EXPECT_EQ(meters_.batches.value(), 1u);
  EXPECT_EQ(meters_.last_applied_us, clock_.wall_us());
  const Histogram::Sums latency = meters_.apply_latency.read();
  EXPECT_EQ(latency.up_to.back(), 1u);
  EXPECT_DOUBLE_EQ(latency.sum, 3);
  EXPECT_EQ(board_.status(0).events_applied, 3u);
}

TEST_F(LaneTest, APartialChangeOfAMissingRowIsADebt) {
  add(change(ChangeKind::Partial, {1, 0, "x", "", ""}, 5));
  step();
  ASSERT_EQ(store_.debts().size(), 1u);
  EXPECT_EQ(store_.debts()[0].reason, DebtReason::MissingRow);
  EXPECT_EQ(store_.debts()[0].xid, 15u);
}

TEST_F(LaneTest, AStoppedTableHoldsThePositionAndTheOthersGoOn) {
  step_with_a_stopped_table();
  EXPECT_EQ(store_.rows(0).size(), 2u);
  EXPECT_TRUE(store_.rows(1).empty());
  EXPECT_EQ(progress(), (Position{5, 0}));
}

// On a shared stream the others' position moves on; the stopped table has one of its own.
TEST_F(LaneTest, AStoppedTableOfASharedStreamIsHeldAlone) {
  make_lanes("t/0");
  step_with_a_stopped_table();
  ASSERT_EQ(store_.progress().size(), 2u);
  EXPECT_EQ(store_.progress()[0].stream, "t/0");
  EXPECT_EQ(store_.progress()[0].position, (Position{8, 0}));
  EXPECT_EQ(store_.progress()[1].stream, own_stream("t/0", tables_[1]));
  EXPECT_EQ(store_.progress()[1].position, (Position{5, 0}));
}

TEST_F(LaneTest, ATableThatTheSourceStoppedIsHeldByEveryLane) {
  make_lanes("t/0");
  full(1, 5, 0);
  lanes_[0]->add(HoldItem{1});
  watermark(8);
  step();
  ASSERT_EQ(store_.progress().size(), 2u);
  EXPECT_EQ(store_.progress()[1].position, (Position{5, 0}));
}

// Another table's batch is folded again without the table that stopped; a stream may never tell its
// watermark again.
TEST_F(LaneTest, ATableThatStopsInABatchLosesNoWatermark) {
  targets_[0]->break_table(1);
  Change broken = change(ChangeKind::Full, {1, 0, "x", "t", ""}, 6, 1);
  broken.stream = 1;
  add(std::move(broken));
  watermark(9);
  step();
  EXPECT_TRUE(board_.stopped(1));
  step();
  clock_.advance(std::chrono::seconds(2));
  step();
  EXPECT_EQ(progress(), (Position{9, 0}));
}

class BarrierTest : public LaneTest {
 protected:
  void truncate(std::uint64_t offset) {
    const auto barrier =
        std::make_shared<Barrier>(change(ChangeKind::Truncate, {}, offset), 2, false);
    for (const auto& lane : lanes_) lane->add(BarrierItem{barrier});
  }
};

TEST_F(BarrierTest, TheLastLaneCarriesItOut) {
  full(1, 5);
  truncate(6);
  step(0);
  EXPECT_EQ(step(0), Lane::Step::Blocked);
  EXPECT_EQ(store_.rows(0).size(), 1u);
  EXPECT_EQ(step(1), Lane::Step::Applied);
  EXPECT_TRUE(store_.rows(0).empty());
  EXPECT_EQ(step(0), Lane::Step::Applied);
  EXPECT_EQ(progress_.least("t/0"), (Position{6, 0}));
}

// Issue E, row 8: it is a transaction of both lanes, and what a proof of U rests on stays true.
TEST_F(BarrierTest, EveryLaneMakesUDurableBeforeIt) {
  full(1, 5);
  truncate(6);
  for (int i = 0; i < 2; ++i)
    for (const std::uint32_t lane : {0u, 1u}) step(lane);
  full(2, 7);
  step(0);
  for (const auto& [lane, batch] : {std::pair(0u, 3u), std::pair(1u, 1u)}) {
    const LaneIntent& intent = checkpoint_.state().intents.at(lane);
    EXPECT_EQ(intent.batch, batch);
    EXPECT_EQ(std::ranges::count(intent.unseen, 16u), 1);
    EXPECT_EQ(store_.lane_batches()[lane].batch, batch);
    EXPECT_EQ(store_.lane_batches()[lane].epoch, 1u);
  }
}

// Found by the simulator (direct stream, a stopped table): the truncation raised a lane that had
// left a change of the stopped table out, which was lost.
TEST_F(BarrierTest, ALaneThatLeftAChangeOutIsNotRaised) {
  board_.stop(1, "drift");
  full(1, 5, 1);
  truncate(6);
  for (int i = 0; i < 3; ++i)
    for (const std::uint32_t lane : {0u, 1u}) step(lane);
  for (const ProgressRow& row : store_.progress())
    EXPECT_EQ(row.position, row.lane == 0 ? Position{} : (Position{6, 0}));
}

// On another partition, and from the connector's first transaction, which follows nothing: it lies
// before the TRUNCATE in the log, and would bring back a row that the TRUNCATE took.
TEST_F(BarrierTest, WhatLiesBeforeItInTheLogIsDroppedBehindIt) {
  Change wipe = change(ChangeKind::Truncate, {}, 6);
  wipe.sequence = {100, 160};
  const auto barrier = std::make_shared<Barrier>(std::move(wipe), 2, true);
  for (const auto& lane : lanes_) lane->add(BarrierItem{barrier});
  for (int i = 0; i < 3; ++i)
    for (const std::uint32_t lane : {0u, 1u}) step(lane);
  Change early = change(ChangeKind::Full, {1, 0, "gone", "t", ""}, 7);
  early.stream = 1;
  early.sequence = {0, 150};
  Change late = change(ChangeKind::Full, {2, 0, "stays", "t", ""}, 8);
  late.stream = 1;
  late.sequence = {0, 170};
  add(std::move(early));
  add(std::move(late));
  step(0);
  EXPECT_EQ(store_.rows(0).size(), 1u);
  EXPECT_EQ(store_.rows(0).count(2), 1u);
}

// The truncation's transaction raises the stream's position: what is held is committed before it.
TEST_F(BarrierTest, ATableIsHeldBeforeATruncateOfAnotherOne) {
  make_lanes("t/0");
  for (const auto& lane : lanes_) lane->add(HoldItem{1});
  truncate(6);
  EXPECT_EQ(step(0), Lane::Step::Applied);
  EXPECT_EQ(step(0), Lane::Step::Blocked);
  EXPECT_EQ(step(1), Lane::Step::Applied);
  std::size_t held = 0;
  for (const ProgressRow& row : store_.progress())
    held += row.stream == own_stream("t/0", tables_[1]) ? 1 : 0;
  EXPECT_EQ(held, 2u);
}

TEST_F(BarrierTest, ItWaitsForAnOpenCopy) {
  const Hash128 key{1, 1};
  std::array<Recent::CopyJudgement, 1> judgement;
  recents_[0]->open_for_copy(0, std::array{key}, {5, 5, {}}, judgement);
  truncate(6);
  step(0);
  step(1);
  EXPECT_EQ(step(1), Lane::Step::Blocked);
  recents_[0]->close_copy(0, std::array{key});
  EXPECT_EQ(step(0), Lane::Step::Applied);
}

// Effects borrow a batch's bytes; a short RowBatch keeps its bytes inside itself.
TEST(LaneBytes, ShortRowsSurviveALongBatch) {
  class Keys final : public Target {
   public:
    Result<ApplyOutcome> apply(const LaneTransaction& transaction) override {
      for (const lockstep::Run& run : transaction.runs)
        for (const Write& write : run.writes) rows.emplace_back(write.row);
      return ApplyOutcome{};
    }
    Status copy(const TableMap&, const RowBatch&, std::span<const std::uint32_t>) override {
      return {};
    }
    Status copy_commit(const std::optional<ChunkMark>&) override { return {}; }
    Status copy_abort() override { return {}; }
    Status mark_done(const ChunkMark&) override { return {}; }
    Status truncate(const Truncation&) override { return {}; }
    Result<std::vector<Debt>> open_debts(TableId, std::size_t) override {
      return std::vector<Debt>();
    }
    std::vector<std::string> rows;
  } target;

  TableMap table = fake_table({});
  table.columns.resize(1);
  const std::vector<const TableMap*> tables{&table};
  Chaos chaos;
  const FakeClock clock;
  FakeCheckpoint checkpoint(chaos);
  Visibility visibility(0, {});
  std::vector<std::unique_ptr<Recent>> recents;
  recents.push_back(std::make_unique<Recent>(1, 1000, visibility));
  std::vector<std::unique_ptr<LaneQueue>> queues;
  queues.push_back(std::make_unique<LaneQueue>(1 << 20));
  Progress progress(1, {});
  TableBoard board(1);
  KeyHold hold(std::chrono::seconds(2));
  Rereads rereads;
  Standstill standstill(1, std::chrono::seconds(2));
  Sample sample(0);
  Meters meters;
  const SourceClock source_clock;
  const Shared shared{tables, visibility, recents, queues,     progress, board,  checkpoint,
                      clock,  hold,       rereads, standstill, sample,   meters, source_clock};
  Lane lane({}, shared, target, [](StreamId) { return "t/0"; });
  std::vector<std::string> expected;
  for (int id = 0; id < 50; ++id) {
    RowsItem item;
    item.read = std::make_shared<SourceRead>();
    item.read->table = &table;
    item.rows.add(key_cells(table, id, 0));
    item.keys.push_back(key_hash(table, key_cells(table, id, 0)));
    expected.push_back(key_cells(table, id, 0));
    lane.add(std::move(item));
  }
  ASSERT_TRUE(lane.step().has_value());
  EXPECT_EQ(target.rows, expected);
}

}  // namespace
}  // namespace lockstep
