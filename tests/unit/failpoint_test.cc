// Failpoints: the armed one ends or stops the process on its hit, every other one does nothing.
#include "pipeline/base/failpoint.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <set>
#include <string>
#include <string_view>

namespace lockstep {
namespace {

using testing::Contains;
using testing::SizeIs;

constexpr const char* kName = "lane_before_commit";

// What the other process runs; see run().
TEST(FailpointHelper, DISABLED_Hits) {
  const int hits = std::atoi(std::getenv("LOCKSTEP_FAILPOINT_TEST"));
  for (int i = 0; i < hits; ++i) failpoint(kName);
}

// Hits the failpoint kName `hits` times in a process in which `armed` is armed; returns how that
// process ended, by wait()'s status.  A process of its own program: what is armed is read once.
int run(const char* armed, int hits) {
  const pid_t child = ::fork();
  if (child == 0) {
    ::setenv("LOCKSTEP_FAILPOINT", armed, 1);
    ::setenv("LOCKSTEP_FAILPOINT_TEST", std::to_string(hits).c_str(), 1);
    ::execl("/proc/self/exe", "failpoint", "--gtest_filter=FailpointHelper.DISABLED_Hits",
            "--gtest_also_run_disabled_tests", "--gtest_brief=1", nullptr);
    ::_exit(1);
  }
  int status = 0;
  ::waitpid(child, &status, WUNTRACED);
  if (WIFSTOPPED(status)) {
    ::kill(child, SIGKILL);
    ::waitpid(child, nullptr, 0);
  }
  return status;
}

bool exited(int status, int code) { return WIFEXITED(status) && WEXITSTATUS(status) == code; }

TEST(Failpoint, DoesNothingUnlessArmed) {
  EXPECT_TRUE(exited(run("", 3), 0));
  EXPECT_TRUE(exited(run("lane_after_commit", 3), 0));
}

TEST(Failpoint, EndsTheProcessAtOnce) { EXPECT_TRUE(exited(run("lane_before_commit", 1), 86)); }

TEST(Failpoint, EndsItOnTheHitThatWasAskedFor) {
  EXPECT_TRUE(exited(run("lane_before_commit:3", 2), 0));
  EXPECT_TRUE(exited(run("lane_before_commit:3", 3), 86));
}

TEST(Failpoint, StopsTheProcess) {
  const int status = run("lane_before_commit:2:stop", 2);
  EXPECT_TRUE(WIFSTOPPED(status) && WSTOPSIG(status) == SIGSTOP);
}

TEST(Failpoint, NamesAreListedOnce) {
  std::multiset<std::string> names;
  std::string_view rest = failpoint_names();
  while (!rest.empty()) {
    const auto end = rest.find('\n');
    ASSERT_NE(end, std::string_view::npos) << "each name ends its line";
    names.insert(std::string(rest.substr(0, end)));
    rest.remove_prefix(end + 1);
  }
  EXPECT_THAT(names, Contains("lane_before_commit"));
  EXPECT_THAT(std::set<std::string>(names.begin(), names.end()), SizeIs(names.size()));
}

}  // namespace
}  // namespace lockstep
