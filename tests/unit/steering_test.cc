// What an operator orders is stored, and a breaker takes nothing from him.
#include "daemon/steering.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/unit/checkpoint_fixture.h"

namespace lockstep {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;

class SteeringTest : public Checkpoint {
 protected:
  SteeringTest() {
    manifest_.path = "shop.yaml";
    store_ = open();
    steering_ = begun();
  }
  std::unique_ptr<Steering> begun() {
    auto steering = std::make_unique<Steering>(
        manifest_, *store_, [this](const std::string& what) { told_.push_back(what); });
    EXPECT_TRUE(steering->load());
    return steering;
  }
  std::string holder(const std::string& name) const {
    const Pauses pauses = steering_->control().pauses();
    const auto found = pauses.find(name);
    return found == pauses.end() ? "nobody" : found->second.actor + ": " + found->second.reason;
  }

  Manifest manifest_;
  std::unique_ptr<RocksdbStore> store_;
  std::unique_ptr<Steering> steering_;
  std::vector<std::string> told_;
};

TEST_F(SteeringTest, ABreakerTakesNobodysPause) {
  ASSERT_TRUE(steering_->pause({"apply"}, {"uid 7", "release 17"}));
  ASSERT_TRUE(steering_->pause_free({"apply", "backfill"}, {"breaker", "too many"}));
  EXPECT_EQ(holder("apply"), "uid 7: release 17");
  EXPECT_EQ(holder("backfill"), "breaker: too many");
  EXPECT_THAT(told_.back(), HasSubstr("pause backfill: too many"));

  // What it tells of is what it has done: here nothing.
  const std::size_t told = told_.size();
  ASSERT_TRUE(steering_->pause_free({"apply", "backfill"}, {"breaker", "more"}));
  EXPECT_EQ(told_.size(), told);

  // Of the next process, too.
  steering_ = begun();
  EXPECT_EQ(holder("apply"), "uid 7: release 17");
  EXPECT_EQ(holder("backfill"), "breaker: too many");
  const auto resumed = steering_->resume({"apply", "backfill"}, {"breaker", ""}, "breaker");
  ASSERT_TRUE(resumed);
  EXPECT_THAT(*resumed, ElementsAre("backfill"));
}

// A disk that is full, or broken, keeps nobody from it; whoever asks is told that it ends with the
// process.
TEST_F(SteeringTest, AnAbortHoldsAlsoWhereItCannotBeStored) {
  // Every order is sealed, and the seal is made under this name.
  std::filesystem::create_directory(directory_ + "/seal.new");
  const Status paused = steering_->pause({"apply"}, {"uid 7", "release 17"});
  ASSERT_FALSE(paused);
  EXPECT_EQ(paused.error().exit, ExitCode::Io);
  EXPECT_EQ(holder("apply"), "nobody");

  const Status aborted = steering_->abort({"uid 7", "wrong database"});
  ASSERT_FALSE(aborted);
  EXPECT_EQ(aborted.error().exit, ExitCode::Io);
  EXPECT_TRUE(steering_->control().aborted());
  EXPECT_EQ(holder(std::string(kAbort)), "uid 7: wrong database");
  EXPECT_THAT(told_.back(), AllOf(HasSubstr("pause abort, by uid 7"), HasSubstr("not stored")));

  std::filesystem::remove(directory_ + "/seal.new");
  steering_ = begun();
  EXPECT_EQ(holder(std::string(kAbort)), "nobody");
  ASSERT_TRUE(steering_->abort({"uid 7", "wrong database"}));
  steering_ = begun();
  EXPECT_EQ(holder(std::string(kAbort)), "uid 7: wrong database");
}

}  // namespace
}  // namespace lockstep
