// Keys that wait in front of their lanes (V7).
#include "pipeline/merge/key_hold.h"

#include <gtest/gtest.h>

#include <array>
#include <vector>

namespace lockstep {
namespace {

using std::chrono::milliseconds;

constexpr Hash128 kHeldKey{1, 2};
constexpr Hash128 kOther{3, 4};
constexpr std::array kKeys{kHeldKey, kOther};
const Snapshot kSnapshot{100, 110, {105}};

Change change(Xid xid, Hash128 key = kHeldKey, TableId table = 0) {
  Change change;
  change.table = table;
  change.key = key;
  change.xid = xid;
  return change;
}

class KeyHoldTest : public ::testing::Test {
 protected:
  KeyHold::Time at(int ms) { return begin_ + milliseconds(ms); }

  const KeyHold::Time begin_{std::chrono::hours(1)};
  KeyHold hold_{milliseconds(1000)};
};

TEST_F(KeyHoldTest, HoldsWhatTheSnapshotDoesNotSee) {
  EXPECT_FALSE(hold_.placed());
  EXPECT_FALSE(hold_.holds(change(200)));
  hold_.place(0, kKeys);
  EXPECT_TRUE(hold_.holds(change(50))) << "whatever it sees is not known yet";
  hold_.see(kSnapshot);
  EXPECT_FALSE(hold_.holds(change(50)));
  EXPECT_TRUE(hold_.holds(change(105)));
  EXPECT_TRUE(hold_.holds(change(200)));
  EXPECT_FALSE(hold_.holds(change(200, {5, 6})));
  EXPECT_FALSE(hold_.holds(change(200, kHeldKey, 1)));
  hold_.release_all();
  EXPECT_FALSE(hold_.holds(change(200)));
}

// It may be one that S sees: that it arrives proves nothing.
TEST_F(KeyHoldTest, DoesNotHoldAChangeOfUnknownVisibility) {
  hold_.place(0, kKeys);
  hold_.see(kSnapshot);
  EXPECT_FALSE(hold_.holds(change(0)));
}

TEST_F(KeyHoldTest, ArrivesOnceSIsKnownAndAllBeforeIsCommitted) {
  hold_.place(0, kKeys);
  EXPECT_TRUE(hold_.wait(change(200), true, at(0)));
  EXPECT_TRUE(hold_.arrived().empty());
  hold_.see(kSnapshot);
  EXPECT_TRUE(hold_.wait(change(200), false, at(0)));
  EXPECT_TRUE(hold_.arrived().empty());
  EXPECT_TRUE(hold_.wait(change(200), true, at(0)));
  EXPECT_EQ(hold_.arrived(), std::vector{kHeldKey});
  hold_.release_all();
  EXPECT_TRUE(hold_.arrived().empty());
}

TEST_F(KeyHoldTest, EachKeyIsReleasedByItself) {
  hold_.place(0, kKeys);
  hold_.see(kSnapshot);
  EXPECT_TRUE(hold_.wait(change(200), true, at(0)));
  hold_.release(kHeldKey);
  EXPECT_FALSE(hold_.holds(change(200)));
  EXPECT_TRUE(hold_.arrived().empty());
  EXPECT_TRUE(hold_.wait(change(201, kOther), true, at(0)));
  EXPECT_EQ(hold_.arrived(), std::vector{kOther});
}

TEST_F(KeyHoldTest, AChangeThatSSeesDoesNotArrive) {
  hold_.place(0, kKeys);
  EXPECT_TRUE(hold_.wait(change(50), true, at(0)));
  hold_.see(kSnapshot);
  EXPECT_FALSE(hold_.wait(change(50), true, at(0)));
  EXPECT_TRUE(hold_.arrived().empty());
}

TEST_F(KeyHoldTest, NoLaneWaitsLongerThanTheLimit) {
  hold_.place(0, kKeys);
  hold_.see(kSnapshot);
  EXPECT_TRUE(hold_.wait(change(200), true, at(0)));
  EXPECT_TRUE(hold_.wait(change(200), true, at(999)));
  EXPECT_FALSE(hold_.wait(change(200), true, at(1000)));
  EXPECT_FALSE(hold_.holds(change(201))) << "the sweep hangs";
  EXPECT_FALSE(hold_.holds(change(201, kOther)));
  hold_.place(0, kKeys);
  EXPECT_TRUE(hold_.wait(change(200), true, at(5000)));
}

}  // namespace
}  // namespace lockstep
