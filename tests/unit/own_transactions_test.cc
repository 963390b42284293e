// Issue D, part 9, V9: which transactions of the target are certainly not ours.
#include "connectors/postgres/target/own_transactions.h"

#include <gmock/gmock.h>

namespace lockstep {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;
using testing::Optional;
using Session = OwnTransactions::Session;

void write(OwnTransactions& ours, Session& session, Xid xid) {
  ours.begin(session);
  ours.end(session, xid);
}

std::optional<std::vector<Xid>> all_up_to(const OwnTransactions& ours, Xid xid) {
  return ours.up_to(xid, 100, ours.begun());
}

TEST(OwnTransactions, OfEarlierProcessesNothingIsKnown) {
  OwnTransactions ours;
  Session lane;
  EXPECT_EQ(all_up_to(ours, 100), std::nullopt);
  write(ours, lane, 100);
  EXPECT_EQ(all_up_to(ours, 99), std::nullopt);
  EXPECT_EQ(all_up_to(ours, 100), std::nullopt);
  EXPECT_THAT(all_up_to(ours, 101), Optional(ElementsAre(100)));
}

TEST(OwnTransactions, TheNewestComeFirst) {
  OwnTransactions ours;
  Session lane;
  for (const Xid xid : {10u, 20u, 30u}) write(ours, lane, xid);
  EXPECT_THAT(ours.up_to(25, 1, ours.begun()), Optional(ElementsAre(20)));
  EXPECT_THAT(all_up_to(ours, 99), Optional(ElementsAre(30, 20, 10)));
}

TEST(OwnTransactions, WhatIsUnderWayMayBeTheOne) {
  OwnTransactions ours;
  Session lane;
  Session other;
  write(ours, lane, 10);
  ours.begin(lane);
  const OwnTransactions::Number begun = ours.begun();
  EXPECT_EQ(ours.up_to(20, 100, begun), std::nullopt);
  ours.begin(other);  // Too late to have written what was seen before.
  ours.end(lane, 15);
  EXPECT_THAT(ours.up_to(20, 100, begun), Optional(ElementsAre(15, 10)));
}

TEST(OwnTransactions, ALostOneIsKnownToBeOverOnceItsSessionWritesAgain) {
  OwnTransactions ours;
  Session lane;
  Session other;
  write(ours, lane, 10);
  ours.begin(lane);
  ours.lose(lane);
  write(ours, other, 30);
  EXPECT_EQ(all_up_to(ours, 40), std::nullopt);
  write(ours, lane, 50);
  EXPECT_EQ(all_up_to(ours, 40), std::nullopt);
  EXPECT_THAT(all_up_to(ours, 60), Optional(ElementsAre(50, 30, 10)));
}

TEST(OwnTransactions, OfWhatIsForgottenNothingIsCertain) {
  OwnTransactions ours(2);
  Session lane;
  for (const Xid xid : {10u, 20u, 30u}) write(ours, lane, xid);
  EXPECT_EQ(all_up_to(ours, 10), std::nullopt);
  EXPECT_THAT(all_up_to(ours, 15), Optional(IsEmpty()));
}

TEST(OwnTransactions, ATransactionThatNeverHadAnIdChangesNothing) {
  OwnTransactions ours;
  Session lane;
  write(ours, lane, 0);
  EXPECT_EQ(all_up_to(ours, 40), std::nullopt);
  write(ours, lane, 10);
  write(ours, lane, 0);
  EXPECT_THAT(all_up_to(ours, 40), Optional(ElementsAre(10)));
}

}  // namespace
}  // namespace lockstep
