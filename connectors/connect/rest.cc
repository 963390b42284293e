#include "connectors/connect/rest.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/beast/core.hpp>
#include <boost/beast/http.hpp>
#include <boost/json.hpp>
#include <exception>
#include <utility>

#include "pipeline/base/number.h"
#include "pipeline/base/utf8.h"

namespace lockstep {
namespace {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = beast::http;
namespace json = boost::json;
using boost::system::error_code;

constexpr auto kAsTuple = asio::as_tuple(asio::use_awaitable);

struct Request {
  http::verb verb = http::verb::get;
  std::string host;
  std::string port;
  std::string target;
  std::uint64_t answer_bytes_max = 0;
};

struct Answer {
  error_code error;  // Of the transport.
  unsigned status = 0;
  std::string body;
  bool finished = false;  // False: the time ran out.
};

asio::awaitable<void> exchange(Request request, Answer& answer) {
  const auto executor = co_await asio::this_coro::executor;
  asio::ip::tcp::resolver resolver(executor);
  const auto [unresolved, endpoints] =
      co_await resolver.async_resolve(request.host, request.port, kAsTuple);
  answer.error = unresolved;
  beast::tcp_stream stream(executor);
  if (!answer.error) {
    const auto [refused, endpoint] = co_await stream.async_connect(endpoints, kAsTuple);
    answer.error = refused;
  }
  http::request<http::empty_body> question(request.verb, request.target, 11);
  question.set(http::field::host, request.host + ":" + request.port);
  question.set(http::field::accept, "application/json");
  question.set(http::field::connection, "close");
  if (!answer.error) {
    question.prepare_payload();
    const auto [unsent, sent] = co_await http::async_write(stream, question, kAsTuple);
    answer.error = unsent;
  }
  http::response_parser<http::string_body> parser;
  parser.body_limit(request.answer_bytes_max);
  if (!answer.error) {
    beast::flat_buffer buffer;
    const auto [unread, read] = co_await http::async_read(stream, buffer, parser, kAsTuple);
    answer.error = unread;
  }
  if (!answer.error) {
    answer.status = parser.get().result_int();
    answer.body = std::move(parser.get().body());
  }
  answer.finished = true;
}

constexpr std::string_view kRestart = "restart?includeTasks=true&onlyFailed=true";

// What an operator can do about a cause, by words of Debezium's.
struct Remedy {
  std::string_view words;
  std::string_view remedy;
};
constexpr std::array<Remedy, 10> kRemedies = {{
    {"Publication autocreation is disabled",
     "make the publication (lockstep validate prints the statement)"},
    {"Invalid identifier",
     "rename the schema or table whose name begins or ends with a quotation mark"},
    {"Unexpected input",
     "rename the schema or table whose name begins or ends with a quotation mark"},
    {"all replication slots are in use", "raise max_replication_slots on the source"},
    {"no longer available on the server", "the slot was lost: begin the migration anew"},
    {"password authentication failed", "correct database.password of the connector"},
    {"is active for PID", "end the other reader of the slot"},
    {"java.sql.Array.getArray",
     "drop the enum without labels or the domain over an enum (lockstep validate names it)"},
    {"differ only by case", "rename one of the columns"},
    {"RecordTooLargeException",
     "raise producer.override.max.request.size of the connector and message.max.bytes of the "
     "broker"},
}};

std::string_view remedy_of(std::string_view cause) {
  const auto found = std::find_if(kRemedies.begin(), kRemedies.end(), [&](const Remedy& remedy) {
    return cause.contains(remedy.words);
  });
  return found == kRemedies.end() ? "cure the cause" : found->remedy;
}

// The last cause of a Java stack trace, which is the first thing that went wrong; of one without
// causes its first line.
std::string last_cause(std::string_view trace) {
  constexpr std::string_view kCausedBy = "\nCaused by: ";
  if (const auto last = trace.rfind(kCausedBy); last != std::string_view::npos)
    trace.remove_prefix(last + kCausedBy.size());
  // A message may have several lines; the frames begin with a tab.
  std::string cause(trace.substr(0, trace.find("\n\tat ")));
  std::replace(cause.begin(), cause.end(), '\n', ' ');
  constexpr std::size_t kShown = 400;
  if (cause.size() <= kShown) return cause;
  cause.resize(kShown);
  return valid_utf8(std::move(cause)) + "...";  // The cut may go through a character.
}

Error unreachable(std::string message, std::string code = {}) {
  return {Reaction::Retry, std::move(message), ExitCode::Unreachable, std::move(code)};
}

// The "message" of Connect's error document, or nothing.
std::string error_text(const std::string& body) {
  error_code error;
  const json::value document = json::parse(body, error);
  if (error || !document.is_object()) return {};
  const json::value* message = document.as_object().if_contains("message");
  return message != nullptr && message->is_string() ? std::string(message->as_string()) : "";
}

Error unparsable(std::string_view what) {
  return {Reaction::Retry, fmt::format("Kafka Connect's answer on {} is not understood", what),
          ExitCode::Unreachable, "answer"};
}

std::string percent_encoded(std::string_view text) {
  std::string out;
  for (const char c : text) {
    const bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                       c == '-' || c == '_' || c == '.' || c == '~';
    if (plain) {
      out.push_back(c);
    } else {
      out += fmt::format("%{:02X}", static_cast<unsigned char>(c));
    }
  }
  return out;
}

// Returns the string member `name`, or "".
std::string text_of(const json::object& object, std::string_view name) {
  const json::value* value = object.if_contains(name);
  return value != nullptr && value->is_string() ? std::string(value->as_string()) : "";
}

std::optional<Lsn> lsn_of(const json::object& object, std::string_view name) {
  const json::value* value = object.if_contains(name);
  if (value == nullptr) return std::nullopt;
  if (value->is_uint64()) return value->as_uint64();
  if (value->is_int64() && value->as_int64() >= 0) return static_cast<Lsn>(value->as_int64());
  return std::nullopt;
}

}  // namespace

Result<ConnectRest> ConnectRest::open(ConnectOptions options) {
  ConnectRest rest;
  std::string_view rest_of_url = options.url;
  const auto refuse = [&](std::string_view why) {
    return fail(Reaction::Halt, fmt::format("Kafka Connect's address {} {}", options.url, why),
                ExitCode::Config);
  };
  if (rest_of_url.contains('@')) {  // Not echoed: it may hold a password.
    return fail(Reaction::Halt,
                "Kafka Connect's address holds a user name or password, which is not supported",
                ExitCode::Config);
  }
  if (rest_of_url.starts_with("https://")) {
    return refuse(
        "is https, which is not supported: give a plain http address, for example of a "
        "local proxy that speaks TLS to the worker");
  }
  if (!rest_of_url.starts_with("http://")) return refuse("does not begin with http://");
  rest_of_url.remove_prefix(7);
  const std::size_t slash = rest_of_url.find('/');
  std::string_view authority = rest_of_url.substr(0, slash);
  if (slash != std::string_view::npos) rest.base_path_ = rest_of_url.substr(slash);
  while (rest.base_path_.ends_with('/')) rest.base_path_.pop_back();
  const std::size_t bracket = authority.rfind(']');
  const std::size_t colon = authority.rfind(':');
  const bool has_port =
      colon != std::string_view::npos && (bracket == std::string_view::npos || colon > bracket);
  rest.port_ = has_port ? std::string(authority.substr(colon + 1)) : "8083";
  if (has_port) authority = authority.substr(0, colon);
  if (authority.starts_with('[') && authority.ends_with(']')) {
    authority = authority.substr(1, authority.size() - 2);
  }
  rest.host_ = authority;
  std::uint16_t port = 0;
  const bool is_port = parse_number(rest.port_, port) && port != 0;
  if (rest.host_.empty()) return refuse("holds no host");
  if (!is_port) return refuse("has a bad port");
  rest.options_ = std::move(options);
  return rest;
}

Result<std::string> ConnectRest::get(std::string_view what) { return ask(false, what); }

Result<std::string> ConnectRest::post(std::string_view what) { return ask(true, what); }

Result<std::string> ConnectRest::ask(bool post, std::string_view what) {
  const std::string where = fmt::format("connector {} at {}", options_.connector, options_.url);
  Answer answer;
  try {
    asio::io_context io(1);
    Request request{
        post ? http::verb::post : http::verb::get, host_, port_,
        fmt::format("{}/connectors/{}/{}", base_path_, percent_encoded(options_.connector), what),
        options_.answer_bytes_max};
    std::exception_ptr thrown;
    asio::co_spawn(io, exchange(std::move(request), answer),
                   [&thrown](std::exception_ptr exception) { thrown = std::move(exception); });
    io.run_for(options_.timeout);
    if (thrown) std::rethrow_exception(thrown);
  } catch (const std::exception& exception) {
    return fail(unreachable(fmt::format("{}: {}", where, exception.what())));
  }
  if (!answer.finished) {
    return fail(
        unreachable(fmt::format("{} gave no answer in {} ms", where, options_.timeout.count())));
  }
  if (answer.error) {
    return fail(unreachable(fmt::format("{}: {}", where, answer.error.message())));
  }
  if (answer.status >= 200 && answer.status < 300) return std::move(answer.body);
  const std::string text = error_text(answer.body);
  const std::string message =
      fmt::format("{} answered {}{}{}", where, answer.status, text.empty() ? "" : ": ", text);
  const bool transient = answer.status == 404 || answer.status == 409 || answer.status >= 500;
  if (transient) return fail(unreachable(message, std::to_string(answer.status)));
  return fail(Error{Reaction::Halt, message, ExitCode::Config, std::to_string(answer.status)});
}

Result<ConnectorStatus> ConnectRest::status() {
  LOCKSTEP_ASSIGN(const std::string body, get("status"));
  return parse_connector_status(body);
}

Status ConnectRest::restart_failed() {
  constexpr std::chrono::seconds kPause{30};
  const auto now = std::chrono::steady_clock::now();
  if (!options_.restart_failed || now < next_restart_) return {};
  next_restart_ = now + kPause;
  if (auto done = post(kRestart); !done) return fail(std::move(done).error());
  return {};
}

Result<std::map<std::string, std::string>> ConnectRest::config() {
  LOCKSTEP_ASSIGN(const std::string body, get("config"));
  return parse_connector_config(body);
}

Result<std::vector<ConnectorOffset>> ConnectRest::offsets() {
  LOCKSTEP_ASSIGN(const std::string body, get("offsets"));
  return parse_connector_offsets(body);
}

std::optional<ConnectorFault> connector_fault(const ConnectorStatus& status,
                                              const ConnectOptions& options) {
  const std::string address =
      fmt::format("{}/connectors/{}", options.url, percent_encoded(options.connector));
  const std::string restart =
      options.restart_failed
          ? "it is restarted every half a minute"
          : fmt::format("then restart it: curl -X POST '{}/{}'", address, kRestart);
  const auto failed = [&](const std::string& what, const std::string& cause) {
    return ConnectorFault{
        fmt::format("{} has FAILED: {}", what, cause.empty() ? "without a cause" : cause),
        fmt::format("{}; {}", remedy_of(cause), restart), true};
  };
  const std::string name = "connector " + options.connector;
  if (status.state == "FAILED") return failed(name, status.cause);
  if (status.state == "PAUSED" || status.state == "STOPPED")
    return ConnectorFault{fmt::format("{} is {}", name, status.state),
                          fmt::format("resume it: curl -X PUT '{}/resume'", address)};
  if (status.state != "RUNNING")
    return ConnectorFault{fmt::format("{} is {}", name, status.state), ""};
  for (const ConnectorStatus::Task& task : status.tasks) {
    const std::string what = fmt::format("task {} of {}", task.id, name);
    if (task.state == "FAILED") return failed(what, task.cause);
    if (task.state != "RUNNING")
      return ConnectorFault{fmt::format("{} is {}", what, task.state), ""};
  }
  if (status.tasks.empty()) return ConnectorFault{name + " has no task", ""};
  return std::nullopt;
}

Result<ConnectorStatus> parse_connector_status(std::string_view body) {
  error_code error;
  const json::value document = json::parse(body, error);
  if (error || !document.is_object()) return fail(unparsable("status"));
  const json::value* connector = document.as_object().if_contains("connector");
  const json::value* tasks = document.as_object().if_contains("tasks");
  if (connector == nullptr || !connector->is_object()) return fail(unparsable("status"));
  ConnectorStatus status;
  status.state = text_of(connector->as_object(), "state");
  status.cause = last_cause(text_of(connector->as_object(), "trace"));
  if (status.state.empty()) return fail(unparsable("status"));
  if (tasks == nullptr || !tasks->is_array()) return status;
  for (const json::value& task : tasks->as_array()) {
    if (!task.is_object()) return fail(unparsable("status"));
    const json::value* id = task.as_object().if_contains("id");
    status.tasks.push_back({id != nullptr && id->is_int64() ? id->as_int64() : 0,
                            text_of(task.as_object(), "state"),
                            last_cause(text_of(task.as_object(), "trace"))});
  }
  return status;
}

Result<std::map<std::string, std::string>> parse_connector_config(std::string_view body) {
  error_code error;
  const json::value document = json::parse(body, error);
  if (error || !document.is_object()) return fail(unparsable("settings"));
  std::map<std::string, std::string> settings;
  for (const auto& [name, value] : document.as_object()) {
    if (value.is_null()) continue;  // As good as not set.
    if (!value.is_string()) return fail(unparsable("settings"));
    settings.emplace(std::string(name), std::string(value.as_string()));
  }
  return settings;
}

Result<std::vector<ConnectorOffset>> parse_connector_offsets(std::string_view body) {
  error_code error;
  const json::value document = json::parse(body, error);
  if (error || !document.is_object()) return fail(unparsable("offsets"));
  const json::value* list = document.as_object().if_contains("offsets");
  if (list == nullptr || !list->is_array()) return fail(unparsable("offsets"));
  std::vector<ConnectorOffset> offsets;
  for (const json::value& entry : list->as_array()) {
    if (!entry.is_object()) return fail(unparsable("offsets"));
    const json::value* partition = entry.as_object().if_contains("partition");
    const json::value* offset = entry.as_object().if_contains("offset");
    if (partition == nullptr || !partition->is_object()) return fail(unparsable("offsets"));
    if (offset == nullptr || offset->is_null()) continue;  // Its offset was reset.
    if (!offset->is_object()) return fail(unparsable("offsets"));
    const json::object& at = offset->as_object();
    offsets.push_back({text_of(partition->as_object(), "server"), lsn_of(at, "lsn"),
                       lsn_of(at, "lsn_proc"), lsn_of(at, "lsn_commit")});
  }
  return offsets;
}

}  // namespace lockstep
