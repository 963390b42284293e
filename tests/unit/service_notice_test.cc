// What the service manager is told (sd_notify(3)), at a socket of the test's own.
#include "daemon/service_notice.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cstdlib>
#include <filesystem>
#include <string>
#include <thread>

#include "daemon/journal.h"

namespace lockstep {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

class ServiceManager : public ::testing::Test {
 public:
  ~ServiceManager() override {
    for (const char* name : {"NOTIFY_SOCKET", "WATCHDOG_USEC"}) ::unsetenv(name);
    ::close(socket_);
    std::filesystem::remove_all(directory_);
  }

 protected:
  ServiceManager() {
    char pattern[] = "/tmp/lockstep_notify_XXXXXX";
    directory_ = ::mkdtemp(pattern);
    const std::string path = directory_ / "notify";
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    path.copy(address.sun_path, sizeof address.sun_path - 1);
    socket_ = ::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    EXPECT_EQ(::bind(socket_, reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
    ::setenv("NOTIFY_SOCKET", path.c_str(), 1);
    ::setenv("WATCHDOG_USEC", "20000", 1);
    ::unsetenv("WATCHDOG_PID");
  }

  // The next message; waits for it.
  std::string told() const {
    std::array<char, 4096> bytes{};
    const auto size = ::recv(socket_, bytes.data(), bytes.size(), 0);
    return size < 0 ? std::string() : std::string(bytes.data(), static_cast<std::size_t>(size));
  }

 private:
  std::filesystem::path directory_;
  int socket_ = -1;
};

TEST_F(ServiceManager, IsToldThatTheDaemonIsReadyReloadsAndEnds) {
  ServiceNotice notice({[] { return "backfill 1/~2 rows\nREADY=0"; }, [] { return ""; }});
  notice.ready();
  EXPECT_EQ(told(), "READY=1\nSTATUS=backfill 1/~2 rows READY=0");
  notice.reloading();
  EXPECT_THAT(told(), HasSubstr("RELOADING=1\nMONOTONIC_USEC="));
  notice.reloaded();
  EXPECT_THAT(told(), HasSubstr("READY=1"));
  notice.stopping();
  EXPECT_EQ(told(), "STOPPING=1");
}

TEST_F(ServiceManager, GetsASignOfLifeUntilTheDaemonIsStuck) {
  std::atomic<bool> stuck{false};
  ServiceNotice notice({[] { return "follow"; }, [&] { return stuck ? "silent for 61 s" : ""; }});
  const std::jthread thread([&] { notice.run(); });
  EXPECT_EQ(told(), "STATUS=follow\nWATCHDOG=1");
  EXPECT_EQ(told(), "STATUS=follow\nWATCHDOG=1");
  stuck = true;
  std::string last = told();
  while (last.find("silent") == last.npos) last = told();
  EXPECT_EQ(last, "STATUS=silent for 61 s");
  EXPECT_EQ(told(), "STATUS=silent for 61 s");
  notice.stop();
}

TEST_F(ServiceManager, IsOnlyAskedForAWatchdogThatIsOurs) {
  ::setenv("WATCHDOG_PID", "1", 1);
  ServiceNotice notice({[] { return "follow"; }, [] { return ""; }});
  const std::jthread thread([&] { notice.run(); });
  EXPECT_THAT(told(), AllOf(HasSubstr("STATUS="), Not(HasSubstr("WATCHDOG"))));
  notice.stop();
  ::unsetenv("WATCHDOG_PID");
}

TEST(Journal, AKindOfEventHasOneId) {
  EXPECT_EQ(JournalEvents::message_id("synced"), JournalEvents::message_id("synced"));
  EXPECT_NE(JournalEvents::message_id("synced"), JournalEvents::message_id("started"));
  EXPECT_EQ(JournalEvents::message_id("synced").size(), 32U);
}

TEST(Journal, IsNotWrittenToByAnybodyWhoseErrorStreamLeadsElsewhere) {
  ::setenv("JOURNAL_STREAM", "0:0", 1);
  EXPECT_FALSE(JournalEvents::listens());
  ::unsetenv("JOURNAL_STREAM");
  EXPECT_FALSE(JournalEvents::listens());
}

}  // namespace
}  // namespace lockstep
