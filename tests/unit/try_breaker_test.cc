// When a part is held since a server keeps refusing its tries, when it probes, and that a person's
// word stands.
#include "daemon/try_breaker.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace lockstep {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

using State = TryBreaker::State;

class TryBreakerTest : public ::testing::Test {
 protected:
  TryBreakerTest() { control_.set(Limit::BreakerRefused, 10); }

  void look(int after) { breaker_.look(begin_ + std::chrono::seconds(after)); }
  // Opens it in the first second.
  void open() {
    refused_ = 11;
    look(1);
    ASSERT_EQ(breaker_.state(), State::Open);
  }

  Control control_;
  std::uint64_t refused_ = 0;
  bool stores_ = true;
  std::vector<std::string> pauses_;
  int resumes_ = 0;
  const TryBreaker::Time begin_{std::chrono::hours(1)};
  TryBreaker breaker_{control_,
                      Scope::Apply,
                      "tries to write",
                      {[this] { return refused_; },
                       [this](const std::string& why) -> Status {
                         if (!stores_) return fail(Reaction::Retry, "disk full");
                         pauses_.push_back(why);
                         control_.pause("apply", {std::string(kProbingBreaker), why, 0});
                         return {};
                       },
                       [this]() -> Status {
                         ++resumes_;
                         control_.resume("apply");
                         return {};
                       }}};
};

TEST_F(TryBreakerTest, MoreThanAllowedWithinTheWindowOpensItAtTheNextLook) {
  refused_ = 10;
  look(0);
  EXPECT_THAT(pauses_, IsEmpty());
  refused_ = 11;
  look(599);
  EXPECT_THAT(pauses_, ElementsAre("11 tries to write failed within ten minutes, more than "
                                   "breakers.refused_tries = 10; the next probe is in 30 s"));
}

TEST_F(TryBreakerTest, WhatIsOlderThanTheWindowDoesNotCount) {
  refused_ = 10;
  look(0);
  refused_ = 11;
  look(601);
  EXPECT_THAT(pauses_, IsEmpty());
}

TEST_F(TryBreakerTest, WithoutALimitItStaysClosed) {
  control_.set(Limit::BreakerRefused, 0);
  refused_ = 1000;
  look(0);
  EXPECT_THAT(pauses_, IsEmpty());
}

TEST_F(TryBreakerTest, AProbeThatFailsHoldsItTwiceAsLongUpToTenMinutes) {
  open();
  int now = 1;
  for (const int wait : {30, 60, 120, 240, 480, 600, 600}) {
    look(now + wait - 1);
    EXPECT_EQ(breaker_.state(), State::Open);
    look(now += wait);
    EXPECT_EQ(breaker_.state(), State::HalfOpen);
    EXPECT_FALSE(control_.paused(Scope::Apply));
    ++refused_;
    look(++now);
    EXPECT_EQ(breaker_.state(), State::Open);
  }
  EXPECT_THAT(pauses_, SizeIs(8));
  EXPECT_THAT(pauses_.back(), "tries to write failed at a probe; the next probe is in 600 s");
}

TEST_F(TryBreakerTest, AMinuteWithoutAFailureClosesItAndItCountsFromNone) {
  open();
  look(31);
  look(90);
  EXPECT_EQ(breaker_.state(), State::HalfOpen);
  look(91);
  EXPECT_EQ(breaker_.state(), State::Closed);
  refused_ += 10;
  look(92);
  EXPECT_EQ(breaker_.state(), State::Closed);
  ++refused_;
  look(93);
  EXPECT_THAT(pauses_.back(), HasSubstr("the next probe is in 30 s"));
}

TEST_F(TryBreakerTest, WhatAPersonPausesMeanwhileStaysPaused) {
  open();
  control_.pause("apply", {"uid 0", "release 17", 0});
  look(31);
  EXPECT_EQ(resumes_, 0);
  EXPECT_EQ(breaker_.state(), State::Closed);
  EXPECT_TRUE(control_.paused(Scope::Apply));
}

TEST_F(TryBreakerTest, APersonMayResumeBeforeTheProbe) {
  open();
  control_.resume("apply");
  look(2);
  EXPECT_EQ(breaker_.state(), State::Closed);
  EXPECT_EQ(resumes_, 0);
}

TEST_F(TryBreakerTest, ALimitThatIsTakenAwayResumesAtOnce) {
  open();
  control_.set(Limit::BreakerRefused, 0);
  look(2);
  EXPECT_EQ(resumes_, 1);
  look(3);
  EXPECT_EQ(breaker_.state(), State::Closed);
}

// Else a daemon that was killed while it held a part would hold it for ever.
TEST_F(TryBreakerTest, WhatAnEarlierProcessHeldIsProbed) {
  control_.pause("apply", {std::string(kProbingBreaker), "of an earlier process", 0});
  look(0);
  EXPECT_EQ(breaker_.state(), State::Open);
  look(30);
  EXPECT_EQ(resumes_, 1);
}

TEST_F(TryBreakerTest, WhatCannotBeStoredIsTriedAtTheNextLook) {
  stores_ = false;
  refused_ = 11;
  look(0);
  EXPECT_EQ(breaker_.state(), State::Closed);
  stores_ = true;
  look(1);
  EXPECT_EQ(breaker_.state(), State::Open);
}

TEST(RefusedTriesTest, ABrokenConnectionIsNoRefusal) {
  Meters meters;
  for (const char* code : {"none", "08006", "57P03", "53100", "40P01", "_TRANSPORT"})
    meters.retries.add("lane", code);
  meters.retries.add("scan", "55P03");
  meters.retries.add("debts", "55P03");
  const auto of = [&](std::vector<Worker> workers) { return refused_tries(meters, workers); };
  EXPECT_EQ(of({Worker::Lane}), 2);
  EXPECT_EQ(of({Worker::Scan}), 1);
  EXPECT_EQ(of({Worker::Lane, Worker::Debts}), 3);
}

}  // namespace
}  // namespace lockstep
