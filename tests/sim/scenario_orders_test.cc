// Scenarios of a sweep where the target orders keys otherwise than the source, or has far more of
// them: it comes to an end, finds what is wrong and nothing else, and holds few rows at a time.
#include <gtest/gtest.h>

#include <algorithm>

#include "tests/sim/scenario.h"

namespace lockstep {
namespace {

constexpr int kOrderedRows = 60;

SimOptions two_orders(Orders orders, bool digests = true) {
  SimOptions options = scenario_options();
  options.orders = orders;
  options.digests = digests;
  options.chunk_rows = 2;
  return options;
}

void copied_in_order(Scenario& s) {
  for (int id = 1; id <= kOrderedRows; ++id) s.seed(row(id, 0));
  s.start();
  EXPECT_EQ(s.settle(), "");
}

// "kind id, ...", by id.
std::string found_in_order(Scenario& s) {
  const SweepStatus status = s.sweep();
  EXPECT_FALSE(status.running) << "it does not end";
  EXPECT_EQ(status.asked.at(0).second.left, "");
  std::vector<std::pair<int, std::string>> all;
  for (const Finding& finding : status.findings)
    all.emplace_back(s.id_of(finding), kind_text(finding.kind));
  std::ranges::sort(all);
  std::string text;
  for (const auto& [id, kind] : all)
    text += (text.empty() ? "" : ", ") + kind + " " + std::to_string(id);
  return text;
}

TEST(OrdersScenario, EqualSidesHaveNoFindings) {
  for (const Orders orders : {Orders::Told, Orders::Untold}) {
    Scenario s(two_orders(orders));
    copied_in_order(s);
    EXPECT_EQ(found_in_order(s), "");
    const TableSweep told = s.sweep_status().asked.at(0).second;
    EXPECT_EQ(told.rows, static_cast<std::uint64_t>(kOrderedRows));
    EXPECT_TRUE(told.verified_through);
    EXPECT_EQ(found_in_order(s), "") << "a second time";
  }
}

// Where the catalogs tell, no row is a suspect for its place: each side is read in its own order,
// and the other by key, twice in all.
TEST(OrdersScenario, RowsAreReadByTheKeysThatTheOtherSideHas) {
  Scenario s(two_orders(Orders::Told));
  copied_in_order(s);
  const std::size_t before = s.source.rows_read(0);
  EXPECT_EQ(found_in_order(s), "");
  const TableSweep told = s.sweep_status().asked.at(0).second;
  EXPECT_EQ(told.resolved, 0U);
  EXPECT_EQ(told.digested, 0U);
  EXPECT_NE(told.no_digests.find("two orders"), std::string::npos) << told.no_digests;
  EXPECT_EQ(s.source.rows_read(0) - before, static_cast<std::size_t>(kOrderedRows)) << "in ranges";
  EXPECT_EQ(told.source_bytes, told.target_bytes);
  EXPECT_GE(told.ranges_total, 2U * kOrderedRows / 4) << "of both";
}

TEST(OrdersScenario, WhatSomebodyDidToTheTargetIsFound) {
  for (const Orders orders : {Orders::Told, Orders::Untold})
    for (const bool digests : {false, true}) {
      Scenario s(two_orders(orders, digests));
      copied_in_order(s);
      TargetStore::Rows& rows = s.store.edit_rows(0);
      rows.at(1).a = rows.at(31).a = rows.at(60).a = "another";
      for (const int id : {2, 30, 59}) rows.erase(id);
      for (const int id : {100, 128, 255}) rows[id] = row(id, 0);
      EXPECT_EQ(found_in_order(s),
                "differing 1, missing_in_target 2, missing_in_target 30, differing 31,"
                " missing_in_target 59, differing 60, extra_in_target 100, extra_in_target 128,"
                " extra_in_target 255");
    }
}

// Before, the target's cuts and the source's led in circles.
TEST(OrdersScenario, RowsThatOnlyTheTargetHasAreFoundWhereThereAreMany) {
  for (const Orders orders : {Orders::One, Orders::Told, Orders::Untold}) {
    Scenario s(two_orders(orders));
    copied_in_order(s);
    std::string all;
    for (int id = 100; id < 180; ++id) {
      s.store.edit_rows(0)[id] = row(id, 0);
      all += (all.empty() ? "extra_in_target " : ", extra_in_target ") + std::to_string(id);
    }
    EXPECT_EQ(found_in_order(s), all);
    for (int id = 100; id < 180; ++id) s.store.edit_rows(0).erase(id);
    EXPECT_EQ(found_in_order(s), "");
    const std::string why = s.sweep_status().asked.at(0).second.no_digests;
    // An order that the catalogs do not tell of shows in ranges only, and may do so again.
    if (orders == Orders::Untold) continue;
    EXPECT_EQ(why.empty(), orders == Orders::One) << why;
  }
}

TEST(OrdersScenario, WhatWasComparedInBothOrdersIsKnownAfterARestart) {
  SimOptions options = two_orders(Orders::Told);
  options.chunk_rows = 10;
  options.sweep_continuous = true;
  options.sweep_every = std::chrono::hours(1);
  Scenario s(options);
  copied_in_order(s);
  s.sweep_on();
  EXPECT_TRUE(s.sweep_status().tables.at(0).second.verified_through);
  s.crash();
  for (int round = 0; round < 5; ++round) s.sweep_round();
  EXPECT_TRUE(s.sweep_status().tables.at(0).second.verified_through);
  EXPECT_EQ(s.sweep_status().tables.at(0).second.rows, 0U);
}

// A table is rewritten without an event, and healed: rows change and go, in either order.
TEST(OrdersScenario, AHealComesToItsEnd) {
  for (const Orders orders : {Orders::Told, Orders::Untold}) {
    SimOptions options = two_orders(orders);
    options.chunk_rows = 10;
    Scenario s(options);
    copied_in_order(s);
    std::vector<FakeRow> rows;
    for (int id = 200; id < 220; ++id) rows.push_back(row(id, 1));
    EXPECT_TRUE(s.source.attach(0, rows));
    EXPECT_EQ(s.settle(), "");
    EXPECT_TRUE(s.source.lose_partition(0, FakeSource::Loss::Truncated));
    EXPECT_EQ(s.settle(), "");
    EXPECT_FALSE(s.on_target(210));
  }
}

}  // namespace
}  // namespace lockstep
