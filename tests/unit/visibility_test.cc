// Which snapshots may be used, and what may be forgotten (I4, I5).
#include "pipeline/merge/visibility.h"

#include <gtest/gtest.h>

#include <array>

namespace lockstep {
namespace {

const Snapshot kNothingRuns{20, 20, {}};
const Snapshot kTwelveRuns{12, 20, {12}};

bool accepts(Visibility& visibility, const Snapshot& snapshot) {
  const auto ticket = visibility.begin();
  const bool accepted = visibility.accept(ticket, snapshot);
  visibility.end(ticket);
  return accepted;
}

void apply(Visibility& visibility, Xid xid) {
  const Xid xids[] = {xid};
  visibility.applied(xids);
}

TEST(Visibility, RefusesASnapshotBelowTheFloor) {
  Visibility visibility(19, {});
  EXPECT_FALSE(accepts(visibility, kTwelveRuns));
  EXPECT_TRUE(accepts(visibility, kNothingRuns));
}

// The slot's own snapshot: whatever ran then comes with the stream.
TEST(Visibility, TheFloorDoesNotConcernASnapshotThatBeginsTheStream) {
  Visibility visibility(19, {});
  EXPECT_TRUE(visibility.accept(visibility.begin(), kTwelveRuns, true));
  apply(visibility, 12);
  EXPECT_FALSE(visibility.accept(visibility.begin(), kTwelveRuns, true));
}

TEST(Visibility, RefusesASnapshotThatDoesNotSeeWhatWasApplied) {
  Visibility visibility(0, {});
  apply(visibility, 12);
  EXPECT_FALSE(accepts(visibility, kTwelveRuns));
  EXPECT_EQ(visibility.waiting_for(), 12u);
}

TEST(Visibility, RefusesWhatTheCheckpointProvedApplied) {
  const Xid unseen[] = {12};
  Visibility visibility(0, unseen);
  EXPECT_FALSE(accepts(visibility, kTwelveRuns));
}

TEST(Visibility, AProbeReducesWhatIsUnseen) {
  Visibility visibility(0, {});
  apply(visibility, 12);
  visibility.probed(kNothingRuns);
  EXPECT_TRUE(visibility.unseen(10)->empty());
}

TEST(Visibility, NothingIsReducedWhileASnapshotHasNoValue) {
  Visibility visibility(0, {});
  apply(visibility, 12);
  const auto ticket = visibility.begin();
  visibility.probed(kNothingRuns);
  EXPECT_EQ(visibility.unseen(10)->size(), 1u);
  EXPECT_TRUE(visibility.horizon().snapshots.empty());
  EXPECT_FALSE(visibility.accept(ticket, kTwelveRuns));
}

TEST(Visibility, AnUnknownTransactionIsNotKept) {
  Visibility visibility(0, {});
  apply(visibility, 0);
  EXPECT_TRUE(visibility.unseen(10)->empty());
}

TEST(Visibility, ForgetsOnlyWhatEverySnapshotInFlightSees) {
  Visibility visibility(0, {});
  const auto ticket = visibility.begin();
  EXPECT_TRUE(visibility.accept(ticket, kTwelveRuns));
  visibility.probed(kNothingRuns);
  EXPECT_FALSE(visibility.horizon().passes(12));
  EXPECT_TRUE(visibility.horizon().passes(11));
  visibility.end(ticket);
  EXPECT_TRUE(visibility.horizon().passes(12));
}

TEST(Visibility, ForgetsNothingWithoutAProbe) {
  const Visibility visibility(0, {});
  EXPECT_FALSE(visibility.horizon().passes(1));
}

// Issue E, row 18: while the source is away U would grow without bound.
TEST(Visibility, TooManyUnseenBecomeAFloor) {
  Visibility visibility(0, {});
  constexpr Xid kMany = 300'000;
  for (Xid xid = 1; xid <= kMany; ++xid) visibility.applied(std::array{xid});
  EXPECT_FALSE(visibility.unseen(2 * kMany));
  const Snapshot older{100, kMany + 1, {100}};  // Its xmin tells nothing of those behind it.
  const auto ticket = visibility.begin();
  EXPECT_FALSE(visibility.accept(ticket, older));
  EXPECT_NE(visibility.waiting_for(), 0u);
  visibility.end(ticket);
  visibility.probed({kMany + 1, kMany + 1, {}});
  EXPECT_TRUE(visibility.unseen(10)->empty());
}

}  // namespace
}  // namespace lockstep
