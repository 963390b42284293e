// Visibility of transactions, and the text forms of snapshots and LSNs.
#include "pipeline/model/snapshot.h"

#include <gtest/gtest.h>

namespace lockstep {
namespace {

constexpr Xid kEpoch = 1ULL << 32;

TEST(Snapshot, SeesWhatFinishedBeforeIt) {
  const Snapshot snapshot{100, 110, {103, 105}};
  EXPECT_TRUE(snapshot.sees(99));
  EXPECT_TRUE(snapshot.sees(100));
  EXPECT_FALSE(snapshot.sees(103));
  EXPECT_TRUE(snapshot.sees(104));
  EXPECT_FALSE(snapshot.sees(105));
  EXPECT_TRUE(snapshot.sees(109));
  EXPECT_FALSE(snapshot.sees(110));
  EXPECT_FALSE(snapshot.sees(111));
}

TEST(Snapshot, NeverSeesAnUnknownTransaction) {
  EXPECT_FALSE((Snapshot{100, 110, {}}).sees(0));
  EXPECT_FALSE(Snapshot{}.sees(0));
}

TEST(Snapshot, ReadsWhatPostgresPrints) {
  for (const char* text : {"10:10:", "10:20:10,14,15", "4294967295:4294967300:4294967296"}) {
    const Result<Snapshot> snapshot = parse_snapshot(text);
    ASSERT_TRUE(snapshot) << text;
    EXPECT_EQ(snapshot->text(), text);
  }
  EXPECT_EQ(parse_snapshot("10:20:10,14")->running, (std::vector<Xid>{10, 14}));
}

TEST(Snapshot, RefusesWhatIsNotOne) {
  for (const char* text : {"", "10", "10:", "10:20", ":20:", "a:b:", "10:20:x", "10:20:14,12",
                           "10:20:12 ", "99999999999999999999:1:", "-1:2:"})
    EXPECT_FALSE(parse_snapshot(text)) << text;
}

TEST(Lsn, IsReadAndWrittenAsPostgresDoes) {
  EXPECT_EQ(lsn_text(0x16B374D848), "16/B374D848");
  EXPECT_EQ(lsn_text(0), "0/0");
  EXPECT_EQ(*parse_lsn("16/B374D848"), 0x16B374D848U);
  EXPECT_EQ(*parse_lsn("FFFFFFFF/FFFFFFFF"), 0xFFFFFFFFFFFFFFFFU);
  for (const char* text : {"", "16", "16/", "/16", "16/G", "100000000/0", "0/100000000", "1/2/3"})
    EXPECT_FALSE(parse_lsn(text)) << text;
}

TEST(WidenXid, TakesTheNearestEpoch) {
  EXPECT_EQ(widen_xid(1000, 990), 1000U);
  EXPECT_EQ(widen_xid(990, 1000), 990U);
  EXPECT_EQ(widen_xid(5, kEpoch - 5), kEpoch + 5);
  EXPECT_EQ(widen_xid(0xFFFFFFFB, kEpoch + 5), kEpoch - 5);
  EXPECT_EQ(widen_xid(3, 7 * kEpoch + 2), 7 * kEpoch + 3);
}

}  // namespace
}  // namespace lockstep
