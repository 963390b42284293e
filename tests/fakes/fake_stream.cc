#include "tests/fakes/fake_stream.h"

#include <fmt/format.h>

#include <algorithm>
#include <numeric>

#include "pipeline/apply/table_holds.h"
#include "pipeline/base/rules.h"

namespace lockstep {
namespace {

constexpr std::uint64_t kTransactionEnd = 1'000'000;  // Behind every ordinal.

// Of one row that got another key there is an event under each.
bool changes_key(const SourceChange& change) {
  return change.events.size() == 2 && change.events[0].kind == ChangeKind::Delete &&
         change.events[0].key != change.events[1].key;
}

}  // namespace

StreamLog::StreamLog(StreamMode mode, const FakeSource& source,
                     std::vector<std::uint32_t> partitions)
    : mode_(mode), source_(source), partitions_(std::move(partitions)) {
  if (mode_ == StreamMode::Direct) {
    names_ = {"wal"};
  } else {
    for (TableId table = 0; table < partitions_.size(); ++table) {
      first_.push_back(static_cast<StreamId>(names_.size()));
      for (std::uint32_t i = 0; i < partitions_[table]; ++i)
        names_.push_back(fmt::format("t{}/{}", table, i));
    }
  }
  streams_.resize(names_.size());
}

StreamId StreamLog::stream_of(const Change& change) const {
  if (mode_ == StreamMode::Direct) return 0;
  if (change.kind == ChangeKind::Truncate) return first_[change.table];
  // Kafka hashes the key's bytes on the wire.
  const std::string_view wire = change.row;
  const std::string_view key = wire.substr(0, 4 + read_be32(wire));
  return first_[change.table] +
         static_cast<StreamId>(hash128(key, 7).low % partitions_[change.table]);
}

// With the old key's half comes, from its partition, that the row under the new key is to be read
// again, as the decoder makes of the event's header: the connector may never tell the other half.
void StreamLog::owe_other_half(const Change& other, Record& half) const {
  const TableMap& map = source_.map(other.table);
  Change owed = half.events.back();
  owed.kind = ChangeKind::Partial;
  owed.debt = DebtReason::Doubtful;
  owed.key = other.key;
  owed.row = row_cells(map, read_row(map, other.row).row, {false, false, false});
  half.events.push_back(std::move(owed));
}

void StreamLog::append(const LoggedTransaction& transaction, Position before, bool offset_hole) {
  if (fault_ == StreamFault::StopEarly) return;
  std::vector<SourceChange> changes = transaction.changes;
  if (fault_ == StreamFault::SkipTransaction) changes.clear();
  if (fault_ == StreamFault::Reorder) std::ranges::reverse(changes);
  std::uint64_t ordinal = 0;
  for (const SourceChange& change : changes) {
    ++ordinal;
    for (const Change& event : change.events) {
      const StreamId id = stream_of(event);
      Stream& stream = streams_[id];
      Change copy = event;
      copy.stream = id;
      if (mode_ == StreamMode::Kafka) {
        stream.end.major += 1;
        copy.sequence = {before.major, change.lsn};
      } else {
        stream.end = {transaction.commit_lsn, ordinal};
        copy.sequence = {0, transaction.commit_lsn};
      }
      copy.next = stream.end;
      const bool same = !stream.records.empty() && stream.records.back().next == copy.next;
      if (same && fault_ == StreamFault::DropAtSharedPosition) continue;
      if (!same) stream.records.push_back({copy.next, {}});
      stream.records.back().events.push_back(std::move(copy));
      if (mode_ == StreamMode::Kafka && &event == &change.events.front() && changes_key(change))
        owe_other_half(change.events.back(), stream.records.back());
    }
  }
  if (mode_ == StreamMode::Direct) streams_[0].end = {transaction.commit_lsn, kTransactionEnd};
  if (mode_ == StreamMode::Kafka && offset_hole)
    for (Stream& stream : streams_) stream.end.major += 1;
}

bool StreamLog::decode(bool offset_hole) {
  const auto& log = source_.log();
  if (decoded_ >= log.size() || log[decoded_].commit_lsn > source_.flush_lsn()) return false;
  // Of the first transaction after its start the connector does not say what it follows.
  const Lsn before = decoded_ == 0 ? 0 : log[decoded_ - 1].commit_lsn;
  append(log[decoded_], {before, 0}, offset_hole);
  ++decoded_;
  return true;
}

void StreamLog::repeat(std::size_t transactions) {
  CHECK(mode_ == StreamMode::Kafka);
  const auto& log = source_.log();
  const std::size_t from = decoded_ - std::min(decoded_, transactions);
  for (std::size_t i = std::max(from, confirmed_); i < decoded_; ++i)
    append(log[i], {i == 0 ? 1 : log[i - 1].commit_lsn, 0}, false);
}

void StreamLog::emit_reread(TableId table, int id) {
  CHECK(mode_ == StreamMode::Kafka);
  const TableMap& map = source_.map(table);
  FakeRow row;
  row.id = id;
  Change change;
  change.table = table;
  change.kind = ChangeKind::Partial;
  change.debt = DebtReason::Snapshot;
  change.row = row_cells(map, row, {false, false, false});
  change.key = key_hash(map, key_cells(map, id, 0));
  const StreamId stream = stream_of(change);
  streams_[stream].end.major += 1;
  change.stream = stream;
  change.next = streams_[stream].end;
  streams_[stream].records.push_back({change.next, {change}});
}

bool StreamLog::confirm(Lsn lsn) {
  const auto& log = source_.log();
  if (decoded_ < log.size() && log[decoded_].commit_lsn <= lsn) return false;
  confirmed_ = decoded_;
  return true;
}

Result<StreamProof::Answer> FakeProof::reached(Lsn lsn) {
  chaos_.interleave("proof");
  if (chaos_.killed()) return killed_process();
  const Fate fate = chaos_.fate("proof");
  if (fate == Fate::LostBefore || fate == Fate::LostAfter) return lost_connection();
  Answer answer;
  answer.exact = true;
  answer.reached = log_.confirm(lsn);
  if (!answer.reached) return answer;
  for (StreamId id = 0; id < log_.names().size(); ++id)
    answer.ends.emplace_back(log_.names()[id], log_.end(id));
  return answer;
}

Snapshot StreamLog::snapshot() const {
  std::set<Xid> decoded;
  for (std::size_t i = 0; i < decoded_; ++i) decoded.insert(source_.log()[i].xid);
  Snapshot snapshot;
  snapshot.xmax = decoded.empty() ? source_.first_xid() : *decoded.rbegin() + 1;
  for (Xid xid = source_.first_xid(); xid < snapshot.xmax; ++xid)
    if (!decoded.contains(xid)) snapshot.running.push_back(xid);
  snapshot.xmin = snapshot.running.empty() ? snapshot.xmax : snapshot.running.front();
  return snapshot;
}

bool StreamLog::decoded_all() const { return decoded_ == source_.log().size(); }

std::set<StreamId> StreamLog::streams_of(TableId table) const {
  if (mode_ == StreamMode::Direct) return {0};
  std::set<StreamId> streams;
  for (std::uint32_t i = 0; i < partitions_[table]; ++i) streams.insert(first_[table] + i);
  return streams;
}

FakeStream::FakeStream(const StreamLog& log, Chaos& chaos, Random& random,
                       const std::vector<Position>& start, const FakeExport* exported)
    : log_(log),
      chaos_(chaos),
      random_(random),
      exported_(exported),
      acknowledged_(start),
      told_(start.size()) {
  for (StreamId stream = 0; stream < start.size(); ++stream) {
    const auto& records = log_.records(stream);
    const auto behind = std::ranges::find_if(
        records, [&](const StreamLog::Record& record) { return record.next > start[stream]; });
    next_.push_back(static_cast<std::size_t>(behind - records.begin()));
  }
}

// A connection may be lost before anything was read, or after that.
Polled FakeStream::poll(std::chrono::milliseconds) {
  using Kind = SourceState::Kind;
  chaos_.interleave("poll");
  Polled polled;
  polled.error = killed_process();
  if (chaos_.killed()) return polled;
  const Fate fate = chaos_.fate("poll");
  polled.error = {};
  polled.state = {held() ? Kind::HeldBack : Kind::Streaming, "streaming"};
  if (fate != Fate::LostBefore && !held()) read(polled.batch);
  if (fate == Fate::Work) return polled;
  polled.state = {Kind::Away, "not connected"};
  polled.error = chaos_.killed() ? Status(killed_process()) : Status(lost_connection());
  return polled;
}

void FakeStream::read(ChangeBatch& batch) {
  std::vector<StreamId> order(next_.size());
  std::iota(order.begin(), order.end(), StreamId{0});
  for (std::size_t i = order.size(); i > 1; --i) std::swap(order[i - 1], order[random_.below(i)]);
  for (const StreamId stream : order) {
    if (halted_.contains(stream)) continue;
    const auto& records = log_.records(stream);
    if (log_.fault() == StreamFault::AdvanceOnKeepalive) next_[stream] = records.size();
    for (std::size_t taken = random_.below(burst_ + 1); taken > 0; --taken) {
      if (next_[stream] == records.size() || stops(stream, batch)) break;
      const StreamLog::Record& record = records[next_[stream]++];
      for (const Change& event : record.events)
        if (!paused(event)) batch.changes.push_back(event);
    }
    // A partition's end, as librdkafka reports it; of a slot, the end of a transaction.
    const bool at_end = next_[stream] == records.size() && !halted_.contains(stream);
    if (!at_end || (told_[stream] == log_.end(stream) && !random_.chance(200))) continue;
    told_[stream] = log_.end(stream);
    batch.watermarks.push_back({stream, told_[stream]});
  }
}

// The event cannot be decoded: the table stops in front of it.
bool FakeStream::stops(StreamId stream, ChangeBatch& batch) {
  const StreamLog::Record& record = log_.records(stream)[next_[stream]];
  const TableId table = record.events.front().table;
  if (breaks_ != table || paused_.contains(table)) return false;
  breaks_.reset();
  batch.stops.push_back({table, {Reaction::StopTable, "an event cannot be decoded", {}, {}}});
  leave_out(table);
  return true;
}

void FakeStream::leave_out(TableId table) {
  paused_.insert(table);
  if (log_.mode() == StreamMode::Kafka) halted_.merge(log_.streams_of(table));
}

// The slot is one for all tables: its changes go on to come, and the lanes leave them out.
Status FakeStream::pause_table(TableId table) {
  if (log_.mode() == StreamMode::Kafka) leave_out(table);
  return {};
}

std::vector<std::string> FakeStream::streams_of(TableId table) const {
  if (log_.mode() == StreamMode::Direct) return {own_stream(log_.names()[0], log_.map(table))};
  std::vector<std::string> names;
  for (const StreamId stream : log_.streams_of(table)) names.push_back(log_.names()[stream]);
  return names;
}

Status FakeStream::acknowledge(StreamId stream, Position position) {
  CHECK(position >= acknowledged_[stream]);
  acknowledged_[stream] = position;
  return {};
}

bool FakeStream::held() const {
  return exported_ != nullptr && exported_->held && rule_on(Rule::HoldStream);
}

}  // namespace lockstep
