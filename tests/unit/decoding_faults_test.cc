// How long a fault inside the source's own decoding is borne.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>

#include "connectors/postgres/source/replication.h"

namespace lockstep {
namespace {

using std::chrono::seconds;
using ::testing::HasSubstr;

class DecodingFaultsTest : public ::testing::Test {
 protected:
  Error judge(seconds at) {
    return faults_.judge(
        {Reaction::Halt, "source: could not map filenode (XX000)", ExitCode::BadData, "XX000"},
        begin_ + at);
  }

  DecodingFaults faults_;
  const DecodingFaults::Time begin_{std::chrono::hours(1)};
};

TEST_F(DecodingFaultsTest, OneIsTriedAgain) {
  const Error error = judge(seconds(0));
  EXPECT_EQ(error.reaction, Reaction::Retry);
  EXPECT_THAT(error.message, HasSubstr("could not map filenode"));
}

TEST_F(DecodingFaultsTest, OneThatStaysForAMinuteHaltsWithTheNextStep) {
  for (int at = 0; at < 60; at += 5) EXPECT_EQ(judge(seconds(at)).reaction, Reaction::Retry) << at;
  const Error error = judge(seconds(60));
  EXPECT_EQ(error.reaction, Reaction::Halt);
  EXPECT_EQ(error.exit, ExitCode::BadData);
  EXPECT_THAT(error.message, HasSubstr("begin the migration anew"));
}

TEST_F(DecodingFaultsTest, OneThatCameLongAgoDoesNotCount) {
  EXPECT_EQ(judge(seconds(0)).reaction, Reaction::Retry);
  EXPECT_EQ(judge(seconds(3600)).reaction, Reaction::Retry);
}

TEST(BrokenStreamsTest, TheFirstMayBeTheNetworks) {
  const BrokenStreams::Time begin{std::chrono::hours(1)};
  BrokenStreams broken;
  for (int i = 0; i < 2; ++i) {
    broken.began(begin);
    broken.broke_off(begin + seconds(1));
  }
  EXPECT_LE(broken.next(), begin);
}

TEST(BrokenStreamsTest, LaterOnesAreBegunLessAndLessOften) {
  BrokenStreams::Time now{std::chrono::hours(1)};
  BrokenStreams broken;
  for (int i = 0; i < 2; ++i) broken.began(now), broken.broke_off(now);
  for (const int wait : {10, 20, 40, 80, 160, 320, 600, 600}) {
    broken.began(now);
    broken.broke_off(now);
    EXPECT_EQ(broken.next() - now, seconds(wait));
    now = broken.next();
  }
  EXPECT_EQ(broken.count(), 10);
}

TEST(BrokenStreamsTest, AServerThatWasRestartedBeginsAnew) {
  const BrokenStreams::Time now{std::chrono::hours(1)};
  BrokenStreams broken;
  for (int i = 0; i < 4; ++i) {
    broken.connected("12:00");
    broken.began(now);
    broken.broke_off(now);
  }
  EXPECT_EQ(broken.count(), 4u);
  EXPECT_GT(broken.next(), now);
  broken.connected("12:05");
  EXPECT_EQ(broken.count(), 0u);
  EXPECT_LE(broken.next(), now);
}

TEST(BrokenStreamsTest, OneThatLastedBeginsAnew) {
  BrokenStreams::Time now{std::chrono::hours(1)};
  BrokenStreams broken;
  for (int i = 0; i < 5; ++i) broken.began(now), broken.broke_off(now);
  now = broken.next();
  broken.began(now);
  broken.broke_off(now + seconds(31));
  EXPECT_EQ(broken.count(), 1);
  EXPECT_LE(broken.next(), now);
}

}  // namespace
}  // namespace lockstep
