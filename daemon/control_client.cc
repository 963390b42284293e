#include "daemon/control_client.h"

#include <fmt/format.h>

#include <array>
#include <boost/asio/io_context.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <boost/beast/core.hpp>
#include <boost/beast/http.hpp>
#include <boost/json.hpp>
#include <chrono>
#include <exception>
#include <functional>

#include "daemon/state_directory.h"
#include "daemon/status_json.h"
#include "daemon/waits.h"
#include "pipeline/base/stop_flag.h"

namespace lockstep {
namespace {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = beast::http;

constexpr std::chrono::milliseconds kAgainEvery{200};
constexpr std::chrono::seconds kPreparingMax{60};

std::unexpected<Error> unanswered(const std::string& socket, const std::string& why) {
  return fail(Reaction::Retry, "the daemon does not answer on " + socket + ": " + why,
              ExitCode::Unreachable);
}

}  // namespace

Result<ControlResponse> ask_daemon(const std::string& socket, const ControlRequest& request,
                                   std::chrono::seconds patience) {
  using Protocol = asio::local::stream_protocol;
  try {
    asio::io_context context;
    beast::basic_stream<Protocol, asio::any_io_executor> stream(context);
    boost::system::error_code failed;
    if (stream.socket().connect(Protocol::endpoint(socket), failed)) {
      Error error = unanswered(socket, failed.message()).error();
      error.code = kNobodyListens;
      return fail(std::move(error));
    }
    http::request<http::string_body> ask(http::string_to_verb(request.method), request.path, 11);
    ask.set(http::field::host, "lockstep");
    ask.set(http::field::content_type, "application/json");
    ask.body() = request.body;
    ask.prepare_payload();
    beast::flat_buffer buffer;
    http::response_parser<http::string_body> parser;
    parser.body_limit(boost::none);  // Of our own daemon.
    // Asynchronous calls, because only they obey the time limit.
    stream.expires_after(patience);
    http::async_write(stream, ask, [&](boost::system::error_code error, std::size_t) {
      if (error) {
        failed = error;
        return;
      }
      http::async_read(stream, buffer, parser,
                       [&](boost::system::error_code ended, std::size_t) { failed = ended; });
    });
    context.run();
    if (failed == beast::error::timeout)
      return unanswered(socket, fmt::format("it has said nothing for {} s", patience.count()));
    if (failed) return unanswered(socket, failed.message());
    return ControlResponse{parser.get().result_int(), std::move(parser.get().body())};
  } catch (const std::exception& error) {
    return unanswered(socket, error.what());
  }
}

namespace {

// Calls `on_data` for each whole line of data; what is left of the last one stays.
void take_lines(std::string& text, const std::function<void(const std::string&)>& on_data) {
  constexpr std::string_view kData = "data: ";
  for (std::size_t end = text.find('\n'); end != text.npos; end = text.find('\n')) {
    const std::string line = text.substr(0, end);
    text.erase(0, end + 1);
    if (line.starts_with(kData)) on_data(line.substr(kData.size()));
  }
}

}  // namespace

// The head of the answer comes first; what is behind it has no length and ends with the connection.
Status follow_daemon(const std::string& socket, const std::string& path,
                     const std::function<void(const std::string& data)>& on_data) {
  using Protocol = asio::local::stream_protocol;
  try {
    asio::io_context context;
    Protocol::socket stream(context);
    stream.connect(Protocol::endpoint(socket));
    http::request<http::empty_body> ask(http::verb::get, path, 11);
    ask.set(http::field::host, "lockstep");
    ask.set(http::field::accept, "text/event-stream");
    http::write(stream, ask);
    beast::flat_buffer buffer;
    http::response_parser<http::buffer_body> parser;
    parser.body_limit(boost::none);
    http::read_header(stream, buffer, parser);
    if (parser.get().result_int() != 200)
      return fail(Reaction::Halt,
                  fmt::format("the daemon refuses with {}: ask without --follow",
                              parser.get().result_int()),
                  ExitCode::Temporary);
    std::string text;
    std::array<char, 4096> piece{};
    boost::system::error_code over;
    while (!over || over == http::error::need_buffer) {
      parser.get().body().data = piece.data();
      parser.get().body().size = piece.size();
      http::read_some(stream, buffer, parser, over);
      text.append(piece.data(), piece.size() - parser.get().body().size);
      take_lines(text, on_data);
      if (parser.is_done()) break;
    }
    return {};
  } catch (const std::exception& error) {
    return unanswered(socket, error.what());
  }
}

namespace {

// Of an answer that is not well; the same as that of the verb without a daemon.
ExitCode exit_of(unsigned status, const boost::json::object* document) {
  const boost::json::value* const said =
      document == nullptr ? nullptr : document->if_contains("exit");
  if (said != nullptr && said->is_int64()) return static_cast<ExitCode>(said->get_int64());
  if (status == 400 || status == 404 || status == 422) return ExitCode::Usage;
  return status == 409 || status == 503 ? ExitCode::Temporary : ExitCode::Failed;
}

}  // namespace

Error refusal_of(const ControlResponse& answer) {
  boost::system::error_code broken;
  const boost::json::value parsed = boost::json::parse(answer.body, broken);
  const boost::json::object* const document = broken ? nullptr : parsed.if_object();
  return {answer.status == 503 ? Reaction::Retry : Reaction::Halt,
          document == nullptr ? answer.body : text_of(*document, "title"),
          exit_of(answer.status, document),
          {}};
}

Result<std::string> ask_owner(const LockOwner& owner, const ControlRequest& request,
                              std::chrono::seconds patience) {
  LOCKSTEP_ASSIGN(ControlResponse answer, ask_daemon(owner.socket, request, patience));
  if (answer.status == 200) return std::move(answer.body);
  return fail(refusal_of(answer));
}

namespace {

// One that only starts has the lock already.
Result<bool> is_gone(const LockOwner& owner) {
  LOCKSTEP_ASSIGN(const auto now, read_lock_owner(owner.directory));
  return !now || now->pid != owner.pid;
}

}  // namespace

Result<std::string> ask_patiently(const LockOwner& owner, const ControlRequest& request) {
  const auto until = std::chrono::steady_clock::now() + kPreparingMax;
  StopFlag never;
  WaitNotice notice;
  for (;;) {
    auto answer = ask_owner(owner, request);
    const bool again = !answer && answer.error().reaction == Reaction::Retry &&
                       std::chrono::steady_clock::now() < until;
    if (!again) return answer;
    if (answer.error().code == kNobodyListens) {
      LOCKSTEP_ASSIGN(const bool gone, is_gone(owner));
      if (gone) {
        Error ended =
            runs_not("it ended before it answered; start it, then say this again").error();
        ended.code = kHasEnded;
        return fail(std::move(ended));
      }
    }
    notice.tell(answer.error().message);
    never.wait(kAgainEvery);
  }
}

std::unexpected<Error> runs_not(const std::string& what) {
  return fail(Reaction::Halt, "lockstep does not run: " + what, ExitCode::Unreachable);
}

Result<std::optional<LockOwner>> await_owner(const Manifest& manifest) {
  const auto until = std::chrono::steady_clock::now() + kPreparingMax;
  StopFlag never;
  WaitNotice notice;
  for (;;) {
    auto owner = find_owner(manifest);
    const bool starting = owner && *owner && (*owner)->socket.empty();
    if (!starting || std::chrono::steady_clock::now() >= until) return owner;
    notice.tell(
        fmt::format("pid {} has the state directory and does not listen yet", (*owner)->pid));
    never.wait(kAgainEvery);
  }
}

}  // namespace lockstep
