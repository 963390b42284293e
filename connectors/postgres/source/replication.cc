#include "connectors/postgres/source/replication.h"

#include <fmt/chrono.h>
#include <fmt/format.h>
#include <poll.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <utility>

#include "pipeline/decode/pgoutput/pgoutput.h"
#include "pipeline/model/row.h"
#include "pipeline/model/table.h"
#include "pipeline/tables/translate.h"

namespace lockstep {
namespace {

using std::chrono::steady_clock;

constexpr std::size_t kDataHeader = 25;  // 'w', start, end, time.
constexpr const char* kNoSuchObject = "42704";
constexpr const char* kUntranslatable = "22P05";  // A character without an equivalent.
constexpr std::size_t kKeepalive = 18;            // 'k', end, time, whether an answer is wanted.

}  // namespace

// Version 1: a transaction comes whole, when it is committed, so nothing is ever taken back.
std::string replication_command(const std::string& slot, const std::string& publication, Lsn from) {
  return fmt::format(
      "START_REPLICATION SLOT {} LOGICAL {} (proto_version '1', publication_names {}, "
      "binary 'true', messages 'true')",
      quote_identifier(slot), lsn_text(from), quote_literal(quote_identifier(publication)));
}

ReplicationLink::ReplicationLink(ReplicationOptions options)
    : slot_(std::move(options.slot)),
      publication_(std::move(options.publication)),
      identity_(std::move(options.identity)),
      connection_(for_replication(std::move(options.connection))) {}

void BrokenStreams::connected(const std::string& server) {
  if (server != server_) *this = {};
  server_ = server;
}

void BrokenStreams::broke_off(Time now) {
  constexpr std::chrono::seconds kSoon{30};
  constexpr std::chrono::seconds kFirstWait{10};
  constexpr std::chrono::seconds kLastWait{600};
  constexpr unsigned kFree = 3;
  constexpr unsigned kDoublings = 6;
  if (now - begun_ > kSoon) count_ = 0;
  if (++count_ < kFree) return;
  next_ = now + std::min(kFirstWait * (1U << std::min(count_ - kFree, kDoublings)), kLastWait);
}

Status ReplicationLink::wait_for_crashes() const {
  const auto now = steady_clock::now();
  if (now >= broken_.next()) return {};
  const auto at = std::chrono::system_clock::now() + (broken_.next() - now);
  return fail(
      Reaction::Retry,
      fmt::format(
          "source: {} streams in a row broke off without a word soon after they began; the "
          "next is begun at {:%H:%M:%S}Z. Look in the source's log whether a server process "
          "was \"terminated by signal\": what it decodes makes it crash, and all sessions "
          "with it. Then stop lockstep, and drop its slot",
          broken_.count(), std::chrono::floor<std::chrono::seconds>(at)),
      ExitCode::Unreachable);
}

Status ReplicationLink::start(Lsn from) {
  close();
  const Status begun = begin(from);
  if (!begun) {
    close();
    return begun;
  }
  streams_ = true;
  broken_.began(steady_clock::now());
  last_told_ = {};
  return {};
}

Status ReplicationLink::connect() {
  LOCKSTEP_TRY(connection_.open());
  // Each connection may lead to another server.
  LOCKSTEP_TRY(same_source(connection_, identity_));
  const auto since = connection_.run("SELECT pg_postmaster_start_time()");
  if (!since) return fail(for_server(since.error()));
  broken_.connected(text_field(*since, 0, 0));
  return {};
}

Status ReplicationLink::begin(Lsn from) {
  LOCKSTEP_TRY(connect());
  LOCKSTEP_TRY(wait_for_crashes());
  auto started = connection_.run(replication_command(slot_, publication_, from));
  if (!started) return fail(for_server(std::move(started).error()));
  if (PQresultStatus(started->get()) != PGRES_COPY_BOTH)
    return fail(Reaction::Halt,
                "the source does not answer START_REPLICATION as a server of PostgreSQL: connect "
                "to the server itself, not to a proxy");
  return {};
}

void ReplicationLink::close() {
  streams_ = false;
  bytes_.reset();
  connection_.close();
}

Error ReplicationLink::lost() { return end_with(for_server(connection_.error_of(nullptr))); }

// A server that ends a stream by itself says why.
Error ReplicationLink::end_with(Error error) {
  if (streams_ && error.code.empty()) broken_.broke_off(steady_clock::now());
  close();
  return error;
}

Error DecodingFaults::judge(Error error, Time now) {
  constexpr std::chrono::minutes kBearable{1};
  if (now - last_ > kBearable) first_ = now;
  last_ = now;
  if (now - first_ >= kBearable) {
    error.message += "; it stays, though asked again for a minute: begin the migration anew";
    return error;
  }
  error.reaction = Reaction::Retry;
  error.exit = ExitCode::Unreachable;
  return error;
}

// The server has ended the stream: with an error, as a rule.
Error ReplicationLink::why_ended() {
  Error error{Reaction::Retry, "source: the server ended the stream", ExitCode::Unreachable, {}};
  while (connection_.is_open()) {
    PGresult* const result = PQgetResult(connection_.raw());
    if (result == nullptr) break;
    auto checked = connection_.check(result);
    if (checked) continue;
    error = for_server(std::move(checked).error());
    if (error.code.starts_with("XX"))
      error = faults_.judge(std::move(error), std::chrono::steady_clock::now());
    if (error.code == kUntranslatable)
      error.message +=
          "; the text stays in the log, also when its table is left out: begin the migration anew "
          "from a database in UTF8, or once no text has such a character";
    // The catalogs are read as of the log: made again, it is still missing where it was.
    if (error.code == kNoSuchObject)
      error.message += fmt::format(
          "; where publication {} was dropped the stream ends for good: begin the migration anew",
          publication_);
    break;
  }
  return end_with(std::move(error));
}

Result<std::optional<ReplicationMessage>> ReplicationLink::next(Deadline until) {
  // Bytes may lie decrypted inside libpq while the socket has none: read before waiting.
  bool read = false;
  for (;;) {
    if (!streams_) return fail(Reaction::Retry, "source: the stream is not connected");
    char* raw = nullptr;
    const int length = PQgetCopyData(connection_.raw(), &raw, 1);
    bytes_.reset(raw);
    if (length > 0) return parse({raw, static_cast<std::size_t>(length)});
    if (length == -1) return fail(why_ended());
    if (length < -1) return fail(lost());
    if (read) {
      LOCKSTEP_ASSIGN(const bool readable, wait(until));
      if (!readable) return std::optional<ReplicationMessage>();
    }
    if (PQconsumeInput(connection_.raw()) == 0) return fail(lost());
    read = true;
  }
}

Result<std::optional<ReplicationMessage>> ReplicationLink::parse(std::string_view message) {
  ReplicationMessage found;
  if (message[0] == 'w' && message.size() > kDataHeader) {
    found.body = message.substr(kDataHeader);
    return std::optional(found);
  }
  if (message[0] == 'k' && message.size() == kKeepalive) {
    found.sent = read_be64(message.substr(1));
    found.wants_answer = message.back() != '\0';
    return std::optional(found);
  }
  close();
  return fail(Reaction::Halt, "the source sent an unknown message of the replication protocol");
}

Result<bool> ReplicationLink::wait(Deadline until) {
  pollfd socket{PQsocket(connection_.raw()), POLLIN, 0};
  const auto left = std::chrono::ceil<std::chrono::milliseconds>(until - steady_clock::now());
  const int ready = ::poll(&socket, 1, static_cast<int>(std::max<std::int64_t>(left.count(), 0)));
  if (ready < 0 && errno != EINTR) return fail(lost());
  return ready > 0;
}

Status ReplicationLink::tell(Lsn received, Lsn flushed) {
  if (!streams_) return {};
  const auto now = std::chrono::duration_cast<std::chrono::microseconds>(
      std::chrono::system_clock::now().time_since_epoch());
  std::string message = "r";
  append_be64(message, received);
  append_be64(message, flushed);
  append_be64(message, flushed);  // Applied.
  append_be64(message, static_cast<std::uint64_t>(now.count() - kPostgresEpochUs));
  message += '\0';  // No answer is wanted.
  const bool sent =
      PQputCopyData(connection_.raw(), message.data(), static_cast<int>(message.size())) == 1 &&
      PQflush(connection_.raw()) == 0;
  if (!sent) return fail(lost());
  last_told_ = steady_clock::now();
  return {};
}

}  // namespace lockstep
