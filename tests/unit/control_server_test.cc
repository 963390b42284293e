#include "daemon/control_server.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <filesystem>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "checkpoint/state_lock.h"
#include "daemon/control_client.h"
#include "pipeline/base/stop_flag.h"

namespace {
std::atomic<int> g_accepts_to_refuse = 0;
}

// Stands before the C library's: the next accepts fail as they do when the process has no file
// left.  Files that are really gone would be missed by the sanitizers, too: they look at memory
// through a pipe, and report an error where they cannot open one.
extern "C" int accept(int socket, sockaddr* address, socklen_t* length) {
  if (int left = g_accepts_to_refuse;
      left > 0 && g_accepts_to_refuse.compare_exchange_strong(left, left - 1)) {
    errno = EMFILE;
    return -1;
  }
  return static_cast<int>(::syscall(SYS_accept4, socket, address, length, 0));
}

namespace lockstep {
namespace {

using ::testing::AllOf;
using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::StartsWith;

// A server on a socket of its own, for one test.
class ControlServerTest : public testing::Test {
 public:
  ~ControlServerTest() override {
    server_->stop();
    thread_ = {};
  }

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

  std::filesystem::path socket_;
  std::unique_ptr<ControlServer> server_;
  std::jthread thread_;
};

// Issue E, row 19: one accept that failed, here for want of a file, ended the service for good.
TEST_F(ControlServerTest, AnAcceptThatFailsDoesNotEndIt) {
  g_accepts_to_refuse = 2;
  const auto answer = ask_daemon(socket_.string(), {"GET", "/", ""});
  ASSERT_TRUE(answer.has_value()) << answer.error().message;
  EXPECT_EQ(answer->status, 200u);
  EXPECT_EQ(g_accepts_to_refuse, 0);
}

// A daemon that was killed leaves its socket's file; the next one has the directory before it binds
// its own, and `status` says that it starts.
TEST_F(ControlServerTest, AFileOfOneThatWasKilledIsKnown) {
  const std::filesystem::path left = socket_.string() + "-left";
  sockaddr_un address{.sun_family = AF_UNIX, .sun_path = {}};
  left.string().copy(address.sun_path, sizeof(address.sun_path) - 1);
  const int killed = ::socket(AF_UNIX, SOCK_STREAM, 0);
  ASSERT_EQ(::bind(killed, reinterpret_cast<const sockaddr*>(&address), sizeof(address)), 0);
  ::close(killed);
  for (const std::filesystem::path& socket : {left, std::filesystem::path(left.string() + "-no")}) {
    const auto answer = ask_daemon(socket.string(), {"GET", "/", ""});
    ASSERT_FALSE(answer.has_value());
    EXPECT_EQ(answer.error().code, kNobodyListens) << answer.error().message;
  }
  std::filesystem::remove(left);
}

// Whoever waits for a daemon that was killed is told, and not after a minute.
TEST_F(ControlServerTest, NobodyWaitsForOneThatHasEnded) {
  const std::filesystem::path directory = socket_.string() + "-state";
  const std::string nowhere = socket_.string() + "-no";
  std::optional<LockOwner> owner;
  {
    const auto lock = StateLock::acquire(directory.string(), nowhere);
    ASSERT_TRUE(lock) << lock.error().message;
    owner = read_lock_owner(directory.string()).value();
    ASSERT_TRUE(owner);
  }
  const auto answer = ask_patiently(*owner, {"GET", "/", ""});
  ASSERT_FALSE(answer);
  EXPECT_EQ(answer.error().exit, ExitCode::Unreachable);
  EXPECT_EQ(answer.error().code, kHasEnded);
  EXPECT_TRUE(answer.error().message.contains("it ended before it answered"));
  std::filesystem::remove_all(directory);
}

// A browser that reaches the socket (ssh -L 8080:SOCKET) carries pages of other sites, too.
TEST_F(ControlServerTest, APageOfAnotherSiteSteersNothing) {
  const auto answer = [&](const std::string& headers) {
    sockaddr_un address{.sun_family = AF_UNIX, .sun_path = {}};
    socket_.string().copy(address.sun_path, sizeof(address.sun_path) - 1);
    const int peer = ::socket(AF_UNIX, SOCK_STREAM, 0);
    EXPECT_EQ(::connect(peer, reinterpret_cast<const sockaddr*>(&address), sizeof(address)), 0);
    const std::string request = "POST /api/v1/pause HTTP/1.1\r\n" + headers + "\r\n";
    EXPECT_EQ(::send(peer, request.data(), request.size(), MSG_NOSIGNAL), std::ssize(request));
    char begin[13]{};
    EXPECT_EQ(::recv(peer, begin, sizeof begin - 1, MSG_WAITALL), 12);
    ::close(peer);
    return std::string(begin);
  };
  for (const char* foreign :
       {"Host: evil.example\r\n", "Host: localhost:8080\r\nOrigin: http://evil.example\r\n",
        "Host: localhost:8080\r\nOrigin: null\r\n",
        "Host: localhost:8080\r\nOrigin: http://localhost:9090\r\n"})
    EXPECT_EQ(answer(foreign), "HTTP/1.1 421") << foreign;
  for (const char* ours : {"", "Host: localhost\r\n", "Host: lockstep\r\n",
                           "Host: localhost:8080\r\nOrigin: http://localhost:8080\r\n"})
    EXPECT_EQ(answer(ours), "HTTP/1.1 200") << ours;
}

// ---- What anybody may read over TCP.

class PublicTest : public testing::Test {
 public:
  ~PublicTest() override {
    server_->stop();
    thread_ = {};
  }

