// What a daemon says while nothing changes (issue E, rows 28 and 29).
#include "daemon/run_log.h"

#include <gtest/gtest.h>

#include <chrono>
#include <string>

namespace lockstep {
namespace {

using std::chrono::seconds;

class RunLogTest : public ::testing::Test {
 protected:
  RunLogTest() { testing::internal::CaptureStderr(); }

  // How many lines with `message` the log has so far.  Once per test.
  static int lines(const std::string& message) {
    const std::string log = testing::internal::GetCapturedStderr();
    int count = 0;
    for (auto at = log.find(message); at != log.npos; at = log.find(message, at + 1)) ++count;
    return count;
  }

  Events events_{LogFormat::Json, "shop", "shop.yaml"};
  RunLog log_{events_, {"shop", "shop.yaml"}};
  const RunLog::Time begin_{seconds(1000)};
};

TEST_F(RunLogTest, TellsOncePerMinuteWhatIsWaitedFor) {
  for (int second = 0; second < 150; ++second) log_.waiting("the target", begin_ + seconds(second));
  EXPECT_EQ(lines("\"waiting\""), 3);
}

TEST_F(RunLogTest, TellsNewsAtOnce) {
  log_.waiting("the target", begin_);
  log_.waiting("the slot", begin_ + seconds(1));
  EXPECT_EQ(lines("\"waiting\""), 2);
}

TEST_F(RunLogTest, RemindsOfAWaitThatLasts) {
  RunStatus status;
  status.waiting_for = {"lane 0: the target is away"};
  for (int second = 0; second <= 120; second += 5) log_.progress(status, begin_ + seconds(second));
  EXPECT_EQ(lines("\"waiting\""), 2);
}

TEST_F(RunLogTest, ShowsTheWholeStatusEveryTenMinutes) {
  for (int second = 0; second <= 1800; second += 30)
    log_.progress(RunStatus(), begin_ + seconds(second));
  EXPECT_EQ(lines("\"msg\":\"status\""), 3);
}

}  // namespace
}  // namespace lockstep
