#include "connectors/postgres/source/stream.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "pipeline/apply/table_holds.h"

namespace lockstep {
namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;

std::unexpected<Error> halt(std::string message) {
  return fail(Reaction::Halt, std::move(message));
}

}  // namespace

PostgresStream::PostgresStream(PostgresStreamOptions options)
    : options_(std::move(options)),
      link_(options_.replication),
      control_(options_.control),
      decoder_({0, options_.start, 0, options_.catalog_lsn, options_.renewed}, options_.tables),
      flushed_(options_.start.major),
      heard_(options_.start.major) {}

// ---------------------------------------------------------------- beginning to stream

Status PostgresStream::open_control() {
  LOCKSTEP_TRY(control_.open());
  return same_source(control_, options_.replication.identity);
}

Status PostgresStream::connect() {
  LOCKSTEP_TRY(open_control());
  const std::string& slot = options_.replication.slot;
  LOCKSTEP_ASSIGN(const StreamFacts facts, read_stream_facts(control_, slot));
  LOCKSTEP_TRY(check_slot(facts));
  LOCKSTEP_TRY(check_not_awaited(facts));
  if (facts.slot.active) return wait_for_reader(facts);
  busy_since_.reset();
  LOCKSTEP_TRY(link_.start(decoder_.position().major));
  // Now the slot is ours and nobody else can move it: what it says holds.
  auto mine = read_stream_facts(control_, slot);
  const Status checked = mine ? check_slot(*mine) : Status(fail(mine.error()));
  if (!checked) {
    link_.close();
    return checked;
  }
  decoder_.restart();
  decoder_.set_near_xid(mine->next_xid);
  kept_bytes_ = mine->kept_bytes;
  look_next_ = steady_clock::now() + options_.look_every;
  return mind_limit();
}

// I16: the server forwards silently, so whoever has read from the slot since would cost us changes.
Status PostgresStream::check_slot(const StreamFacts& facts) {
  const std::string& name = options_.replication.slot;
  const Position at = decoder_.position();
  const char* const remedy = "begin the migration anew";
  if (!facts.slot.exists)
    return halt(fmt::format("slot {} is gone: changes since {} are lost to the stream; {}", name,
                            lsn_text(at.major), remedy));
  if (auto fault = slot_fault(facts.slot, facts.slot.database))
    return halt(
        fmt::format("slot {} {}: changes are lost to the stream; {}", name, *fault, remedy));
  if (auto fault = stream_fault(name, facts.slot, facts.insert_lsn, at.major))
    return halt(*fault + "; " + remedy);
  return {};
}

// Our walsender would count as a standby, and the application's commits would wait until the target
// has them: for ever when it is away.
Status PostgresStream::check_not_awaited(const StreamFacts& facts) {
  const std::string& names = facts.synchronous_standby_names;
  if (!is_synchronous(names, options_.replication.connection.application_name)) return {};
  link_.close();
  return fail(Reaction::Retry,
              fmt::format("source: synchronous_standby_names is '{}': commits of the application "
                          "would wait for this stream, so it is not read; name the standbys, as a "
                          "superuser: ALTER SYSTEM SET synchronous_standby_names",
                          names));
}

// A walsender of an older process of this migration may not have noticed yet that nobody listens.
Status PostgresStream::wait_for_reader(const StreamFacts& facts) {
  const auto now = steady_clock::now();
  if (!busy_since_) busy_since_ = now;
  const int pid = facts.slot.active_pid;
  const bool ours = facts.reader == options_.replication.connection.application_name;
  // Not being allowed to leaves us waiting, as for anybody else's.
  if (ours && now - *busy_since_ >= options_.patience) [[maybe_unused]]
    const Status ended = end_reader(control_, pid);
  return fail(Error{Reaction::Retry,
                    fmt::format("slot {} is in use by pid {}{}: waiting until it lets go",
                                options_.replication.slot, pid,
                                facts.reader.empty() ? "" : " (" + facts.reader + ")"),
                    ExitCode::Unreachable, "55006"});
}

// ---------------------------------------------------------------- reading

Polled PostgresStream::poll(milliseconds deadline) {
  const MutexLock lock(link_mutex_);
  Polled polled;
  polled.error = poll_link(polled.batch, deadline);
  polled.state = state();
  return polled;
}

Status PostgresStream::poll_link(ChangeBatch& batch, milliseconds deadline) {
  const Deadline until = steady_clock::now() + deadline;
  if (halted_) return fail(*halted_);
  if (held_back()) {
    LOCKSTEP_TRY(look());
    options_.exported->await_end(deadline);
    return {};
  }
  if (!link_.streams()) LOCKSTEP_TRY(connect());
  Status status = read(batch, until);
  if (!status && status.error().reaction != Reaction::Retry) return status;
  // What was decoded is handed on, a lost link or not.
  const Position position = decoder_.position();
  if (position != told_) batch.watermarks.push_back({0, position});
  told_ = position;
  heard_ = position.major;
  {
    const MutexLock received_lock(received_mutex_);
    received_ = position.major;
  }
  LOCKSTEP_TRY(std::move(status));
  LOCKSTEP_TRY(look());
  return tell_if_due();
}

