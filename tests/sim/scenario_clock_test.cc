// Scenarios of a wall clock that somebody sets back: what is looked at again and again still is.
#include <gtest/gtest.h>

#include "tests/sim/scenario.h"

namespace lockstep {
namespace {

constexpr std::chrono::minutes kBack{30};
constexpr std::chrono::minutes kDue{61};

// Each range is compared once in an hour, and each finding looked at.
SimOptions hourly() {
  SimOptions options = scenario_options();
  options.sweep_continuous = true;
  options.until_synced = false;  // Else the last proof of all is the first.
  options.sweep_every = std::chrono::hours(1);
  return options;
}

void copy_three(Scenario& s) {
  for (const int id : {1, 2, 3}) s.seed(row(id, 0));
  s.start();
  EXPECT_EQ(s.settle(), "");
}

TEST(ClockScenario, ARangeIsDueInTime) {
  Scenario s(hourly());
  copy_three(s);
  s.sweep_on();
  ASSERT_TRUE(s.sweep_status().tables.at(0).second.verified_through);
  s.set_clock_back(kBack);
  s.pass(kDue);
  s.store.edit_rows(0).erase(3);
  s.sweep_on();
  EXPECT_NE(s.finding_of(3), 0U);
}

TEST(ClockScenario, AFindingIsLookedAtInTime) {
  Scenario s(hourly());
  copy_three(s);
  const FakeRow lost = s.store.rows(0).at(3);
  s.store.edit_rows(0).erase(3);
  s.sweep_on();
  ASSERT_EQ(s.sweep_status().tables.at(0).second.open_findings, 1U);
  s.set_clock_back(kBack);
  s.store.edit_rows(0)[3] = lost;
  s.pass(kDue);
  s.sweep_on();
  EXPECT_EQ(s.sweep_status().tables.at(0).second.open_findings, 0U);
}

// What was compared an hour ago was not compared just now, nor will it be.
TEST(ClockScenario, WhatWasComparedKeepsItsAge) {
  Scenario s(hourly());
  copy_three(s);
  s.sweep_on();
  const std::int64_t then = s.sweep_status().tables.at(0).second.oldest_us;
  s.set_clock_back(kBack);
  s.sweep_on();
  EXPECT_EQ(s.sweep_status().tables.at(0).second.oldest_us,
            then - std::chrono::microseconds(kBack).count());
}

}  // namespace
}  // namespace lockstep
