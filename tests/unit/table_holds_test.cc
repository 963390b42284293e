// TableHolds: a table that stopped on the shared stream keeps its place while the others go on.
#include "pipeline/apply/table_holds.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/unit/table_map_fixture.h"

namespace lockstep {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

constexpr Position at(std::uint64_t lsn) { return {lsn, 0}; }

class TableHoldsTest : public ::testing::Test {
 protected:
  TableHoldsTest() {
    for (TableId id = 0; id < 2; ++id) {
      maps_[id].id = id;
      maps_[id].source.name = {"public", id == 0 ? "a" : "b"};
    }
  }
  // As a process that finds `rows` on the target.
  TableHolds begin(const std::vector<ProgressRow>& rows) {
    progress_.emplace(1, rows);
    return {"wal", tables_, 0, *progress_};
  }
  using Rows = std::vector<std::pair<std::string, std::uint64_t>>;
  // Where the stream is committed at `stream`.
  static Rows rows(const TableHolds& holds, std::uint64_t stream = 0) {
    Rows out;
    for (const ProgressRow& row : holds.changed({"wal", 0, at(stream), 0, 0}))
      out.emplace_back(row.stream, row.position.major);
    return out;
  }
  static std::pair<std::string, std::uint64_t> row(const std::string& name, std::uint64_t lsn) {
    return {name, lsn};
  }

  TableMap maps_[2];
  std::vector<const TableMap*> tables_{&maps_[0], &maps_[1]};
  std::optional<Progress> progress_;
};

TEST_F(TableHoldsTest, TablesThatGoOnHaveNoRow) {
  TableHolds holds = begin({{"wal", 0, at(10), 0, 0}});
  holds.pass(at(20));
  EXPECT_THAT(rows(holds), IsEmpty());
  EXPECT_EQ(holds.resumed(0, at(10)), at(10));
}

TEST_F(TableHoldsTest, AStoppedTableStaysWhereItWas) {
  TableHolds holds = begin({{"wal", 0, at(10), 0, 0}});
  holds.pass(at(20));
  holds.hold(1, at(10));
  holds.pass(at(30));
  holds.hold(1, at(10));  // The first call counts.
  EXPECT_THAT(rows(holds), ElementsAre(row("wal/public.b", 20)));
  holds.committed(*progress_, at(30));
  EXPECT_THAT(rows(holds), IsEmpty());
  EXPECT_EQ(progress_->resume_point("wal"), at(10));
}

TEST_F(TableHoldsTest, ATableThatRunsAgainBeginsAtItsOwnPlaceAndMovesAlong) {
  TableHolds holds = begin({{"wal", 0, at(50), 0, 0}, {"wal/public.b", 0, at(20), 0, 0}});
  EXPECT_EQ(progress_->resume_point("wal"), at(20));
  EXPECT_EQ(progress_->least("wal"), at(50));
  EXPECT_EQ(holds.resumed(0, at(50)), at(50));
  EXPECT_EQ(holds.resumed(1, at(50)), at(20));
  holds.pass(at(30));
  EXPECT_THAT(rows(holds, 50), ElementsAre(row("wal/public.b", 30)));
  EXPECT_THAT(holds.caught_up(at(50)), IsEmpty());
  holds.committed(*progress_, at(50));
  EXPECT_EQ(progress_->resume_point("wal"), at(30));
}

// Else each commit would write the row of every table that has ever stopped.
TEST_F(TableHoldsTest, ATableThatIsWhereTheOthersAreHasNoRow) {
  TableHolds holds = begin({{"wal", 0, at(50), 0, 0}, {"wal/public.b", 0, at(20), 0, 0}});
  holds.pass(at(60));
  EXPECT_THAT(rows(holds, 60), IsEmpty());
  EXPECT_THAT(holds.caught_up(at(60)), ElementsAre("wal/public.b"));
  holds.committed(*progress_, at(60));
  progress_->committed(0, "wal", at(60));
  EXPECT_THAT(progress_->own_streams("wal"), IsEmpty());
  EXPECT_EQ(progress_->resume_point("wal"), at(60));
  EXPECT_THAT(holds.caught_up(at(60)), IsEmpty());
  holds.pass(at(70));
  EXPECT_THAT(rows(holds, 70), IsEmpty());
  EXPECT_EQ(holds.resumed(1, at(50)), at(20));
}

// It stops once more: what comes of it from then on is left in the source.
TEST_F(TableHoldsTest, ATableThatStopsAgainHasARowAgain) {
  TableHolds holds = begin({{"wal", 0, at(50), 0, 0}, {"wal/public.b", 0, at(20), 0, 0}});
  holds.pass(at(60));
  holds.committed(*progress_, at(60));
  holds.hold(1, at(50));
  holds.pass(at(70));
  EXPECT_THAT(rows(holds, 70), ElementsAre(row("wal/public.b", 60)));
  EXPECT_THAT(holds.caught_up(at(70)), IsEmpty());
  holds.committed(*progress_, at(70));
  EXPECT_EQ(progress_->own_streams("wal"), std::vector<std::string>{"wal/public.b"});
}

TEST_F(TableHoldsTest, WhatWasRolledBackIsNotPassed) {
  TableHolds holds = begin({{"wal", 0, at(10), 0, 0}});
  holds.pass(at(20));
  holds.committed(*progress_, at(20));
  holds.pass(at(30));
  holds.roll_back();
  holds.hold(0, at(10));
  EXPECT_THAT(rows(holds), ElementsAre(row("wal/public.a", 20)));
}

// The changes between the last commit and the stop come again, and are then left out.
TEST_F(TableHoldsTest, AHoldThatIsRolledBackIsBeforeTheWholeBatch) {
  TableHolds holds = begin({{"wal", 0, at(10), 0, 0}});
  holds.pass(at(20));
  holds.committed(*progress_, at(20));
  holds.pass(at(30));
  holds.hold(0, at(10));
  holds.roll_back();
  EXPECT_THAT(rows(holds), ElementsAre(row("wal/public.a", 20)));
}

TEST_F(TableHoldsTest, AHoldBeforeAnythingCameIsWhereTheTableBegan) {
  TableHolds holds = begin({{"wal", 0, at(50), 0, 0}, {"wal/public.b", 0, at(20), 0, 0}});
  holds.hold(0, at(50));
  holds.hold(1, at(50));
  EXPECT_THAT(rows(holds), ElementsAre(row("wal/public.a", 50)));
}

}  // namespace
}  // namespace lockstep
