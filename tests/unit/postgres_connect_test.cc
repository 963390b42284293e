// How often a server is asked that lets nobody in.
#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <string>
#include <thread>

#include "connectors/postgres/wire/connection.h"

namespace lockstep {
namespace {

// Takes connections on a loopback port, and ends each with the same bytes.
class Door {
 public:
  explicit Door(std::string answer)
      : socket_(::socket(AF_INET, SOCK_STREAM, 0)), answer_(std::move(answer)) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof(address);
    auto* const plain = reinterpret_cast<sockaddr*>(&address);
    EXPECT_EQ(::bind(socket_, plain, size), 0);
    EXPECT_EQ(::listen(socket_, 8), 0);
    EXPECT_EQ(::getsockname(socket_, plain, &size), 0);
    port_ = std::to_string(ntohs(address.sin_port));
    thread_ = std::thread([this] { serve(); });
  }
  ~Door() {
    ::shutdown(socket_, SHUT_RDWR);
    thread_.join();
    ::close(socket_);
  }

  PostgresOptions options() const {
    PostgresOptions options;
    options.side = "source";
    options.keywords = {{"host", "127.0.0.1"},    {"port", port_},   {"user", "u"},
                        {"dbname", "d"},          {"password", "p"}, {"sslmode", "disable"},
                        {"gssencmode", "disable"}};
    return options;
  }
  int knocks() const { return knocks_; }

 private:
  void serve() {
    for (;;) {
      const int guest = ::accept(socket_, nullptr, nullptr);
      if (guest < 0) return;
      ++knocks_;
      std::array<char, 1024> hello{};
      if (::recv(guest, hello.data(), hello.size(), 0) > 0)
        ::send(guest, answer_.data(), answer_.size(), MSG_NOSIGNAL);
      ::close(guest);
    }
  }

  const int socket_;
  const std::string answer_;
  std::string port_;
  std::atomic<int> knocks_{0};
  std::thread thread_;
};

// ErrorResponse of the protocol.
std::string refusal() {
  std::string fields;
  for (const char* field : {"SFATAL", "VFATAL", "C28P01", "Mpassword authentication failed"})
    fields.append(field).push_back('\0');
  fields.push_back('\0');
  const auto size = static_cast<char>(fields.size() + 4);
  return std::string("E\0\0\0", 4) + size + fields;
}

TEST(Connect, WhoSaysNothingIsAskedOnce) {
  const Door door("");
  PostgresConnection connection(door.options());
  const Status opened = connection.open();
  ASSERT_FALSE(opened);
  EXPECT_EQ(opened.error().reaction, Reaction::Retry);
  EXPECT_EQ(door.knocks(), 1);
}

// The second time he says it with the SQLSTATE.
TEST(Connect, WhoRefusesUsIsAskedWhy) {
  const Door door(refusal());
  PostgresConnection connection(door.options());
  const Status opened = connection.open();
  ASSERT_FALSE(opened);
  EXPECT_EQ(opened.error().code, "28P01") << opened.error().message;
  EXPECT_EQ(opened.error().exit, ExitCode::Permission);
  EXPECT_EQ(door.knocks(), 2);
}

}  // namespace
}  // namespace lockstep
