// What is not known of a table is null, and never 0.
#include "daemon/status_json.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <boost/json.hpp>
#include <string>

#include "daemon/prepare.h"

namespace lockstep {
namespace {

using ::testing::HasSubstr;

boost::json::value document_of(const RunTableStatus& table) {
  return boost::json::parse(table_json(table));
}

TEST(StatusJson, WhatNobodyKnowsIsNull) {
  RunTableStatus table;
  table.table = "public.orders";
  table.counted = false;
  const auto unknown = document_of(table);
  EXPECT_EQ(unknown.at("state"), "unknown");
  for (const char* name : {"rows_done", "rows_estimated", "events_applied", "debts", "quarantined"})
    EXPECT_TRUE(unknown.at(name).is_null()) << name;
  table.counted = true;
  table.debts = table.quarantined = 0;
  const auto known = document_of(table);
  EXPECT_EQ(known.at("state"), "pending");
  for (const char* name : {"rows_done", "rows_estimated", "events_applied", "debts", "quarantined"})
    EXPECT_EQ(known.at(name), 0) << name;
}

TEST(StatusJson, TheProgressLineSaysWhatItDoesNotKnow) {
  RunStatus status;
  EXPECT_THAT(progress_line(status), HasSubstr("debts unknown"));
  status.tables.resize(1);
  status.tables[0].debts = 3;
  EXPECT_THAT(progress_line(status), HasSubstr("debts 3"));
}

// A table that a run leaves alone keeps what is on the target, and what is set aside of it.
TEST(LeftOutTables, AreCountedByTheBookkeeping) {
  Claim claim;
  for (const std::uint64_t rows : {100U, 20U}) {
    StoredChunk& chunk = claim.chunks.emplace_back();
    chunk.source = {"public", "orders"};
    chunk.mark.rows = rows;
  }
  StoredDebts& debts = claim.debts.emplace_back();
  debts.source = {"public", "orders"};
  debts.open = 3;
  debts.quarantined = 2;
  std::vector<LeftOut> tables(2);
  tables[0].table = "public.orders";
  tables[1].table = "public.items";
  count_left_out(claim, tables);
  EXPECT_EQ(tables[0].rows_done, 120U);
  EXPECT_EQ(tables[0].debts, 3U);
  EXPECT_EQ(tables[0].quarantined, 2U);
  EXPECT_EQ(tables[1].rows_done, 0U);
  EXPECT_EQ(tables[1].quarantined, 0U);
}

}  // namespace
}  // namespace lockstep
