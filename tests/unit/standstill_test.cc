// Lanes that stand still while both sides are read (V13).
#include "pipeline/merge/standstill.h"

#include <gtest/gtest.h>

#include <array>

namespace lockstep {
namespace {

using std::chrono::milliseconds;

const Snapshot kTaken{100, 110, {105}};

Change change_of(Xid xid) {
  Change change;
  change.xid = xid;
  return change;
}

class StandstillTest : public ::testing::Test {
 protected:
  Standstill::Time at(int ms) { return begin_ + milliseconds(ms); }

  const Standstill::Time begin_{std::chrono::hours(1)};
  Standstill standstill_{2, milliseconds(1000)};
};

TEST_F(StandstillTest, HoldsWhatTheSnapshotDoesNotSee) {
  EXPECT_FALSE(standstill_.holds(change_of(200)));
  standstill_.begin();
  EXPECT_TRUE(standstill_.holds(change_of(50))) << "whatever it sees is not known yet";
  standstill_.see(kTaken);
  EXPECT_FALSE(standstill_.holds(change_of(50)));
  EXPECT_TRUE(standstill_.holds(change_of(105)));
  EXPECT_TRUE(standstill_.holds(change_of(200)));
  EXPECT_FALSE(standstill_.holds(change_of(0))) << "of unknown visibility";
  EXPECT_TRUE(standstill_.release());
  EXPECT_FALSE(standstill_.holds(change_of(200)));
}

TEST_F(StandstillTest, ALaneStandsOnceAllBeforeIsCommitted) {
  standstill_.begin();
  EXPECT_TRUE(standstill_.wait(0, change_of(200), true, at(0)));
  EXPECT_FALSE(standstill_.stands(0)) << "it may be one that S sees";
  standstill_.see(kTaken);
  EXPECT_TRUE(standstill_.wait(0, change_of(200), false, at(1)));
  EXPECT_FALSE(standstill_.stands(0));
  EXPECT_TRUE(standstill_.wait(0, change_of(200), true, at(2)));
  EXPECT_TRUE(standstill_.stands(0));
  EXPECT_FALSE(standstill_.stands(1));
}

TEST_F(StandstillTest, NoLaneWaitsLongerThanTheLimit) {
  standstill_.begin();
  standstill_.see(kTaken);
  EXPECT_TRUE(standstill_.wait(0, change_of(200), true, at(0)));
  EXPECT_TRUE(standstill_.wait(1, change_of(200), true, at(500)));
  EXPECT_FALSE(standstill_.wait(0, change_of(200), true, at(1000)));
  EXPECT_FALSE(standstill_.wait(1, change_of(200), true, at(1000)));
  EXPECT_FALSE(standstill_.stands(1));
  EXPECT_FALSE(standstill_.active());
  EXPECT_FALSE(standstill_.release()) << "the target has more by now";
}

TEST_F(StandstillTest, NoticesAChangeThatCameTooLate) {
  constexpr std::array<Xid, 1> seen{50};
  constexpr std::array<Xid, 3> unseen{0, 105, 200};
  standstill_.begin();
  standstill_.see(kTaken);
  standstill_.passed(seen);
  EXPECT_TRUE(standstill_.release());
  standstill_.passed(unseen);
  EXPECT_FALSE(standstill_.came_late());
  standstill_.passed(seen);
  EXPECT_TRUE(standstill_.came_late());
  standstill_.end();
  standstill_.begin();
  EXPECT_FALSE(standstill_.came_late());
}

}  // namespace
}  // namespace lockstep
