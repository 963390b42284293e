// What /metrics shows: names, types, what is not known, and as many labels as there may be.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <iterator>
#include <set>
#include <sstream>

#include "daemon/metrics/catalog.h"
#include "daemon/metrics/page.h"
#include "daemon/try_breaker.h"

namespace lockstep {
namespace {

using ::testing::AnyOf;
using ::testing::Contains;
using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

TEST(Meters, AValueCountsForItsBoundAndAllAboveIt) {
  Histogram histogram(kSecondsBounds);
  Histogram::Gathered gathered(histogram);
  gathered.add(5, 2);  // Not greater than the bound: within it.
  histogram.add(gathered);
  histogram.add(5.001);
  histogram.add(61);
  const Histogram::Sums sums = histogram.read();
  const auto five = std::ranges::find(sums.bounds, 5.0) - sums.bounds.begin();
  ASSERT_LT(five, std::ssize(sums.bounds));  // The lag that the stream is to stay below.
  EXPECT_EQ(sums.up_to[static_cast<std::size_t>(five) - 1], 0u);
  EXPECT_EQ(sums.up_to[static_cast<std::size_t>(five)], 2u);
  EXPECT_EQ(sums.up_to[static_cast<std::size_t>(five) + 1], 3u);
  EXPECT_EQ(sums.up_to.back(), 4u);
  EXPECT_DOUBLE_EQ(sums.sum, 10 + 5.001 + 61);
}

TEST(Meters, NamesThatNeverEndAreCutShort) {
  NamedCounter counter;
  for (int i = 0; i < 1000; ++i) counter.add("lane", std::to_string(i));
  counter.add("lane", "7");  // Known already.
  const auto values = counter.values();
  EXPECT_LE(values.size(), 101u);
  EXPECT_EQ(values.at({"lane", "7"}), 2u);
  EXPECT_EQ(values.at({"lane", "other"}), 900u);
}

TEST(Meters, ATableStaysWhereItIs) {
  Meters meters;
  const TableMeters& first = meters.table("public.t");
  for (int i = 0; i < 100; ++i) meters.table("public.t" + std::to_string(i));
  EXPECT_EQ(&meters.table("public.t"), &first);
}

// A run that is prepared anew finds what was set aside before, of which people know.
TEST(Meters, WhatIsSetAsideIsToldOnlyWhenItIsMore) {
  Meters meters;
  using testing::ElementsAre;
  EXPECT_THAT(meters.more_aside({{"public.a", 3}, {"public.b", 1}}),
              ElementsAre("public.a", "public.b"));
  EXPECT_THAT(meters.more_aside({{"public.a", 3}, {"public.b", 2}}), ElementsAre("public.b"));
  EXPECT_THAT(meters.more_aside({{"public.a", 1}}), testing::IsEmpty());
  EXPECT_THAT(meters.more_aside({{"public.a", 2}, {"public.b", 1}}),
              ElementsAre("public.a", "public.b"));
}

class MetricsTest : public testing::Test {
 protected:
  RunTableStatus& table(const std::string& name) {
    RunTableStatus& added = status_.tables.emplace_back();
    added.table = name;
    return added;
  }
  std::string text() const {
    return metrics_text({"shop", "0.1", true, running_, status_, control_, meters_, aggregates_,
                         every_, 1'000'000'000, uncompared_});
  }
  // The lines of one metric, without its comments.
  std::vector<std::string> lines(const std::string& name) const {
    std::istringstream all(text());
    std::vector<std::string> found;
    for (std::string line; std::getline(all, line);)
      if (line.starts_with(name + "{")) found.push_back(line);
    return found;
  }

  bool running_ = true;
  RunStatus status_;
  Control control_;
  Meters meters_;
  std::vector<AggregateResult> aggregates_;
  std::optional<std::chrono::seconds> every_;
  Uncompared::Since uncompared_;
};

// docs/metrics.md is what operators read.
TEST_F(MetricsTest, TheDocumentIsTheCatalog) {
  std::ifstream file(LOCKSTEP_SOURCE_DIR "/docs/metrics.md");
  const std::string document{std::istreambuf_iterator<char>(file), {}};
  EXPECT_THAT(document, EndsWith(catalog_markdown())) << "put this at the end of docs/metrics.md:\n"
                                                      << catalog_markdown();
}

TEST_F(MetricsTest, NamesSayWhatTheyAre) {
  std::set<std::string_view> names;
  for (const MetricInfo& one : metric_catalog()) {
    EXPECT_TRUE(names.insert(one.name).second) << one.name;
    EXPECT_THAT(std::string(one.name), AnyOf(StartsWith("migration_"), StartsWith("process_")));
    EXPECT_EQ(one.name.ends_with("_total"), one.kind == MetricKind::Counter) << one.name;
    EXPECT_THAT(std::string(one.help), EndsWith(".")) << one.name;
  }
}

TEST_F(MetricsTest, EveryMetricOfTheCatalogCanBeSeen) {
  status_.lag_seconds = 2;
  status_.proof.emplace().at_us = 5;
  status_.kept_wal = {1, 2, 3};
  status_.throttled.seconds["stream lag"] = 1;
  RunTableStatus& one = table("public.t");
  one.debts = one.quarantined = 0;
  one.counts.rows_done = 10;
  one.counts.life.copied = true;
  TableSweep& sweep = one.sweep.emplace();
  sweep.verified_through = 7;
  sweep.oldest_us = 8;
  sweep.verified_rows = 10;
  sweep.open_findings = 1;
  meters_.table("public.t").applied[0].add(1);
  meters_.retries.add("lane", "40P01");
  meters_.told.add("info", "started");
  meters_.last_applied_us = 1;
  meters_.heartbeat(Worker::Lane) = 1;
  every_ = std::chrono::hours(24);
  uncompared_["public.t"] = 9;
  status_.stuck_seconds = 0;
  control_.set(Limit::BackfillRows, 1);
  control_.set(Limit::ReconcileBytes, 1);
  aggregates_.emplace_back().name = "revenue";
  aggregates_.back().state = AggregateState::Different;
  const std::string shown = text();
  for (const MetricInfo& one_info : metric_catalog())
    EXPECT_TRUE(shown.contains("# TYPE " + std::string(one_info.name) + " ")) << one_info.name;
  std::istringstream all(shown);
  for (std::string line; std::getline(all, line);)
    EXPECT_TRUE(line.starts_with("#") || line.find("{migration=\"shop\"") != line.npos) << line;
}

TEST_F(MetricsTest, WhatIsNotKnownIsAbsent) {
  RunTableStatus& one = table("public.t");
  one.counts.rows_done = 5;  // Of a source that has no estimate, and compared by nobody.
  EXPECT_THAT(lines("migration_replication_lag_known"), Contains(EndsWith(" 0")));
  EXPECT_THAT(lines("migration_backfill_rows_total"), Contains(EndsWith("} 5")));
  for (const char* name :
       {"migration_replication_lag_seconds", "migration_oldest_unapplied_timestamp_seconds",
        "migration_last_applied_timestamp_seconds", "migration_proof_timestamp_seconds",
        "migration_source_retained_wal_bytes", "migration_backfill_rows_expected",
        "migration_backfill_progress_ratio", "migration_divergent_rows",
        "migration_divergence_ratio", "migration_reconcile_rows_total",
        "migration_reconcile_last_success_timestamp_seconds", "migration_reconcile_every_seconds",
        "migration_reconcile_uncompared_since_timestamp_seconds", "migration_stuck_seconds",
        "migration_rate_limit_rows_per_second", "migration_heartbeat_timestamp_seconds"})
    EXPECT_THAT(lines(name), testing::IsEmpty()) << name;

  status_.lag_seconds = 0;  // Known, and there is none.
  one.sweep.emplace().verified_rows = 5;
  EXPECT_THAT(lines("migration_replication_lag_known"), Contains(EndsWith(" 1")));
  EXPECT_THAT(lines("migration_replication_lag_seconds"), Contains(EndsWith(" 0")));
  EXPECT_THAT(lines("migration_oldest_unapplied_timestamp_seconds"), testing::IsEmpty());
  EXPECT_THAT(lines("migration_divergent_rows"), Contains(EndsWith(" 0")));
}

// What the last run knew is not known of now; what was counted is.
TEST_F(MetricsTest, BetweenTwoRunsOnlyCountsAreShown) {
  table("public.t").debts = 3;
  meters_.table("public.t").applied[2].add(4);
  running_ = false;
  EXPECT_THAT(lines("migration_debts_open"), testing::IsEmpty());
  EXPECT_THAT(lines("migration_queue_bytes"), testing::IsEmpty());
  EXPECT_THAT(lines("migration_stream_held"), testing::IsEmpty());
  EXPECT_THAT(lines("migration_tables"), testing::IsEmpty());
  EXPECT_THAT(lines("migration_events_total"),
              testing::ElementsAre(
                  "migration_events_total{migration=\"shop\",table=\"public.t\",op=\"delete\"} 4"));
}

TEST_F(MetricsTest, TablesBeyondTheFirstShareALabel) {
  for (std::size_t i = 0; i < kMetricTablesMax + 50; ++i) {
    const std::string name = "public.t" + std::to_string(i);
    table(name).counts.rows_done = 1;
    meters_.table(name).applied[0].add(1);
  }
  for (const char* name : {"migration_backfill_rows_total", "migration_events_total"}) {
    const std::vector<std::string> all = lines(name);
    EXPECT_EQ(all.size(), kMetricTablesMax + 1) << name;
    EXPECT_THAT(all, Contains(testing::AllOf(HasSubstr("table=\"other\""), EndsWith("} 50"))));
  }
  EXPECT_THAT(lines("migration_backfill_state"), Not(Contains(HasSubstr("table=\"other\""))));
}

TEST_F(MetricsTest, OneStateOfAll) {
  status_.phase = Phase::Follow;
  table("public.t").stopped = "its column is gone";
  control_.pause("apply", {"uid 1", "release", 1});
  EXPECT_THAT(lines("migration_phase"),
              Contains(testing::AllOf(HasSubstr("\"follow\""), EndsWith(" 1"))));
  EXPECT_THAT(lines("migration_phase"),
              Contains(testing::AllOf(HasSubstr("\"drain\""), EndsWith(" 0"))));
  EXPECT_THAT(lines("migration_paused"),
              Contains(testing::AllOf(HasSubstr("\"apply\""), EndsWith(" 1"))));
  EXPECT_THAT(lines("migration_paused"),
              Contains(testing::AllOf(HasSubstr("\"backfill\""), EndsWith(" 0"))));
  EXPECT_THAT(lines("migration_circuit_breaker_open"), Not(Contains(EndsWith(" 1"))));
  control_.pause("backfill", {std::string(kProbingBreaker), "refused", 1});
  EXPECT_THAT(lines("migration_circuit_breaker_open"),
              Contains(testing::AllOf(HasSubstr("\"backfill\""), EndsWith(" 1"))));
  EXPECT_THAT(lines("migration_backfill_state"), Contains(HasSubstr("state=\"stopped\"} 1")));
  EXPECT_THAT(lines("migration_tables"),
              Contains(testing::AllOf(HasSubstr("\"following\""), EndsWith(" 0"))));
}

// A sum of which a part is missing is none: an alert would take it for the end of its cause.
TEST_F(MetricsTest, WhatIsNotKnownOfOneTableIsNotSummedUp) {
  table("public.a").quarantined = 3;
  table("public.b").debts = 2;
  EXPECT_THAT(lines("migration_quarantined_rows"), testing::IsEmpty());
  EXPECT_THAT(lines("migration_debts_open"), testing::IsEmpty());
  status_.tables[1].quarantined = 0;
  EXPECT_THAT(lines("migration_quarantined_rows"), testing::ElementsAre(EndsWith("} 3")));
  status_.tables[1].counts.rows_done = 7;
  status_.tables[0].counted = false;
  EXPECT_THAT(lines("migration_backfill_rows_total"),
              testing::ElementsAre(testing::AllOf(HasSubstr("public.b"), EndsWith("} 7"))));
}

// One that is left out of a run comes last in its status.
TEST_F(MetricsTest, ATableKeepsItsLabelWhenItIsLeftOut) {
  constexpr std::size_t kMore = kMetricTablesMax + 10;
  for (std::size_t i = 0; i < kMore; ++i) {
    const std::string name = "public.t" + std::to_string(1000 + i);
    table(name).counts.rows_done = 1;
    meters_.table(name).applied[0].add(i);
  }
  const auto rows = lines("migration_backfill_rows_total");
  const auto events = lines("migration_events_total");
  std::ranges::rotate(status_.tables, status_.tables.begin() + 1);
  EXPECT_EQ(lines("migration_backfill_rows_total"), rows);
  EXPECT_EQ(lines("migration_events_total"), events);
}

TEST_F(MetricsTest, AStreamThatIsHeldOnPurposeIsSaid) {
  EXPECT_THAT(lines("migration_stream_held"), testing::ElementsAre(EndsWith(" 0")));
  status_.stream_held = true;
  EXPECT_THAT(lines("migration_stream_held"), testing::ElementsAre(EndsWith(" 1")));
}

// What was never compared has no last comparison, so that something else must tell how old it is.
TEST_F(MetricsTest, ATableThatWasNeverComparedIsTimedFromItsCopy) {
  Uncompared uncompared;
  RunTableStatus& one = table("public.t");
  one.counts.life.stage = Stage::Copying;
  EXPECT_THAT(uncompared.look(status_, 1), testing::IsEmpty());
  one.counts.life.stage = Stage::Following;
  const Uncompared::Since since{{"public.t", 2'000'000}};
  EXPECT_EQ(uncompared.look(status_, 2'000'000), since);
  one.sweep.emplace().verified_rows = 5;  // But not all of them.
  uncompared_ = uncompared.look(status_, 3'000'000);
  EXPECT_EQ(uncompared_, since);
  EXPECT_THAT(lines("migration_reconcile_uncompared_since_timestamp_seconds"),
              testing::ElementsAre(EndsWith("table=\"public.t\"} 2")));
  one.sweep->verified_through = 7;
  EXPECT_THAT(uncompared.look(status_, 4'000'000), testing::IsEmpty());
  one.sweep->verified_through.reset();  // It is copied again.
  EXPECT_EQ(uncompared.look(status_, 5'000'000).at("public.t"), 5'000'000);
}

TEST_F(MetricsTest, NamesOfTablesMayHoldAnything) {
  table("public.a\"b\\c\nd").counts.rows_done = 1;
  EXPECT_THAT(lines("migration_backfill_rows_total"),
              testing::ElementsAre(HasSubstr(R"(table="public.a\"b\\c\nd"} 1)")));
}

}  // namespace
}  // namespace lockstep
