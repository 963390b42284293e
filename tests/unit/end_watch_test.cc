// EndWatch: whoever waits for a server that hangs is cut loose, and the process is left at last.
#include "daemon/end_watch.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <string>
#include <thread>
#include <vector>

#include "connectors/postgres/wire/open_connections.h"

namespace lockstep {
namespace {

using std::chrono::seconds;
using testing::ElementsAre;
using testing::IsEmpty;

class EndWatchTest : public testing::Test {
 protected:
  // What has been done by so many seconds of the test's time.
  std::vector<std::string> after(int at) {
    done_.clear();
    watch_.look(EndWatch::Time(seconds(1000 + at)));
    return done_;
  }

  bool stopping_ = false;
  bool aborting_ = false;
  std::vector<std::string> done_;
  EndWatch watch_{{[this] { return stopping_; }, [this] { return aborting_; }, seconds(30),
                   [this](std::string_view side, seconds longest) {
                     done_.push_back(fmt::format("shut {} {}", side, longest.count()));
                   },
                   [this] { done_.push_back("leave"); }}};
};

TEST_F(EndWatchTest, NothingIsCutLooseWhileTheDaemonIsToGoOn) {
  EXPECT_THAT(after(0), IsEmpty());
  EXPECT_THAT(after(1000), IsEmpty());
}

TEST_F(EndWatchTest, ADaemonThatIsToEndEnds) {
  stopping_ = true;
  EXPECT_THAT(after(0), IsEmpty());
  EXPECT_THAT(after(4), IsEmpty());
  EXPECT_THAT(after(5), ElementsAre("shut source 5"));
  EXPECT_THAT(after(30), ElementsAre("shut source 5", "shut  5"));
  EXPECT_THAT(after(40), ElementsAre("shut source 5", "shut  5", "leave"));
}

// One that failed, or that is to be prepared again.
TEST_F(EndWatchTest, ARunThatEndsByItselfIsHelpedLikewise) {
  watch_.run_ends();
  EXPECT_THAT(after(0), IsEmpty());
  EXPECT_THAT(after(6), ElementsAre("shut source 5"));
  watch_.run_is_over();
  EXPECT_THAT(after(50), IsEmpty());
  watch_.run_ends();
  EXPECT_THAT(after(60), IsEmpty()) << "the time of another run does not count";
}

TEST_F(EndWatchTest, AnAbortWaitsForNoServer) {
  aborting_ = true;
  EXPECT_THAT(after(0), IsEmpty());
  EXPECT_THAT(after(5), ElementsAre("shut  5"));
  EXPECT_THAT(after(500), ElementsAre("shut  5")) << "the process goes on";
}

// ---------------------------------------------------------------- connections

class Sockets {
 public:
  Sockets() { EXPECT_EQ(::socketpair(AF_UNIX, SOCK_STREAM, 0, ends_.data()), 0); }
  ~Sockets() {
    for (const int end : ends_) ::close(end);
  }
  int ours() const { return ends_[0]; }
  // Waits until the server says something or is lost.
  ssize_t read() const {
    char byte{};
    return ::read(ends_[0], &byte, 1);
  }

 private:
  std::array<int, 2> ends_{};
};

TEST(OpenConnections, WhoeverWaitsIsNamedAndCutLoose) {
  const Sockets sockets;
  OpenConnection connection(sockets.ours(), "source", "lockstep shop scan 0");
  EXPECT_THAT(OpenConnections::waiting(seconds(0)), IsEmpty());
  ssize_t answer = 1;
  std::thread thread([&] {
    const OpenConnection::Wait wait(connection);
    answer = sockets.read();
  });
  while (OpenConnections::waiting(seconds(0)).empty()) std::this_thread::yield();
  EXPECT_THAT(OpenConnections::waiting(seconds(0)),
              ElementsAre(testing::MatchesRegex(
                  "lockstep shop scan 0 has waited [0-9]+ s for the source")));
  OpenConnections::shut("target", seconds(0));
  OpenConnections::shut("source", seconds(0));
  thread.join();
  EXPECT_EQ(answer, 0) << "its end";
  EXPECT_THAT(OpenConnections::waiting(seconds(0)), IsEmpty());
}

}  // namespace
}  // namespace lockstep
