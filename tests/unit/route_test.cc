// Every change of one key goes to one lane, in order; a TRUNCATE to all (I2, I13, I15).
#include "pipeline/apply/route.h"

#include <gtest/gtest.h>

#include <memory>

#include "pipeline/model/key.h"
#include "tests/fakes/fake_checkpoint.h"
#include "tests/fakes/fake_clock.h"
#include "tests/fakes/fake_table.h"

namespace lockstep {
namespace {

class RouteTest : public ::testing::Test {
 protected:
  RouteTest() {
    for (int lane = 0; lane < 3; ++lane) queues_.push_back(std::make_unique<LaneQueue>(1 << 20));
  }
  Router router(std::size_t item_changes_max) {
    RouterOptions options;
    options.lanes = 3;
    options.item_changes_max = item_changes_max;
    options.several_streams = [](TableId) { return false; };
    return Router(options, shared_);
  }
  Change change(int id, std::uint64_t offset, ChangeKind kind = ChangeKind::Delete) {
    Change change;
    change.kind = kind;
    change.row = key_cells(table_, id, 0);
    change.key = key_hash(table_, change.row);
    change.next = {offset, 0};
    return change;
  }
  std::deque<LaneItem> taken(std::uint32_t lane) {
    return queues_[lane]->take(1 << 20, std::chrono::milliseconds(0));
  }
  std::size_t items() {
    std::size_t items = 0;
    for (std::uint32_t lane = 0; lane < 3; ++lane) items += taken(lane).size();
    return items;
  }

  TableMap table_ = fake_table({});
  std::vector<const TableMap*> tables_{&table_};
  Chaos chaos_;
  FakeClock clock_;
  FakeCheckpoint checkpoint_{chaos_};
  Visibility visibility_{0, {}};
  std::vector<std::unique_ptr<Recent>> recents_;
  std::vector<std::unique_ptr<LaneQueue>> queues_;
  Progress progress_{3, {}};
  TableBoard board_{1};
  KeyHold hold_{std::chrono::seconds(2)};
  Rereads rereads_{};
  Standstill standstill_{3, std::chrono::seconds(2)};
  Sample sample_{0};
  Meters meters_;
  SourceClock source_clock_;
  const Shared shared_{tables_,     visibility_, recents_, queues_,      progress_,
                       board_,      checkpoint_, clock_,   hold_,        rereads_,
                       standstill_, sample_,     meters_,  source_clock_};
};

TEST_F(RouteTest, OneKeyOneLaneInOrder) {
  Router router = this->router(10);
  ChangeBatch batch;
  for (std::uint64_t offset = 1; offset <= 6; ++offset) batch.changes.push_back(change(1, offset));
  ASSERT_TRUE(router.route(batch));
  const auto items = taken(lane_of(table_, change(1, 0).key, 3));
  ASSERT_EQ(items.size(), 1u);
  const auto& changes = std::get<ChangesItem>(items[0]).changes;
  ASSERT_EQ(changes.size(), 6u);
  for (std::size_t i = 0; i < changes.size(); ++i) EXPECT_EQ(changes[i].next.major, i + 1);
}

TEST_F(RouteTest, ATableWhoseOrderMattersHasOneLane) {
  table_.one_lane = true;
  EXPECT_EQ(lane_of(table_, {1, 1}, 3), lane_of(table_, {2, 2}, 3));
}

TEST_F(RouteTest, AnItemHoldsALimitedNumberOfChanges) {
  Router router = this->router(2);
  ChangeBatch batch;
  for (std::uint64_t offset = 1; offset <= 5; ++offset) batch.changes.push_back(change(1, offset));
  ASSERT_TRUE(router.route(batch));
  EXPECT_EQ(items(), 3u);
}

// Committed apart, a restart between the halves would skip the second (I13).
TEST_F(RouteTest, TheHalvesOfAKeyChangeStayInOneItem) {
  Router router = this->router(1);
  ChangeBatch batch;
  batch.changes = {change(1, 7), change(1, 7, ChangeKind::Full)};
  ASSERT_TRUE(router.route(batch));
  EXPECT_EQ(items(), 1u);
}

TEST_F(RouteTest, ATruncateGoesToAllLanesBehindWhatCameBefore) {
  Router router = this->router(10);
  ChangeBatch batch;
  batch.changes = {change(1, 1), change(1, 2, ChangeKind::Truncate)};
  ASSERT_TRUE(router.route(batch));
  const std::uint32_t lane = lane_of(table_, change(1, 0).key, 3);
  const auto items = taken(lane);
  ASSERT_EQ(items.size(), 2u);
  EXPECT_TRUE(std::holds_alternative<ChangesItem>(items[0]));
  EXPECT_TRUE(std::holds_alternative<BarrierItem>(items[1]));
  for (std::uint32_t other = 0; other < 3; ++other)
    EXPECT_EQ(taken(other).size(), other == lane ? 0u : 1u);
}

TEST_F(RouteTest, WatermarksGoToAllLanes) {
  Router router = this->router(10);
  ChangeBatch batch;
  batch.watermarks = {{0, {9, 0}}};
  ASSERT_TRUE(router.route(batch));
  EXPECT_EQ(items(), 3u);
}

}  // namespace
}  // namespace lockstep
