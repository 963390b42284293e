// What the page and `top` show of the last hour, and when they dare to say how long a copy takes.
#include "daemon/history.h"

#include <gtest/gtest.h>

#include <boost/json.hpp>

namespace lockstep {
namespace {

class HistoryTest : public ::testing::Test {
 protected:
  // A point two seconds after the last one, with so many of 100,000 rows copied.
  void add(std::uint64_t rows) {
    RunStatus status;
    status.phase = Phase::Backfill;
    RunTableStatus table;
    table.counts.rows_done = rows;
    table.counts.rows_estimated = estimate_;
    status.tables = {table};
    history_.add(status, now_ms_ += 2000);
  }

  double estimate_ = 100'000;
  std::int64_t now_ms_ = 1'700'000'000'000;
  History history_{[] { return RunStatus{}; }};
};

TEST_F(HistoryTest, AnUnknownLagIsNoNumber) {
  add(0);
  const auto document = boost::json::parse(history_.json());
  EXPECT_TRUE(document.at("points").at(0).at(1).is_null());
  EXPECT_TRUE(document.at("eta").is_null());
}

TEST_F(HistoryTest, KeepsAnHour) {
  for (int i = 0; i < 2000; ++i) add(0);
  EXPECT_EQ(boost::json::parse(history_.json()).at("points").as_array().size(), 1800U);
}

TEST_F(HistoryTest, ASteadyCopyIsForeseen) {
  for (std::uint64_t i = 0; i <= 50; ++i) add(i * 1000);  // 500 rows a second.
  const auto eta = history_.eta();
  ASSERT_TRUE(eta);
  EXPECT_NEAR(eta->p50_seconds, 100, 1);
  EXPECT_NEAR(eta->p90_seconds.value_or(0), 100, 1);
}

// A narrow table is copied at 10,000 rows a second; the wide one behind it takes ten times as long
// for a row.
TEST_F(HistoryTest, AWideTableThatIsStillToComeIsForeseen) {
  RunStatus status;
  status.phase = Phase::Backfill;
  status.tables.resize(2);
  status.tables[0].counts.rows_estimated = 1'000'000;
  status.tables[0].counts.bytes_estimated = 40e6;
  status.tables[1].counts.rows_estimated = 100'000;
  status.tables[1].counts.bytes_estimated = 2704 * 1e5;  // As ten rows of the other cost.
  for (std::uint64_t i = 0; i <= 40; ++i) {
    status.tables[0].counts.rows_done = i * 20'000;
    history_.add(status, now_ms_ += 2000);
  }
  const auto eta = history_.eta();  // 200,000 narrow rows and 100,000 wide ones.
  ASSERT_TRUE(eta);
  EXPECT_NEAR(eta->p50_seconds, 120, 2);
}

// Of a limit in rows the width says nothing.
TEST_F(HistoryTest, ACopyThatALimitInRowsHoldsUpIsForeseenByRows) {
  RunStatus status;
  status.phase = Phase::Backfill;
  status.tables.resize(2);
  for (RunTableStatus& table : status.tables) table.counts.rows_estimated = 100'000;
  status.tables[0].counts.bytes_estimated = 4e6;
  status.tables[1].counts.bytes_estimated = 400e6;
  for (std::size_t i = 0; i < 100; ++i) {  // Ten seconds of the one, ten of the other.
    status.tables[i / 5 % 2].counts.rows_done += 1000;
    history_.add(status, now_ms_ += 2000);
  }
  const auto eta = history_.eta();  // 100,000 of 200,000 rows, 500 a second.
  ASSERT_TRUE(eta);
  EXPECT_NEAR(eta->p50_seconds, 200, 5);
}

TEST_F(HistoryTest, NothingIsForeseenBeforeOnePercent) {
  for (std::uint64_t i = 0; i < 50; ++i) add(i * 20);
  EXPECT_FALSE(history_.eta());
}

TEST_F(HistoryTest, NothingIsForeseenOfATableOfUnknownSize) {
  estimate_ = 0;
  for (std::uint64_t i = 0; i < 50; ++i) add(i * 1000);
  EXPECT_FALSE(history_.eta());
}

TEST_F(HistoryTest, ACopyThatStandsStillHasNoEnd) {
  for (std::uint64_t i = 0; i < 20; ++i) add(i * 1000);
  for (int i = 0; i < 200; ++i) add(19'000);
  EXPECT_FALSE(history_.eta());
}

TEST_F(HistoryTest, PausesMakeTheSlowEndUnknown) {
  for (std::uint64_t i = 0; i < 80; ++i) add(i * 1000);
  for (int i = 0; i < 20; ++i) add(79'000);
  const auto eta = history_.eta();
  ASSERT_TRUE(eta);
  EXPECT_FALSE(eta->p90_seconds);
}

// A run that is prepared anew counts from nothing.
TEST_F(HistoryTest, ARunThatBeganAnewHasNoRateBelowZero) {
  for (std::uint64_t i = 0; i <= 30; ++i) add(50'000 + i * 1000);
  for (std::uint64_t i = 1; i <= 30; ++i) add(i * 1000);
  const auto eta = history_.eta();
  ASSERT_TRUE(eta);
  EXPECT_GT(eta->p50_seconds, 0);
}

// What earlier processes have copied is not known while a run is prepared, and then is no
// throughput.
TEST_F(HistoryTest, NothingIsCountedWhileARunIsPrepared) {
  RunStatus status;
  status.tables.resize(1);  // One that was left out, or as the run before knew it.
  status.tables[0].counts.rows_done = 7;
  history_.add(status, now_ms_ += 2000);
  for (int i = 0; i < 30; ++i) add(50'000);
  const auto points = boost::json::parse(history_.json()).at("points");
  EXPECT_TRUE(points.at(0).at(2).is_null());
  EXPECT_TRUE(points.at(0).at(3).is_null());
  EXPECT_EQ(points.at(1).at(2), 50'000);
  EXPECT_FALSE(history_.eta());  // No row was copied.
}

}  // namespace
}  // namespace lockstep
