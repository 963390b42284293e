// When apply is held since too much goes wrong, and that it is not held again for the same rows.
#include "daemon/breakers.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace lockstep {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

class BreakersTest : public ::testing::Test {
 protected:
  BreakersTest() {
    status_.looked = true;
    status_.tables.resize(2);
    status_.tables[0].sweep = TableSweep{};
    control_.set(Limit::BreakerQuarantined, 100);
    look(-3);
  }

  // So long after the run has settled.
  void look(int seconds) { breakers_.look(begin_ + std::chrono::seconds(3 + seconds)); }

  Control control_;
  RunStatus status_;
  std::uint64_t run_ = 1;
  std::vector<std::string> tripped_;
  const Breakers::Time begin_{std::chrono::hours(1)};
  Breakers breakers_{control_,
                     {[this] { return status_; }, [this] { return run_; },
                      [this](const std::string& why) -> Status {
                        tripped_.push_back(why);
                        control_.pause("apply", {"breaker", why, 0});
                        return {};
                      }},
                     {}};
};

TEST_F(BreakersTest, MoreThanAllowedWithinTheWindowTripsAtTheNextLook) {
  look(0);
  status_.tables[1].quarantined = 100;
  look(1);
  EXPECT_THAT(tripped_, IsEmpty());
  status_.tables[0].quarantined = 1;
  look(2);
  EXPECT_THAT(tripped_, ElementsAre(HasSubstr("101 rows were set aside within ten minutes, more "
                                              "than breakers.quarantined_rows = 100")));
}

// A run learns only after a while what was set aside before it.
TEST_F(BreakersTest, WhatWasThereBeforeDoesNotCount) {
  look(-2);
  status_.tables[1].quarantined = 5000;
  look(-1);
  look(0);
  look(1);
  EXPECT_THAT(tripped_, IsEmpty());
}

TEST_F(BreakersTest, AnotherRunBeginsToCountAnew) {
  look(0);
  run_ = 2;
  look(1);
  status_.tables[1].quarantined = 500;  // It is known again.
  look(3);
  look(20);
  EXPECT_THAT(tripped_, IsEmpty());
  status_.tables[1].quarantined = 700;
  look(21);
  EXPECT_EQ(tripped_.size(), 1U);
}

// Its first look may take longer than a run needs to settle.
TEST_F(BreakersTest, BeforeTheFirstLookNothingIsCounted) {
  look(0);
  run_ = 2;
  status_.looked = false;
  look(1);
  look(30);
  status_.looked = true;
  status_.tables[1].quarantined = 500;
  look(31);
  look(50);
  EXPECT_THAT(tripped_, IsEmpty());
}

TEST_F(BreakersTest, WhileAServerIsAwayNothingIsCounted) {
  look(0);
  status_.trouble = {"supervisor: cannot connect"};
  look(60);
  status_.trouble.clear();
  status_.tables[1].quarantined = 500;
  look(61);
  look(80);
  EXPECT_THAT(tripped_, IsEmpty());
}

TEST_F(BreakersTest, WhatIsOlderThanTheWindowDoesNotCount) {
  look(0);
  status_.tables[1].quarantined = 90;
  look(1);
  status_.tables[1].quarantined = 180;
  look(700);
  EXPECT_THAT(tripped_, IsEmpty());
}

TEST_F(BreakersTest, RowsThatComeAndGoAreCountedEachTime) {
  look(0);
  for (int i = 1; i < 30 && tripped_.empty(); i += 2) {
    status_.tables[1].quarantined = 10;
    look(i);
    status_.tables[1].quarantined = 0;
    look(i + 1);
  }
  EXPECT_EQ(tripped_.size(), 1U);
}

TEST_F(BreakersTest, AfterAResumeOnlyWhatComesThenCounts) {
  look(0);
  status_.tables[1].quarantined = 200;
  look(1);
  ASSERT_EQ(tripped_.size(), 1U);
  look(2);  // Held: nobody trips it twice.
  status_.tables[1].quarantined = 250;
  look(3);
  control_.resume("apply");
  look(4);
  EXPECT_EQ(tripped_.size(), 1U);
  status_.tables[1].quarantined = 351;
  look(5);
  EXPECT_EQ(tripped_.size(), 2U);
}

TEST_F(BreakersTest, UnequalRowsHaveALimitOfTheirOwn) {
  look(0);
  status_.tables[0].sweep->open_findings = 1000;
  look(1);
  EXPECT_THAT(tripped_, IsEmpty());  // No limit.
  control_.set(Limit::BreakerUnequal, 10);
  status_.tables[0].sweep->open_findings = 1011;
  look(2);
  EXPECT_THAT(tripped_, ElementsAre(HasSubstr("found unequal")));
}

}  // namespace
}  // namespace lockstep
