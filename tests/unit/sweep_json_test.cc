// What `reconcile` tells people: of all findings, though it shows the first of them only.
#include "daemon/sweep_json.h"

#include <gmock/gmock.h>

#include <boost/json.hpp>

namespace lockstep {
namespace {

using testing::HasSubstr;
using testing::Not;

// A table of which the target lacks all rows but some; as many findings are listed as a sweep
// lists.
SweepStatus lacking(std::uint64_t rows, std::uint64_t missing) {
  SweepStatus status;
  status.sweep = 1;
  TableSweep table;
  table.rows = rows;
  table.findings = table.missing = missing;
  table.over = true;
  status.asked.emplace_back(0, table);
  for (std::uint64_t id = 1; id <= std::min<std::uint64_t>(missing, 10'000); ++id) {
    Finding finding;
    finding.table = "public.t";
    finding.key = "k";
    finding.kind = FindingKind::MissingInTarget;
    status.findings.push_back(finding);
  }
  return status;
}

TableMap map_of_t() {
  TableMap map;
  map.source.name = {"public", "t"};
  return map;
}

TEST(SweepJson, TheTextSaysOfHowManyFindingsItShowsTheFirst) {
  const TableMap map = map_of_t();
  const std::string document = sweep_json(lacking(90'000, 25'000), {&map}, {}, {});
  const boost::json::value parsed = boost::json::parse(document);
  EXPECT_EQ(parsed.at("findings").as_array().size(), 10'000U);
  EXPECT_EQ(parsed.at("findings_total").to_number<std::uint64_t>(), 25'000U);
  const std::string text = sweep_text(document, "shop.yaml");
  EXPECT_THAT(text, HasSubstr("these are 20 of 25000 findings"));
  EXPECT_THAT(text, HasSubstr("next: lockstep findings list shop.yaml"));
  EXPECT_THAT(text, Not(HasSubstr("resync")));
}

TEST(SweepJson, ATableThatWasTruncatedOnTheTargetIsToBeSynchronised) {
  const TableMap map = map_of_t();
  const std::string text = sweep_text(sweep_json(lacking(3000, 3000), {&map}, {}, {}), "shop.yaml");
  EXPECT_THAT(text, HasSubstr("lockstep resync shop.yaml --table 'public.t'"));
}

TEST(SweepJson, WhatItWaitsForIsTold) {
  const TableMap map = map_of_t();
  SweepStatus status = lacking(1, 0);
  status.running = true;
  const auto outcome = sweep_outcome(sweep_json(status, {&map}, {}, {}, {"a pause", "a heal"}));
  ASSERT_TRUE(outcome);
  EXPECT_TRUE(outcome->running);
  EXPECT_EQ(outcome->waits, "a pause; a heal");
}

}  // namespace
}  // namespace lockstep
