// Rows that must be read again are read under a snapshot that sees their debt (I17).
#include "pipeline/backfill/debts.h"

#include <gtest/gtest.h>

#include <memory>

#include "pipeline/apply/lane.h"
#include "pipeline/model/key.h"
#include "tests/fakes/fake_checkpoint.h"
#include "tests/fakes/fake_clock.h"
#include "tests/fakes/fake_reader.h"
#include "tests/fakes/fake_target.h"

namespace lockstep {
namespace {

class DebtTest : public ::testing::Test {
 protected:
  DebtTest() {
    queues_.push_back(std::make_unique<LaneQueue>(1 << 20));
    store_.claim();
  }
  std::vector<std::unique_ptr<Recent>> one_recent() {
    std::vector<std::unique_ptr<Recent>> recents;
    recents.push_back(std::make_unique<Recent>(1, 1000, visibility_));
    return recents;
  }
  void owe(int id, Xid xid, DebtReason reason = DebtReason::Doubtful) {
    const std::string key = key_cells(tables_[0], id, 0);
    lockstep::Run run{&tables_[0], WriteKind::OpenDebt, DebtRule::Keep, Holders::Stay, nullptr, {}};
    run.writes.push_back({{}, key, key_hash(tables_[0], key), xid, 0, reason, {}});
    EXPECT_TRUE(store_.apply(1, {{run}, {}, 0}).has_value());
  }
  DebtReader reader(std::size_t piece_bytes = 1000) {
    DebtReaderOptions options;
    options.piece_bytes = piece_bytes;
    return DebtReader(options, shared_, source_reader_, target_);
  }
  // Lets reader and lane act for a while.  Returns whether no debt is left to settle.
  bool settle(DebtReader& reader) {
    for (int i = 0; i < 60; ++i) {
      EXPECT_TRUE(reader.step().has_value());
      for (LaneItem& item : queues_[0]->take(1 << 20, std::chrono::milliseconds(0)))
        lane_.add(std::move(item));
      EXPECT_TRUE(lane_.step().has_value());
      clock_.advance(std::chrono::seconds(1));
      board_.debts_opened(0, 1);  // As the supervisor does, who counts them.
    }
    return store_.open_debts(0, 1).empty() && reader.idle();
  }

