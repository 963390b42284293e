#include "daemon/control_server.h"

#include <fmt/format.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include <algorithm>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/signal_set.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/thread_pool.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>
#include <boost/beast/core.hpp>
#include <boost/beast/http.hpp>
#include <chrono>
#include <csignal>
#include <exception>
#include <optional>
#include <set>
#include <string>
#include <utility>

#include "daemon/actor.h"
#include "daemon/percent.h"
#include "pipeline/base/utf8.h"

namespace lockstep {
namespace {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = beast::http;
using Protocol = asio::local::stream_protocol;
using Stream = beast::basic_stream<Protocol, asio::any_io_executor>;
using Tcp = asio::ip::tcp;
using TcpStream = beast::basic_stream<Tcp, asio::any_io_executor>;

constexpr std::chrono::seconds kIdleMax{10};
constexpr std::chrono::milliseconds kAcceptPause{100};
constexpr std::chrono::seconds kAliveEvery{5};
constexpr std::size_t kListenersMax = 16;
constexpr std::uint64_t kBodyBytesMax = 64 << 10;
constexpr std::uint32_t kHeaderBytesMax = 8 << 10;
constexpr std::size_t kGuestsMax = 32;  // Connections over TCP at a time.
constexpr std::size_t kSlowMax = 4;     // Answers that wait for a server, or for their turn.

// Who is at the other end, for the audit log.
std::string actor_of(Stream& stream) {
  ::ucred peer{};
  ::socklen_t length = sizeof peer;
  const int asked =
      ::getsockopt(stream.socket().native_handle(), SOL_SOCKET, SO_PEERCRED, &peer, &length);
  return asked == 0 ? actor_text(peer.uid) : "unknown";
}

using Request = http::request<http::string_body>;

// Reads one request.  Throws what ends the connection: too slow, too large, no HTTP.
template <typename AnyStream>
asio::awaitable<Request> read_request(AnyStream& stream, std::uint64_t body_bytes_max) {
  stream.expires_after(kIdleMax);
  beast::flat_buffer buffer;
  http::request_parser<http::string_body> parser;
  parser.header_limit(kHeaderBytesMax);
  parser.body_limit(body_bytes_max);
  co_await http::async_read(stream, buffer, parser, asio::use_awaitable);
  co_return parser.release();
}

// Answers it; the connection then ends.
template <typename AnyStream>
asio::awaitable<void> write_answer(AnyStream& stream, const ControlResponse& answer,
                                   unsigned version) {
  http::response<http::string_body> response(static_cast<http::status>(answer.status), version);
  response.set(http::field::content_type,
               answer.status < 400 ? answer.type : "application/problem+json");
  if (!answer.allow.empty()) response.set(http::field::allow, answer.allow);
  response.set("X-Content-Type-Options", "nosniff");
  if (answer.type.starts_with("text/html"))  // Nothing of anybody else's, nowhere framed.
    response.set("Content-Security-Policy",
                 "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; "
                 "img-src data:; connect-src 'self'; form-action 'none'; frame-ancestors 'none'");
  response.keep_alive(false);
  // Boost.JSON writes what it is given, and reads only UTF-8: a path of the operator's may be none.
  response.body() = valid_utf8(answer.body);
  response.prepare_payload();
  stream.expires_after(kIdleMax);
  co_await http::async_write(stream, response, asio::use_awaitable);
}

// Where a request goes, and with what.
struct RequestTarget {
  std::string path;   // Decoded.
  std::string query;  // As it stands there, which can be decoded.
};

// Nothing: it is not percent-encoded as it should be.
std::optional<RequestTarget> split_target(const Request& request) {
  const std::string_view target = request.target();
  const std::size_t mark = std::min(target.size(), target.find('?'));
  auto path = percent_decoded(target.substr(0, mark));
  const std::string_view query = target.substr(std::min(target.size(), mark + 1));
  if (!path || !percent_decoded(query)) return std::nullopt;
  return RequestTarget{*std::move(path), std::string(query)};
}

constexpr std::string_view kNotEncoded =
    "a % in a path or query stands before two hexadecimal "
    "digits: encode one that is meant as %25";

ControlResponse refusal(unsigned status, std::string_view title) {
  ControlResponse answer;
  answer.status = status;
  answer.body = fmt::format(R"({{"type":"about:blank","title":"{}","status":{}}})", title, status);
  return answer;
}

}  // namespace

namespace {

// Why a request is not answered: a page of another site, in a browser that can reach us, asks under
// a name that was made to lead here (DNS rebinding), or sends a form of its own (cross-site
// request).  "": nothing speaks against it.
std::string_view foreign(const Request& request, const std::vector<std::string>& hosts) {
  const std::string_view host = request[http::field::host];
  if (!host.empty() && !is_our_host(host, hosts))
    return "this Host is not ours: ask by address or as localhost, or list it in listen.hosts";
  const std::string_view origin = request[http::field::origin];
  // Our verbs' name without a domain may be anybody's in a local network, and a page has an origin.
  if (!origin.empty() && host.starts_with("lockstep"))
    return "a page asks under a name that is not ours: ask by address or as localhost";
  if (!origin.empty() && origin != fmt::format("http://{}", host))
    return "a page of another site asks: only our own may";
  return {};
}

}  // namespace

bool is_our_host(std::string_view host, const std::vector<std::string>& hosts) {
  const std::size_t bracket = host.starts_with('[') ? host.find(']') : 0;
  if (bracket == host.npos) return false;
  const std::string_view name = host.substr(0, host.find(':', bracket));
  boost::system::error_code no_address;
  asio::ip::make_address(
      bracket == 0 ? std::string(name) : std::string(name.substr(1, bracket - 1)), no_address);
  return !no_address || name == "localhost" || std::ranges::find(hosts, name) != hosts.end();
}

std::string ControlRequest::query_value(std::string_view name) const {
  std::string_view rest = query;
  while (!rest.empty()) {
    const std::string_view pair = rest.substr(0, rest.find('&'));
    rest.remove_prefix(std::min(rest.size(), pair.size() + 1));
    const std::size_t equals = pair.find('=');
    if (equals != pair.npos && pair.substr(0, equals) == name)
      return percent_decoded(pair.substr(equals + 1), true).value_or("");
  }
  return "";
}

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
      acceptor_.bind(endpoint);
      std::filesystem::permissions(socket, std::filesystem::perms(0660));  // Nobody connects yet.
      acceptor_.listen();
    } catch (const std::exception& error) {
      return fail(Reaction::Halt,
                  "cannot listen on the control socket " + socket.string() + ": " + error.what(),
                  ExitCode::Permission);
    }
    socket_ = socket;
    await_signal();
    asio::co_spawn(context_,
                   accept(acceptor_, [this](Protocol::socket peer) { begin(std::move(peer)); }),
                   asio::detached);
    return {};
  }

  Status show(PublicListen listen) {
    try {
      const Tcp::endpoint endpoint(asio::ip::make_address(listen.address), listen.port);
      guest_acceptor_.open(endpoint.protocol());
      guest_acceptor_.set_option(Tcp::acceptor::reuse_address(true));
      guest_acceptor_.bind(endpoint);
      guest_acceptor_.listen();
    } catch (const boost::system::system_error& error) {
      return fail(
          Reaction::Halt,
          fmt::format("cannot listen on {} port {}: {}; {}change listen in the manifest",
                      listen.address, listen.port, error.code().message(),
                      may_pass(error.code()) ? "start again once it is free and up, or " : ""),
          may_pass(error.code()) ? ExitCode::Temporary : ExitCode::Permission);
    }
    public_ = std::move(listen);
    asio::co_spawn(context_,
                   accept(guest_acceptor_, [this](Tcp::socket peer) { begin(std::move(peer)); }),
                   asio::detached);
    return {};
  }
  std::uint16_t public_port() const { return guest_acceptor_.local_endpoint().port(); }

  void run() { context_.run(); }
  void stop() { context_.stop(); }
  void wake() {
    asio::post(context_, [this] {
      for (asio::steady_timer* waiting : listeners_) waiting->cancel();
    });
  }

  ~Impl() {
    std::error_code ignored;  // The socket may be gone already; the next start replaces it anyway.
    if (!socket_.empty()) std::filesystem::remove(socket_, ignored);
  }

 private:
  // An address may come up after us, as at a boot or when it moves between hosts.
  static bool may_pass(const boost::system::error_code& error) {
    return error == asio::error::address_in_use ||
           error == boost::system::errc::address_not_available;
  }

  void await_signal() {
    signals_.async_wait([this](const boost::system::error_code& error, int signal) {
      if (error) return;
      signal == SIGHUP ? on_.on_hangup() : on_.on_stop();
      await_signal();
    });
  }

  void begin(Protocol::socket peer) {
    asio::co_spawn(context_, serve(Stream(std::move(peer))), asio::detached);
  }
  // One guest too many is turned away.
  void begin(Tcp::socket peer) {
    if (guests_ >= kGuestsMax) return;
    ++guests_;
    asio::co_spawn(context_, serve_guest(TcpStream(std::move(peer))), asio::detached);
  }

  // `take` gets each peer.
  template <typename Acceptor, typename Take>
  asio::awaitable<void> accept(Acceptor& acceptor, Take take) {
    for (;;) {
      boost::system::error_code error;
      auto socket =
          co_await acceptor.async_accept(asio::redirect_error(asio::use_awaitable, error));
      if (error == asio::error::operation_aborted) co_return;
      if (!error) {
        take(std::move(socket));
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
      const Request request = co_await read_request(stream, kBodyBytesMax);
      const auto target = split_target(request);
      // Our verbs, and curl as README has long shown it, ask for "lockstep".
      const std::string_view why_not = foreign(request, {"lockstep"});
      const bool reads = request.method() == http::verb::get;
      ControlResponse answer =
          !why_not.empty() ? refusal(421, why_not)
          : !target        ? refusal(400, kNotEncoded)
                    : handler_({std::string(request.method_string()), target->path, request.body(),
                                reads ? "" : actor_of(stream), target->query,
                                std::string(request[http::field::accept]),
                                std::string(request["Last-Event-ID"])});
      if (auto later = std::move(answer.later)) answer = co_await answer_later(std::move(later));
      if (answer.more && listeners_.size() < kListenersMax)
        co_return co_await send_stream(stream, answer.more);
      if (answer.more)
        answer = {503, R"({"title":"too many listen already: ask without a stream"})"};
      co_await write_answer(stream, answer, request.version());
    } catch (const boost::system::system_error&) {
      co_return;  // The peer's own trouble: it sees the closed connection.
    }
  }

  // What it needs may be away: nobody else waits for that.
  asio::awaitable<ControlResponse> answer_later(std::function<ControlResponse()> answer) {
    if (slow_ >= kSlowMax)
      co_return refusal(503, "too many wait for a server already: ask again in a moment");
    ++slow_;
    const Counted counted(slow_);
    // It has a name: GCC 12 destroys what a temporary of an awaited expression holds twice.
    auto work = [answer = std::move(answer)]() -> asio::awaitable<ControlResponse> {
      co_return answer();
    };
    co_return co_await asio::co_spawn(slow_thread_, std::move(work), asio::use_awaitable);
  }

  // Likewise, of somebody whom nobody knows.
  asio::awaitable<void> serve_guest(TcpStream stream) {
    const Counted guest(guests_);
    try {
      const Request request = co_await read_request(stream, 0);
      co_await write_answer(stream, answer_guest(request), request.version());
    } catch (const boost::system::system_error&) {
      co_return;  // As above.
    }
  }

  ControlResponse answer_guest(const Request& request) const {
    if (request[http::field::host].empty()) return refusal(421, "say as which Host you ask");
    if (const std::string_view why_not = foreign(request, public_.hosts); !why_not.empty())
      return refusal(421, why_not);
    const auto target = split_target(request);
    if (!target) return refusal(400, kNotEncoded);
    if (std::ranges::find(public_.paths, target->path) == public_.paths.end())
      return refusal(404, "not shown here: see lockstep's control socket");
    if (request.method() != http::verb::get) {
      ControlResponse answer = refusal(405, "GET only");
      answer.allow = "GET";
      return answer;
    }
    ControlRequest asked{"GET", target->path, ""};
    asked.actor = "anybody";
    return handler_(asked);
  }

  // Server-sent events, until the peer goes away.
  asio::awaitable<void> send_stream(Stream& stream, const std::function<std::string()>& more) {
    asio::steady_timer waiting(context_);
    const Listener listener(listeners_, waiting);
    std::string text =
        "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nCache-Control: no-cache\r\n"
        "Connection: close\r\n\r\n";
    for (;;) {
      text += more();
      if (text.empty()) text = ": alive\n\n";
      stream.expires_after(kIdleMax);
      co_await asio::async_write(stream, asio::buffer(text), asio::use_awaitable);
      text = more();  // What came meanwhile woke nobody.
      if (!text.empty()) continue;
      waiting.expires_after(kAliveEvery);
      boost::system::error_code woken;
      co_await waiting.async_wait(asio::redirect_error(asio::use_awaitable, woken));
    }
  }

  // One of so many, until it goes.
  class Counted {
   public:
    explicit Counted(std::size_t& all) : all_(all) {}
    ~Counted() { --all_; }
    Counted(const Counted&) = delete;
    Counted& operator=(const Counted&) = delete;

   private:
    std::size_t& all_;
  };

  // One of those who wait for events, for as long as it lives.
  class Listener {
   public:
    Listener(std::set<asio::steady_timer*>& all, asio::steady_timer& own) : all_(all), own_(own) {
      all_.insert(&own_);
    }
    ~Listener() { all_.erase(&own_); }
    Listener(const Listener&) = delete;
    Listener& operator=(const Listener&) = delete;

   private:
    std::set<asio::steady_timer*>& all_;
    asio::steady_timer& own_;
  };

  const Handler handler_;
  const Signals on_;
  std::set<asio::steady_timer*> listeners_;  // Before the context, whose end ends them.
  std::size_t guests_ = 0;                   // Likewise.
  std::size_t slow_ = 0;                     // Likewise: answer_later().
  PublicListen public_;
  asio::io_context context_{1};
  asio::thread_pool slow_thread_{1};  // After the context, to which it hands what it has done.
  Protocol::acceptor acceptor_;
  Tcp::acceptor guest_acceptor_{context_};
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
void ControlServer::wake() { impl_->wake(); }
Status ControlServer::show(PublicListen listen) { return impl_->show(std::move(listen)); }
std::uint16_t ControlServer::public_port() const { return impl_->public_port(); }

}  // namespace lockstep