 protected:
  PublicTest()
      : socket_(std::filesystem::temp_directory_path() /
                ("lockstep-public-" + std::to_string(::getpid()))) {
    auto opened = ControlServer::open(
        socket_,
        [this](const ControlRequest& request) {
          ++asked_;
          return ControlResponse{200, request.method + " " + request.path + request.query};
        },
        {[] {}, [] {}});
    EXPECT_TRUE(opened.has_value());
    server_ = std::move(*opened);
    EXPECT_TRUE(server_->show({"127.0.0.1", 0, {"metrics.example.org"}, {"/metrics"}}).has_value());
    thread_ = std::jthread([this] { server_->run(); });
  }

  int connected() const {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(server_->public_port());
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    const int peer = ::socket(AF_INET, SOCK_STREAM, 0);
    EXPECT_EQ(::connect(peer, reinterpret_cast<const sockaddr*>(&address), sizeof address), 0);
    return peer;
  }
  // Everything that comes until the connection ends.
  static std::string rest_of(int peer) {
    std::string all;
    char part[4096];
    for (ssize_t got = 0; (got = ::recv(peer, part, sizeof part, 0)) > 0;)
      all.append(part, static_cast<std::size_t>(got));
    ::close(peer);
    return all;
  }
  std::string answer(const std::string& request) const {
    const int peer = connected();
    EXPECT_EQ(::send(peer, request.data(), request.size(), MSG_NOSIGNAL), std::ssize(request));
    return rest_of(peer);
  }
  std::string get(const std::string& path, const std::string& host) const {
    return answer("GET " + path + " HTTP/1.1\r\nHost: " + host + "\r\n\r\n");
  }

  std::filesystem::path socket_;
  std::atomic<int> asked_ = 0;
  std::unique_ptr<ControlServer> server_;
  std::jthread thread_;
};

TEST_F(PublicTest, WhatIsPublicIsReadAndNothingElse) {
  EXPECT_THAT(get("/metrics?x=1", "127.0.0.1"),
              AllOf(StartsWith("HTTP/1.1 200 "), EndsWith("GET /metrics")));
  EXPECT_EQ(asked_, 1);
  EXPECT_THAT(get("/api/v1/status", "127.0.0.1"), StartsWith("HTTP/1.1 404 "));
  EXPECT_THAT(get("/metrics/", "127.0.0.1"), StartsWith("HTTP/1.1 404 "));
  EXPECT_THAT(answer("POST /metrics HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"),
              AllOf(StartsWith("HTTP/1.1 405 "), HasSubstr("Allow: GET")));
  EXPECT_EQ(asked_, 1);
}

TEST_F(PublicTest, ANameThatIsNotOursIsRefused) {
  for (const char* host : {"evil.example", "evil.example:9464", "127.0.0.1.evil.example", ""})
    EXPECT_THAT(get("/metrics", host), StartsWith("HTTP/1.1 421 ")) << host;
  EXPECT_THAT(answer("GET /metrics HTTP/1.0\r\n\r\n"), StartsWith("HTTP/1.0 421 "));
  EXPECT_EQ(asked_, 0);
  EXPECT_THAT(get("/metrics", "metrics.example.org:9464"), StartsWith("HTTP/1.1 200 "));
}

TEST(PublicHost, AddressesAndWhatIsListed) {
  for (const char* host : {"127.0.0.1", "10.1.2.3:9464", "[::1]", "[fe80::1]:9464", "localhost:1"})
    EXPECT_TRUE(is_our_host(host, {})) << host;
  for (const char* host : {"[::1", "[evil]", "::1", "a", "localhost.evil", ":9464"})
    EXPECT_FALSE(is_our_host(host, {"b"})) << host;
  EXPECT_TRUE(is_our_host("a:80", {"a"}));
}

TEST_F(PublicTest, AHeaderOrBodyThatIsTooLargeEndsItsConnectionOnly) {
  EXPECT_EQ(answer("GET /metrics HTTP/1.1\r\nHost: " + std::string(10'000, 'a')), "");
  EXPECT_EQ(answer("GET /metrics HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nx"), "");
  EXPECT_THAT(get("/metrics", "127.0.0.1"), StartsWith("HTTP/1.1 200 "));
}

TEST_F(PublicTest, OneGuestTooManyIsTurnedAway) {
  std::vector<int> idle;
  for (int i = 0; i < 32; ++i) idle.push_back(connected());
  EXPECT_EQ(rest_of(connected()), "");  // At once: the others say nothing.
  for (const int peer : idle) ::close(peer);
  std::string said;
  while (said.empty()) said = get("/metrics", "127.0.0.1");  // Once it knows that they are gone.
  EXPECT_THAT(said, StartsWith("HTTP/1.1 200 "));
}

TEST_F(PublicTest, APortThatSomebodyHasIsNamed) {
  auto second =
      ControlServer::open(socket_.string() + "-2",
                          [](const ControlRequest&) { return ControlResponse{}; }, {[] {}, [] {}});
  ASSERT_TRUE(second.has_value());
  const Status shown = (*second)->show({"127.0.0.1", server_->public_port(), {}, {}});
  ASSERT_FALSE(shown.has_value());
  EXPECT_EQ(shown.error().exit, ExitCode::Temporary);
  EXPECT_THAT(shown.error().message, HasSubstr(std::to_string(server_->public_port())));
}

}  // namespace
}  // namespace lockstep
