// What an SQLSTATE asks for, and when a log position counts as flushed.
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <string>
#include <thread>

#include "connectors/postgres/source/reader.h"
#include "connectors/postgres/target/target.h"
#include "connectors/postgres/wire/catalog.h"
#include "connectors/postgres/wire/connection.h"
#include "connectors/postgres/wire/facts.h"
#include "pipeline/base/utf8.h"
#include "pipeline/model/row.h"

namespace lockstep {
namespace {

TEST(SqlState, WhatPassesIsRetried) {
  for (const char* code : {"08006", "40001", "40P01", "53100", "53300", "55P03", "57P01", "57P03",
                           "57014", "25006", "58030"})
    EXPECT_EQ(reaction_to(code), Reaction::Retry) << code;
}

TEST(SqlState, WhatIsWrongWithARowRejectsIt) {
  for (const char* code : {"22003", "22P02", "23505", "23514", "23502", "42804", "44000"})
    EXPECT_EQ(reaction_to(code), Reaction::Reject) << code;
}

TEST(SqlState, WhatIsWrongWithATableStopsIt) {
  for (const char* code : {"42703", "42P01", "42883", "42501", "0A000", "3F000"})
    EXPECT_EQ(reaction_to(code), Reaction::StopTable) << code;
}

TEST(SqlState, EverythingElseHalts) {
  for (const char* code : {"XX000", "XX001", "55000", "25P02", "P0001", "28P01", "3D000"})
    EXPECT_EQ(reaction_to(code), Reaction::Halt) << code;
}

TEST(SqlState, ServerWideStatementStopsNoTable) {
  EXPECT_EQ(for_server({Reaction::StopTable, "", ExitCode::BadData, ""}).reaction, Reaction::Halt);
  EXPECT_EQ(for_server({Reaction::Retry, "", ExitCode::BadData, ""}).reaction, Reaction::Retry);
  EXPECT_EQ(for_table({Reaction::Reject, "", ExitCode::BadData, ""}).reaction, Reaction::StopTable);
}

// Damage, or a row over 1 GB, is of one table: the others go on, and the message has the way out.
TEST(SqlState, DamageStopsTheTableThatIsRead) {
  for (const char* code : {"XX000", "XX001", "XX002", "54000", "54001"}) {
    const Error error = for_table({Reaction::Halt, "source: it broke", ExitCode::BadData, code});
    EXPECT_EQ(error.reaction, Reaction::StopTable) << code;
    EXPECT_GT(error.message.size(), std::string("source: it broke; ").size()) << code;
  }
  const Error other = for_table({Reaction::Halt, "source: it broke", ExitCode::BadData, "55000"});
  EXPECT_EQ(other.reaction, Reaction::Halt);
  EXPECT_EQ(other.message, "source: it broke");
}

TEST(SqlState, DamageStopsTheTableThatIsWritten) {
  const TableMap table;
  for (const char* code : {"XX001", "XX002"})
    EXPECT_EQ(table_error(table, {Reaction::Halt, "", ExitCode::BadData, code}).reaction,
              Reaction::StopTable)
        << code;
}

// Of the bookkeeping, or of all.
TEST(SqlState, DamageOfNoTableHalts) {
  EXPECT_EQ(for_server({Reaction::Halt, "", ExitCode::BadData, "XX001"}).reaction, Reaction::Halt);
}

constexpr LogGeometry kLog{.page_bytes = 8192, .segment_bytes = 16 << 20};

// On an idle server the flush position stays at 2000000 while the insert position says 2000028.
TEST(FlushGoal, PageHeaderAloneIsNothingToFlush) {
  EXPECT_EQ(flush_goal(0x2000028, kLog), 0x2000000U);
  EXPECT_EQ(flush_goal(0x2002018, kLog), 0x2002000U);
}

TEST(FlushGoal, BytesOfARecordBehindTheHeaderCount) {
  EXPECT_EQ(flush_goal(0x2000030, kLog), 0x2000030U);
  EXPECT_EQ(flush_goal(0x2002028, kLog), 0x2002028U);
  EXPECT_EQ(flush_goal(0x2002000, kLog), 0x2002000U);
}

TEST(SameIdentity, AnotherClusterOrTimelineHalts) {
  const SourceIdentity pinned{"77", 1};
  EXPECT_TRUE(same_identity(pinned, {"77", 1}).has_value());
  EXPECT_EQ(same_identity(pinned, {"78", 1}).error().reaction, Reaction::Halt);
  EXPECT_EQ(same_identity(pinned, {"77", 2}).error().reaction, Reaction::Halt);
}

TEST(ArrayLiteral, QuotesWhatTheParserWouldTake) {
  EXPECT_EQ(text_array({"a", "b\"c", "d\\", "e,f", ""}), R"({"a","b\"c","d\\","e,f",""})");
  EXPECT_EQ(oid_array({1, 22}), "{1,22}");
  EXPECT_EQ(oid_array({}), "{}");
}

// A server that refuses whoever comes, in an encoding of its own: before a session exists none was
// agreed on.
class RefusingServer {
 public:
  explicit RefusingServer(const std::string& message)
      : listener_(::socket(AF_INET, SOCK_STREAM, 0)) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t length = sizeof address;
    auto* const any = reinterpret_cast<sockaddr*>(&address);
    EXPECT_EQ(::bind(listener_, any, length), 0);
    EXPECT_EQ(::listen(listener_, 4), 0);
    EXPECT_EQ(::getsockname(listener_, any, &length), 0);
    port_ = std::to_string(ntohs(address.sin_port));
    const std::string fields =
        std::string("SFATAL") + '\0' + "C3D000" + '\0' + "M" + message + '\0' + '\0';
    std::string answer = "E";
    append_be32(answer, static_cast<std::uint32_t>(fields.size() + 4));
    answer += fields;
    thread_ = std::jthread([this, answer] {
      for (int peer = 0; (peer = ::accept(listener_, nullptr, nullptr)) >= 0; ::close(peer)) {
        char startup[4096];
        if (::recv(peer, startup, sizeof startup, 0) > 0)
          ::send(peer, answer.data(), answer.size(), MSG_NOSIGNAL);
      }
    });
  }
  ~RefusingServer() {
    ::shutdown(listener_, SHUT_RDWR);  // Ends accept().
    thread_ = {};
    ::close(listener_);
  }
  const std::string& port() const { return port_; }

 private:
  int listener_;
  std::string port_;
  std::jthread thread_;
};

TEST(ConnectError, IsTextWhateverTheServerSpeaks) {
  const RefusingServer server(
      "la base \xAB"
      "caf\xE9\xBB n'existe pas");
  PostgresOptions options;
  options.side = "source";
  options.keywords = {{"host", "127.0.0.1"}, {"port", server.port()}, {"user", "a"},
                      {"dbname", "a"},       {"sslmode", "disable"},  {"gssencmode", "disable"}};
  const Status opened = PostgresConnection(options).open();
  ASSERT_FALSE(opened);
  EXPECT_EQ(opened.error().code, "3D000") << opened.error().message;
  EXPECT_EQ(invalid_utf8(opened.error().message), std::string_view::npos);
  EXPECT_NE(opened.error().message.find("caf\uFFFD\uFFFD n'existe pas"), std::string::npos)
      << opened.error().message;
}

}  // namespace
}  // namespace lockstep
