#include "daemon/control_server.h"

#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <filesystem>
#include <thread>

#include "daemon/control_client.h"
#include "pipeline/base/stop_flag.h"

namespace lockstep {
namespace {

// A server on a socket of its own, for one test.
class ControlServerTest : public testing::Test {
 protected:
  ControlServerTest()
      : socket_(std::filesystem::temp_directory_path() /
                ("lockstep-control-" + std::to_string(::getpid()))) {
    auto opened = ControlServer::open(
        socket_, [](const ControlRequest&) { return ControlResponse{200, "{}"}; }, {[] {}, [] {}});
    EXPECT_TRUE(opened.has_value());
    server_ = std::move(*opened);
    thread_ = std::jthread([this] { server_->run(); });
  }
  ~ControlServerTest() override {
    server_->stop();
    thread_ = {};
  }

  std::filesystem::path socket_;
  std::unique_ptr<ControlServer> server_;
  std::jthread thread_;
};

// Issue E, row 19: one accept that failed, here for want of a file, ended the service for good.
TEST_F(ControlServerTest, AnAcceptThatFailsDoesNotEndIt) {
  // What it calls is known to the sanitizer from here on: that needs files to look at memory.
  ASSERT_TRUE(ask_daemon(socket_.string(), {"GET", "/", ""}));
  const int client = ::socket(AF_UNIX, SOCK_STREAM, 0);
  ASSERT_GE(client, 0);
  const int next = ::dup(client);  // The number that an accept would get.
  ASSERT_GE(next, 0);
  ::close(next);
  ::rlimit before{};
  ASSERT_EQ(::getrlimit(RLIMIT_NOFILE, &before), 0);
  const ::rlimit none{static_cast<::rlim_t>(next), before.rlim_max};
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &none), 0);
  ::sockaddr_un address{};
  address.sun_family = AF_UNIX;
  socket_.string().copy(address.sun_path, sizeof address.sun_path - 1);
  const int connected =
      ::connect(client, reinterpret_cast<const ::sockaddr*>(&address), sizeof address);
  StopFlag().wait(std::chrono::milliseconds(50));  // It tries, and fails.
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &before), 0);
  ASSERT_EQ(connected, 0);
  ::close(client);
  const auto answer = ask_daemon(socket_.string(), {"GET", "/", ""});
  ASSERT_TRUE(answer.has_value()) << answer.error().message;
  EXPECT_EQ(answer->status, 200u);
}

}  // namespace
}  // namespace lockstep