Status PostgresStream::read(ChangeBatch& batch, Deadline until) {
  std::size_t bytes = 0;
  std::size_t counted = 0;
  while (batch.stops.empty() && counted < options_.batch_changes_max &&
         bytes < options_.batch_bytes_max) {
    // Only the first change is waited for.
    LOCKSTEP_ASSIGN(const auto message, link_.next(batch.changes.empty() ? until : Deadline()));
    if (!message) return {};
    LOCKSTEP_TRY(take(*message, batch));
    for (; counted < batch.changes.size(); ++counted) bytes += batch.changes[counted].bytes();
    // A transaction may be full of what is not ours.
    if (batch.changes.empty() && steady_clock::now() >= until) return {};
  }
  return {};
}

Status PostgresStream::take(const ReplicationMessage& message, ChangeBatch& batch) {
  if (!message.body.empty()) return decoder_.decode(message.body, batch);
  decoder_.pass(message.sent);
  if (!message.wants_answer) return {};
  return link_.tell(heard_, flushed_);
}

// Now and then.  Never Retry: a source that is away is noticed by the link.
Status PostgresStream::look() {
  const auto now = steady_clock::now();
  if (now < look_next_) return {};
  look_next_ = now + options_.look_every;
  if (const Status opened = open_control(); !opened)
    return opened.error().reaction == Reaction::Retry ? Status() : opened;
  const auto facts = read_stream_facts(control_, options_.replication.slot);
  if (!facts) return {};
  if (!link_.streams())
    LOCKSTEP_TRY(check_slot(*facts));  // Nobody else looks while it is held back.
  if (link_.streams() && !check_not_awaited(*facts)) return {};  // connect() says so.
  kept_bytes_ = facts->kept_bytes;
  decoder_.set_near_xid(facts->next_xid);  // Many may pass that are none of ours.
  return mind_limit();
}

Status PostgresStream::mind_limit() {
  const WalLimit& limit = options_.wal_limit;
  if (!over_limit() || limit.then == WalAction::Warn) return {};
  const std::string& slot = options_.replication.slot;
  const std::string what = fmt::format(
      "the source keeps {} MiB of its log for slot {}, more than source.wal_limit allows",
      kept_bytes_ >> 20, slot);
  if (limit.then == WalAction::Stop)
    return halt(what + "; the slot stays: raise the limit, or begin the migration anew");
  const auto reader = link_.streams() ? std::optional(link_.server_pid()) : std::nullopt;
  if (const Status dropped = drop_slot(control_, slot, reader); !dropped)
    // What was polled meanwhile is handed on; the next look tries again.
    return dropped.error().reaction == Reaction::Retry ? Status() : dropped;
  link_.close();
  return halt(what + "; the slot was dropped, as it says: begin the migration anew");
}

bool PostgresStream::over_limit() const {
  return options_.wal_limit.mb != 0 && kept_bytes_ >> 20 > options_.wal_limit.mb;
}

// ---------------------------------------------------------------- telling

Status PostgresStream::acknowledge(StreamId stream, Position position) {
  CHECK(stream == 0);
  const MutexLock lock(link_mutex_);
  // In the middle of a transaction `major` is where its commit starts: it is sent again as a whole.
  flushed_ = std::max(flushed_, position.major);
  // A server that is away hears it after the next connect.
  const Status told = link_.tell(heard_, flushed_);
  return told || told.error().reaction == Reaction::Retry ? Status() : told;
}

Status PostgresStream::tell_if_due() {
  if (steady_clock::now() - link_.last_told() < options_.tell_every) return {};
  const Status told = link_.tell(heard_, flushed_);
  // The batch in hand is good; the next poll connects again.
  return told || told.error().reaction == Reaction::Retry ? Status() : told;
}

void PostgresStream::keep_alive() {
  while (!over_.drained()) {
    over_.take(1, options_.tell_every);
    const MutexLock lock(link_mutex_);
    [[maybe_unused]] const Status told = tell_if_due();  // A lost link is the next poll's concern.
    if (halted_) continue;
    if (const Status looked = look(); !looked) halted_ = looked.error();
  }
}

// ---------------------------------------------------------------- the rest of the port

Status PostgresStream::pause_table(TableId) { return {}; }

std::vector<std::string> PostgresStream::streams_of(TableId table) const {
  for (const TableMap* map : options_.tables)
    if (map->id == table) return {own_stream(kDirectStream, *map)};
  return {};
}

SourceState PostgresStream::state() const {
  using Kind = SourceState::Kind;
  const Kind kind = held_back() ? Kind::HeldBack : link_.streams() ? Kind::Streaming : Kind::Away;
  const char* const what = kind == Kind::HeldBack    ? "held back until every table is copied"
                           : kind == Kind::Streaming ? "streaming"
                                                     : "not connected";
  return {kind, fmt::format("{}; the source keeps {} MiB of its log for slot {}{}", what,
                            kept_bytes_ >> 20, options_.replication.slot,
                            over_limit() ? ", more than source.wal_limit allows" : "")};
}

Lsn PostgresStream::received() const {
  const MutexLock lock(received_mutex_);
  return received_;
}

Result<StreamProof::Answer> PostgresStreamProof::reached(Lsn lsn) {
  Answer answer;
  const Lsn received = stream_.received();
  if (received < lsn) {
    answer.waiting_for = fmt::format("the replication stream, which is at {}, to reach {}",
                                     lsn_text(received), lsn_text(lsn));
    return answer;
  }
  answer.reached = answer.exact = true;
  answer.ends = {{kDirectStream, Position{lsn, 0}}};
  return answer;
}

}  // namespace lockstep
