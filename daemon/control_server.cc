#include "daemon/control_server.h"

#include <sys/socket.h>
#include <sys/stat.h>

#include <boost/asio/awaitable.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/signal_set.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/beast/core.hpp>
#include <boost/beast/http.hpp>
#include <chrono>
#include <csignal>
#include <exception>
#include <string>
#include <utility>

namespace lockstep {
namespace {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = beast::http;
using Protocol = asio::local::stream_protocol;
using Stream = beast::basic_stream<Protocol, asio::any_io_executor>;

constexpr std::chrono::seconds kIdleMax{10};
constexpr std::chrono::milliseconds kAcceptPause{100};
constexpr std::uint64_t kBodyBytesMax = 64 << 10;

// Who is at the other end, for the audit log.
std::string actor_of(Stream& stream) {
  ::ucred peer{};
  ::socklen_t length = sizeof peer;
  const int asked =
      ::getsockopt(stream.socket().native_handle(), SOL_SOCKET, SO_PEERCRED, &peer, &length);
  return asked == 0 ? "uid " + std::to_string(peer.uid) : "unknown";
}

}  // namespace

class ControlServer::Impl {
 public:
  Impl(Handler handler, Signals on)
      : handler_(std::move(handler)),
        on_(std::move(on)),
        acceptor_(context_),
        signals_(context_, SIGINT, SIGTERM, SIGHUP) {}

  Status bind(const std::filesystem::path& socket) {
    try {
      std::filesystem::remove(socket);
      const Protocol::endpoint endpoint(socket.string());
      acceptor_.open(endpoint.protocol());
      const mode_t before = ::umask(0117);
      acceptor_.bind(endpoint);
      ::umask(before);
      acceptor_.listen();
    } catch (const std::exception& error) {
      return fail(Reaction::Halt,
                  "cannot listen on the control socket " + socket.string() + ": " + error.what(),
                  ExitCode::Permission);
    }
    socket_ = socket;
    await_signal();
    asio::co_spawn(context_, accept(), asio::detached);
    return {};
  }

  void run() { context_.run(); }
  void stop() { context_.stop(); }

  ~Impl() {
    std::error_code ignored;  // The socket may be gone already; the next start replaces it anyway.
    if (!socket_.empty()) std::filesystem::remove(socket_, ignored);
  }

 private:
  void await_signal() {
    signals_.async_wait([this](const boost::system::error_code& error, int signal) {
      if (error) return;
      signal == SIGHUP ? on_.on_hangup() : on_.on_stop();
      await_signal();
    });
  }

  asio::awaitable<void> accept() {
    for (;;) {
      boost::system::error_code error;
      Protocol::socket socket =
          co_await acceptor_.async_accept(asio::redirect_error(asio::use_awaitable, error));
      if (error == asio::error::operation_aborted) co_return;
      if (!error) {
        asio::co_spawn(context_, serve(Stream(std::move(socket))), asio::detached);
        continue;
      }
      // The peer has gone, or the process has no file left: the next one may have more luck.
      asio::steady_timer pause(context_, kAcceptPause);
      co_await pause.async_wait(asio::redirect_error(asio::use_awaitable, error));
    }
  }

  // One request per connection.  A peer that goes away or is slow ends its own connection only.
  asio::awaitable<void> serve(Stream stream) {
    try {
      stream.expires_after(kIdleMax);
      beast::flat_buffer buffer;
      http::request_parser<http::string_body> parser;
      parser.body_limit(kBodyBytesMax);
      co_await http::async_read(stream, buffer, parser, asio::use_awaitable);
      const auto& request = parser.get();
      const ControlResponse answer =
          handler_({std::string(request.method_string()), std::string(request.target()),
                    request.body(), actor_of(stream)});
      http::response<http::string_body> response(static_cast<http::status>(answer.status),
                                                 request.version());
      response.set(http::field::content_type, "application/json");
      response.keep_alive(false);
      response.body() = answer.body;
      response.prepare_payload();
      stream.expires_after(kIdleMax);
      co_await http::async_write(stream, response, asio::use_awaitable);
    } catch (const boost::system::system_error&) {
      co_return;  // The peer's own trouble: it sees the closed connection.
    }
  }

  const Handler handler_;
  const Signals on_;
  asio::io_context context_{1};
  Protocol::acceptor acceptor_;
  asio::signal_set signals_;
  std::filesystem::path socket_;
};

Result<std::unique_ptr<ControlServer>> ControlServer::open(const std::filesystem::path& socket,
                                                           Handler handler, Signals signals) {
  auto impl = std::make_unique<Impl>(std::move(handler), std::move(signals));
  LOCKSTEP_TRY(impl->bind(socket));
  return std::unique_ptr<ControlServer>(new ControlServer(std::move(impl)));
}

ControlServer::ControlServer(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
ControlServer::~ControlServer() = default;
void ControlServer::run() { impl_->run(); }
void ControlServer::stop() { impl_->stop(); }

}  // namespace lockstep
