// ConnectRest: what it makes of Kafka Connect's answers, and of addresses and servers that are
// wrong.
#include <gmock/gmock.h>

#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/read_until.hpp>
#include <boost/asio/streambuf.hpp>
#include <boost/asio/write.hpp>
#include <string>
#include <thread>

#include "connectors/connect/rest.h"

namespace lockstep {
namespace {

namespace asio = boost::asio;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::Pair;

// Answers one request on a loopback port with fixed bytes; none: never answers.
class OneAnswer {
 public:
  explicit OneAnswer(std::string answer)
      : acceptor_(io_, {asio::ip::address_v4::loopback(), 0}),
        thread_([this, bytes = std::move(answer)] { serve(bytes); }) {}
  ~OneAnswer() { thread_.join(); }

  std::string url() const {
    return "http://127.0.0.1:" + std::to_string(acceptor_.local_endpoint().port());
  }
  // The request line.  REQUIRES: it was answered.
  const std::string& request() const { return request_; }

 private:
  void serve(const std::string& bytes) {
    boost::system::error_code error;
    asio::ip::tcp::socket socket(io_);
    static_cast<void>(acceptor_.accept(socket, error));  // Failed: then the read fails, too.
    asio::streambuf buffer;
    asio::read_until(socket, buffer, "\r\n\r\n", error);
    std::getline(std::istream(&buffer) >> std::ws, request_);
    if (bytes.empty()) {
      asio::read_until(socket, buffer, "never", error);  // Until the client gives up.
    } else {
      asio::write(socket, asio::buffer(bytes), error);
    }
  }

  asio::io_context io_;
  asio::ip::tcp::acceptor acceptor_;
  std::string request_;
  std::thread thread_;
};

std::string http(const std::string& status, const std::string& body) {
  return "HTTP/1.1 " + status + "\r\nContent-Length: " + std::to_string(body.size()) + "\r\n\r\n" +
         body;
}

ConnectRest open(const std::string& url, const std::string& connector = "shop") {
  auto rest = ConnectRest::open({url, connector, std::chrono::milliseconds(500)});
  CHECK(rest.has_value());
  return std::move(rest).value();
}

Error refused(const std::string& url) {
  auto rest = ConnectRest::open({url, "shop"});
  CHECK(!rest.has_value());
  return rest.error();
}

TEST(ConnectRest, ReadsTheOffsetsOfARealWorker) {
  const OneAnswer server(http(
      "200 OK", R"({"offsets":[{"partition":{"server":"shop"},"offset":{"lsn_proc":26524880,)"
                R"("messageType":"COMMIT","lsn_commit":26524880,"lsn":26525000,"txId":727}}]})"));
  const auto offsets = open(server.url() + "/").offsets();
  ASSERT_TRUE(offsets.has_value()) << offsets.error().message;
  ASSERT_EQ(offsets->size(), 1u);
  EXPECT_EQ((*offsets)[0].server, "shop");
  EXPECT_EQ((*offsets)[0].lsn_commit, 26524880u);
  EXPECT_EQ((*offsets)[0].lsn, 26525000u);
}

TEST(ConnectRest, OffsetsBeforeTheFirstCommitHaveNone) {
  const auto offsets = parse_connector_offsets(
      R"({"offsets":[{"partition":{"server":"shop"},"offset":{"lsn":26524504,"txId":726}}]})");
  ASSERT_TRUE(offsets.has_value());
  EXPECT_FALSE((*offsets)[0].lsn_commit.has_value());
  EXPECT_TRUE(parse_connector_offsets(R"({"offsets":[]})")->empty());
}

// Issue E, row 24: the first line of a trace says nothing.
TEST(ConnectRest, NamesTheLastCauseAndTheRemedy) {
  const auto status = parse_connector_status(
      R"({"connector":{"state":"RUNNING"},"tasks":[{"id":0,"state":"FAILED","trace":)"
      R"("org.apache.Outer: stopped\n\tat a\nCaused by: b.Middle: m\n\tat c\n\t... 10 more\n)"
      R"(Caused by: java.lang.IllegalArgumentException: Invalid identifier: x\ny\n\tat d"}]})");
  ASSERT_TRUE(status.has_value());
  ConnectOptions options{.url = "http://connect:8083", .connector = "my shop"};
  const auto fault = connector_fault(*status, options);
  ASSERT_TRUE(fault && fault->failed);
  EXPECT_EQ(fault->what,
            "task 0 of connector my shop has FAILED: java.lang.IllegalArgumentException: Invalid "
            "identifier: x y");
  EXPECT_EQ(fault->remedy,
            "rename the schema or table whose name begins or ends with a quotation mark; then "
            "restart it: "
            "curl -X POST 'http://connect:8083/connectors/my%20shop/restart?includeTasks=true"
            "&onlyFailed=true'");
  options.restart_failed = true;
  EXPECT_THAT(connector_fault(*status, options)->remedy, HasSubstr("it is restarted"));
}

TEST(ConnectRest, SaysHowAPausedConnectorGoesOn) {
  const ConnectOptions options{.url = "http://connect:8083", .connector = "shop"};
  const auto fault = connector_fault({"PAUSED", "", {}}, options);
  ASSERT_TRUE(fault && !fault->failed);
  EXPECT_EQ(fault->text(),
            "connector shop is PAUSED; resume it: curl -X PUT "
            "'http://connect:8083/connectors/shop/resume'");
  EXPECT_EQ(connector_fault({"RUNNING", "", {}}, options)->text(), "connector shop has no task");
  EXPECT_FALSE(connector_fault({"RUNNING", "", {{0, "RUNNING", ""}}}, options).has_value());
}