  std::vector<TableMap> tables_{fake_table({})};
  std::vector<const TableMap*> pointers_{&tables_[0]};
  Chaos chaos_;
  FakeClock clock_;
  FakeSource source_{tables_, 100};
  Visibility visibility_{0, {}};
  std::vector<std::unique_ptr<Recent>> recents_ = one_recent();  // Before the lane.
  std::vector<std::unique_ptr<LaneQueue>> queues_;
  Progress progress_{1, {}};
  TableBoard board_{1};
  FakeCheckpoint checkpoint_{chaos_};
  TargetStore store_{tables_, 2};
  Zombies zombies_;
  FakeTarget target_{store_, zombies_, chaos_, {1, 1}};
  FakeTarget lane_target_{store_, zombies_, chaos_, {1, 2}};
  FakeReader source_reader_{source_, chaos_, nullptr};
  KeyHold hold_{std::chrono::seconds(2)};
  Rereads rereads_{};
  Standstill standstill_{1, std::chrono::seconds(2)};
  Sample sample_{0};
  Meters meters_;
  SourceClock source_clock_;
  const Shared shared_{pointers_,   visibility_, recents_, queues_,      progress_,
                       board_,      checkpoint_, clock_,   hold_,        rereads_,
                       standstill_, sample_,     meters_,  source_clock_};
  Lane lane_{{}, shared_, lane_target_, [](StreamId) { return "t/0"; }};
};

TEST_F(DebtTest, ARowIsReadAndWritten) {
  source_.seed_row(0, {1, 0, "a", "t", ""});
  owe(1, 50);
  DebtReader reader = this->reader();
  EXPECT_TRUE(settle(reader));
  EXPECT_EQ(store_.rows(0).at(1).a, "a");
  EXPECT_TRUE(store_.debts().empty());
}

TEST_F(DebtTest, AnAbsentRowSettlesItsDebt) {
  owe(1, 50);
  DebtReader reader = this->reader();
  EXPECT_TRUE(settle(reader));
  EXPECT_TRUE(store_.rows(0).empty());
  EXPECT_TRUE(store_.debts().empty());
}

// The target has the row that an unreadable event may have deleted.
TEST_F(DebtTest, AnUnreadableDeleteIsCarriedOut) {
  const std::string row = row_cells(tables_[0], {1, 0, "a", "t", ""}, {});
  const std::string key = key_cells(tables_[0], 1, 0);
  lockstep::Run run{&tables_[0], WriteKind::Upsert, DebtRule::Clear, Holders::Stay, nullptr, {}};
  run.writes.push_back({row, key, key_hash(tables_[0], key), 40, 0, DebtReason::None, {}});
  ASSERT_TRUE(store_.apply(1, {{run}, {}, 0}).has_value());
  owe(1, 50, DebtReason::Doubtful);
  DebtReader reader = this->reader();
  EXPECT_TRUE(settle(reader));
  EXPECT_TRUE(store_.rows(0).contains(1)) << "its delete is still to come";
  owe(1, 50, DebtReason::Unreadable);
  EXPECT_TRUE(settle(reader));
  EXPECT_TRUE(store_.rows(0).empty());
  EXPECT_TRUE(store_.debts().empty());
}

TEST_F(DebtTest, WaitsUntilItsTransactionIsVisible) {
  const Xid xid = source_.begin(CommitMode::Sync);
  owe(1, xid);
  DebtReader reader = this->reader();
  EXPECT_FALSE(settle(reader));
  EXPECT_EQ(store_.debts().size(), 1u);
  source_.log_commit(xid);
  source_.flush(source_.insert_lsn());
  ASSERT_TRUE(source_.make_visible(xid));
  EXPECT_TRUE(settle(reader));
}

// Rows of more than one piece once made the reader turn for ever.
TEST_F(DebtTest, RowsLargerThanAPieceAreReadPieceByPiece) {
  for (int id = 1; id <= 5; ++id) {
    source_.seed_row(0, {id, 0, "a", std::string(100, 't'), ""});
    owe(id, 50);
  }
  DebtReader reader = this->reader(150);
  EXPECT_TRUE(settle(reader));
  EXPECT_EQ(store_.rows(0).size(), 5u);
}

class CountingChaos final : public Chaos {
 public:
  Fate fate(std::string_view where) override {
    asked += where == "open_debts" ? 1 : 0;
    return Fate::Work;
  }
  int asked = 0;
};

// A start would ask for those of thousands of tables, one after another, in one step.
TEST_F(DebtTest, ATableIsAskedForItsDebtsOnlyOnceItIsSaidToHaveSome) {
  owe(1, 50);
  CountingChaos chaos;
  FakeTarget target(store_, zombies_, chaos, {1, 3});
  DebtReader reader({}, shared_, source_reader_, target);
  EXPECT_EQ(*reader.step(), DebtReader::Step::Done);
  EXPECT_EQ(chaos.asked, 0);
  board_.debts_opened(0, 1);
  EXPECT_EQ(*reader.step(), DebtReader::Step::Working);
  EXPECT_EQ(chaos.asked, 1);
}

TEST_F(DebtTest, ARowThatTheTargetRefusesIsQuarantined) {
  source_.seed_row(0, {1, 0, "!bad", "t", ""});
  owe(1, 50);
  DebtReader reader = this->reader();
  EXPECT_TRUE(settle(reader));
  ASSERT_EQ(store_.debts().size(), 1u);
  EXPECT_TRUE(store_.debts()[0].quarantined);
  EXPECT_EQ(store_.debts()[0].attempts, 2u);
  EXPECT_EQ(meters_.quarantined.value(), 1u);
}

}  // namespace
}  // namespace lockstep