// Issue E, row 25.
TEST(ConnectRest, RestartsWhatHasFailedWhenItMay) {
  const OneAnswer server(http("202 Accepted", "{}"));
  ConnectOptions options{.url = server.url(), .connector = "shop"};
  EXPECT_TRUE(ConnectRest::open(options)->restart_failed()) << "nothing is asked";
  options.restart_failed = true;
  ConnectRest rest = *ConnectRest::open(options);
  EXPECT_TRUE(rest.restart_failed());
  EXPECT_THAT(server.request(),
              HasSubstr("POST /connectors/shop/restart?includeTasks=true&onlyFailed=true"));
  EXPECT_TRUE(rest.restart_failed()) << "once in a while only: nobody answers a second time";
}

TEST(ConnectRest, ReadsTheStateOfTasks) {
  const auto status = parse_connector_status(
      R"({"name":"shop","connector":{"state":"PAUSED","worker_id":"w"},"tasks":[{"id":0,)"
      R"("state":"FAILED","worker_id":"w","trace":"java.lang.Boom: x\n\tat y"}],"type":"source"})");
  ASSERT_TRUE(status.has_value());
  EXPECT_EQ(status->state, "PAUSED");
  EXPECT_EQ(status->tasks[0].state, "FAILED");
  EXPECT_EQ(status->tasks[0].cause, "java.lang.Boom: x");
}

TEST(ConnectRest, ReadsSettings) {
  const auto config = parse_connector_config(R"({"slot.name":"s","topic.prefix":null})");
  ASSERT_TRUE(config.has_value());
  EXPECT_THAT(*config, ElementsAre(Pair("slot.name", "s")));
}

TEST(ConnectRest, AnswersThatAreNotConnectsAreRetried) {
  for (const char* body : {"", "[]", "{", "<html>", R"({"offsets":{}})", R"({"offsets":[1]})",
                           R"({"offsets":[{"offset":{}}]})", R"({"connector":[]})"}) {
    SCOPED_TRACE(body);
    EXPECT_EQ(parse_connector_offsets(body).error().reaction, Reaction::Retry);
    EXPECT_EQ(parse_connector_status(body).error().reaction, Reaction::Retry);
  }
  EXPECT_FALSE(parse_connector_config(R"({"a":1})").has_value());
}

TEST(ConnectRest, AMissingConnectorMayAppear) {
  const OneAnswer server(
      http("404 Not Found", R"({"error_code":404,"message":"Connector shop not found"})"));
  const auto status = open(server.url()).status();
  ASSERT_FALSE(status.has_value());
  EXPECT_EQ(status.error().reaction, Reaction::Retry);
  EXPECT_EQ(status.error().code, "404");
  EXPECT_THAT(status.error().message, HasSubstr("answered 404: Connector shop not found"));
}

TEST(ConnectRest, ALoginIsTheOperatorsMatter) {
  const OneAnswer server(http("401 Unauthorized", "no"));
  const auto status = open(server.url()).status();
  ASSERT_FALSE(status.has_value());
  EXPECT_EQ(status.error().reaction, Reaction::Halt);
  EXPECT_EQ(status.error().exit, ExitCode::Config);
}

TEST(ConnectRest, NamesAreEncodedAndAPathIsKept) {
  auto server = std::make_unique<OneAnswer>(http("200 OK", "{}"));
  ASSERT_TRUE(open(server->url() + "/connect/", "a b/ü").config().has_value());
  EXPECT_THAT(server->request(),
              HasSubstr("GET /connect/connectors/a%20b%2F%C3%BC/config HTTP/1.1"));
}

TEST(ConnectRest, AServerThatIsSilentRunsIntoTheTimeout) {
  const OneAnswer server("");
  const auto status = open(server.url()).status();
  ASSERT_FALSE(status.has_value());
  EXPECT_EQ(status.error().reaction, Reaction::Retry);
  EXPECT_THAT(status.error().message, HasSubstr("gave no answer in 500 ms"));
}

TEST(ConnectRest, AWorkerThatIsDownIsRetried) {
  const auto status = open("http://127.0.0.1:1").status();
  ASSERT_FALSE(status.has_value());
  EXPECT_EQ(status.error().reaction, Reaction::Retry);
  EXPECT_THAT(status.error().message, HasSubstr("Connection refused"));
}

TEST(ConnectRest, BadAddressesAreConfigurationErrors) {
  EXPECT_THAT(refused("https://c:8083").message, HasSubstr("https"));
  EXPECT_THAT(refused("c:8083").message, HasSubstr("http://"));
  EXPECT_THAT(refused("http://").message, HasSubstr("no host"));
  EXPECT_THAT(refused("http://c:0").message, HasSubstr("bad port"));
  EXPECT_THAT(refused("http://c:99999").message, HasSubstr("bad port"));
  EXPECT_EQ(refused("http://me:secret@c").message.find("secret"), std::string::npos);
  EXPECT_EQ(refused("ftp://c").exit, ExitCode::Config);
}

}  // namespace
}  // namespace lockstep
