#include "pipeline/decode/debezium/debezium.h"

#include <fmt/core.h>

#include <algorithm>

#include "pipeline/decode/debezium/salvage.h"
#include "pipeline/decode/debezium/schema_part.h"
#include "pipeline/decode/debezium/topic_form.h"
#include "pipeline/model/key.h"

namespace lockstep {
namespace {

constexpr std::string_view kNotWhole = "not a whole JSON object in UTF-8";

std::string where(const Record& record) {
  return fmt::format("{}/{} offset {}", record.topic, record.partition, record.offset);
}

bool is_marker_topic(std::string_view topic) {
  return topic.starts_with("__debezium") || topic.ends_with(".transaction") ||
         topic.ends_with(".message");
}

// The event stays in its topic, whatever is put right.
constexpr std::string_view kKeyRemedy =
    "validate compares the connector's settings with what is wanted; once they are right, move "
    "this table by a migration of its own, with a topic prefix of its own";

std::string no_value(std::string_view column) {
  return fmt::format("the value of column {} is none of its type", column);
}

// What is wrong with a key that was read into `cells`.
std::string key_fault(const TableMap& table, const ReadOutcome& outcome, std::string_view cells) {
  std::string names;
  for (const std::size_t column : table.key)
    names += (names.empty() ? "" : ", ") + table.source_column(column).name;
  std::string wanted = "the table's key is " + names;
  switch (outcome.kind) {
    case ReadOutcome::Kind::UnknownColumn:
      return "column " + outcome.column + " is not in the table; " + wanted;
    case ReadOutcome::Kind::Refused:
      return "column " + outcome.column + " comes as another " + std::string(outcome.setting) +
             " gives it";
    case ReadOutcome::Kind::Broken:
      return "it is no JSON object, or names a column twice; " + wanted;
    case ReadOutcome::Kind::Cells:
      break;
  }
  if (!outcome.column.empty()) return no_value(outcome.column);
  CellReader reader(cells);
  for (const std::size_t column : table.key)
    if (reader.next().presence != Presence::Value)
      return "it says nothing of column " + table.source_column(column).name + "; " + wanted;
  return wanted;
}

Decoded stop(const TableDecoder& table, std::string message) {
  Decoded decoded;
  decoded.kind = Decoded::Kind::Stop;
  decoded.stop = {table.table().id,
                  Error{Reaction::StopTable, std::move(message), ExitCode::BadData, {}}};
  return decoded;
}

// Returns `row` with the cells of `key` in the places of the key columns; a row without cells
// counts as one that has none available.
std::string with_key(const TableMap& table, std::string_view key, std::string_view row) {
  std::vector<Cell> cells(table.columns.size(), Cell{Presence::Unavailable, {}});
  CellReader row_reader(row);
  for (std::size_t i = 0; !row_reader.done(); ++i) cells[i] = row_reader.next();
  CellReader key_reader(key);
  for (const std::size_t column : table.key) cells[column] = key_reader.next();
  std::string merged;
  for (const Cell& cell : cells) append_cell(merged, cell);
  return merged;
}

// Whether nothing is strange about it.
bool is_plain(const Result<Decoded>& decoded) {
  return decoded && decoded->kind != Decoded::Kind::Stop &&
         decoded->change.debt != DebtReason::Unreadable;
}

Decoded carried(Change change) {
  Decoded decoded;
  decoded.kind = Decoded::Kind::Change;
  decoded.change = std::move(change);
  return decoded;
}

}  // namespace

DebeziumDecoder::DebeziumDecoder(DecodeSettings settings,
                                 const std::vector<const TableMap*>& tables)
    : settings_(std::move(settings)) {
  for (const TableMap* table : tables) {
    tables_[table->id] = table;
    add_leaf(table->source.name, table->id);
    for (const TableName& leaf : table->source.leaves) add_leaf(leaf, table->id);
  }
}

void DebeziumDecoder::add_leaf(const TableName& leaf, TableId root) {
  const auto found = tables_.find(root);
  CHECK(found != tables_.end());
  const TableMap* const table = found->second;
  by_name_[leaf] = table;
  const auto [topic, fresh] = by_topic_.emplace(topic_form(leaf.text()), table);
  // Two tables in one topic: an event that does not say which is neither's.
  if (!fresh && topic->second != table) topic->second = nullptr;
  for (Stream& stream : streams_) stream.last_name = {};
}

TableDecoder* DebeziumDecoder::decoder_of(const TableMap& table) {
  std::unique_ptr<TableDecoder>& decoder = decoders_[table.id];
  if (!decoder) decoder = std::make_unique<TableDecoder>(table, settings_);
  return decoder.get();
}

void DebeziumDecoder::set_last_xid(StreamId stream, Xid xid) { stream_of(stream).last_xid = xid; }

DebeziumDecoder::Stream& DebeziumDecoder::stream_of(StreamId id) {
  if (streams_.size() <= id) streams_.resize(std::size_t{id} + 1);
  return streams_[id];
}

TableDecoder* DebeziumDecoder::find_table(Stream& stream, const Envelope& envelope) {
  if (envelope.table != stream.last_name.table || envelope.schema != stream.last_name.schema) {
    stream.last_name = {std::string(envelope.schema), std::string(envelope.table)};
    const auto found = by_name_.find(stream.last_name);
    stream.last = found == by_name_.end() ? nullptr : decoder_of(*found->second);
  }
  return stream.last;
}

TableDecoder* DebeziumDecoder::find_by_topic(std::string_view topic) {
  for (std::size_t dot = topic.find('.'); dot != std::string_view::npos;
       dot = topic.find('.', dot + 1)) {
    const auto found = by_topic_.find(topic.substr(dot + 1));
    if (found == by_topic_.end()) continue;
    return found->second == nullptr ? nullptr : decoder_of(*found->second);
  }
  return nullptr;
}

// A partition may be at rest for so long that the last xid of it says nothing of the next one. What
// is widened too high, and is not above the newest, is seen by every snapshot soon; what is widened
// too low is taken for seen by all (I4, I5, I7).  So of those that may be meant it is the largest.
Xid DebeziumDecoder::widen(Stream& stream, std::uint64_t tx_id) const {
  constexpr std::uint64_t kNarrowMax = 0xFFFFFFFF;
  constexpr std::uint64_t kTurn = kNarrowMax + 1;
  constexpr Xid kSinceProbe = Xid{1} << 28;  // More than are handed out between two probes.
  const Xid near = stream.last_xid != 0 ? stream.last_xid : newest_xid_;
  if (tx_id > kNarrowMax || near == 0) return tx_id;
  const Xid xid = widen_xid(static_cast<std::uint32_t>(tx_id), near);
  const Xid most = newest_xid_ + kSinceProbe;
  return xid > most ? xid : xid + (most - xid) / kTurn * kTurn;
}

Change DebeziumDecoder::start_change(const Record& record, const TableDecoder& table,
                                     const Envelope& envelope) {
  Change change;
  change.table = table.table().id;
  change.stream = record.stream;
  change.next = record.next;
  change.commit_us = envelope.commit_us;
  change.sequence = envelope.sequence;
  if (envelope.tx_id.has_value()) {
    Stream& stream = streams_[record.stream];
    change.xid = widen(stream, *envelope.tx_id);
    stream.last_xid = change.xid;
  }
  return change;
}

bool DebeziumDecoder::Stream::knows_schemas() const {
  return !value_prefix.empty() || !key_prefix.empty() || !header_prefix.empty();
}

void DebeziumDecoder::Stream::forget_schemas() {
  value_prefix.clear();
  key_prefix.clear();
  header_prefix.clear();
}

Result<Decoded> DebeziumDecoder::decode(const Record& record) {
  if (!record.value.has_value()) return Decoded{};  // A tombstone: its delete came before.
  Stream& stream = stream_of(record.stream);
  const bool knows_schemas = stream.knows_schemas();
  Result<Decoded> decoded = judge(record, stream);
  if (!knows_schemas || is_plain(decoded)) return decoded;
  // A known schema part is passed over unread: what is broken then may be called something else.
  // It is judged as if nothing had come before it.
  stream.forget_schemas();
  return judge(record, stream);
}

Result<Decoded> DebeziumDecoder::judge(const Record& record, Stream& stream) {
  const Opened opened = values_.open(*record.value, stream.value_prefix);
  Envelope envelope;
  if (opened == Opened::Broken || !read_envelope(values_.root(), envelope) || !values_.at_end()) {
    return broken(record, stream, kNotWhole);
  }
  if (envelope.op == 0 || !envelope.has_source) {
    // With its schema in front, what is broken may look like an object of other fields.
    if (!is_valid_json(*record.value)) return broken(record, stream, kNotWhole);
    if (envelope.op == 0 && !envelope.has_source && is_marker(values_.root())) return Decoded{};
    return fail(Reaction::Halt,
                where(record) +
                    ": not a Debezium envelope; remove transforms that unwrap events"
                    " (ExtractNewRecordState) from the connector");
  }
  constexpr std::string_view kOperations = "cudrtm";
  if (kOperations.find(envelope.op) == std::string_view::npos) {
    return fail(Reaction::Halt, where(record) + ": unknown operation in a Debezium event");
  }
  if (envelope.op == 'm') return Decoded{};
  TableDecoder* const table = find_table(stream, envelope);
  if (table == nullptr) {
    Decoded decoded;
    decoded.kind = Decoded::Kind::Ignored;
    return decoded;
  }
  if (opened == Opened::KnownSchema && stream.checked != table) {
    stream.forget_schemas();
    return judge(record, stream);
  }
  if (opened == Opened::NewSchema) {
    const Status checked = check_schema(table->table(), settings_, values_.schema());
    stream.checked = checked ? table : nullptr;
    if (!checked) return fail(Error(checked.error()).during(where(record)));
  }
  return decode_event(record, stream, envelope);
}

Result<Decoded> DebeziumDecoder::decode_event(const Record& record, Stream& stream,
                                              Envelope& envelope) {
  TableDecoder& table = *stream.last;
  if (envelope.op != 'r' && !envelope.tx_id.has_value()) {
    return fail(Reaction::Halt, where(record) + ": the event names no transaction (source.txId)");
  }
  if (envelope.op == 'c' || envelope.op == 'u') return decode_row(record, table, envelope);
  if (envelope.op == 'r') {
    // Its transaction, if it names one, is the connector's own.
    envelope.tx_id.reset();
    return decode_snapshot(record, table, start_change(record, table, envelope));
  }
  Change change = start_change(record, table, envelope);
  if (envelope.op == 'd') return decode_delete(record, table, std::move(change));
  change.kind = ChangeKind::Truncate;
  return carried(std::move(change));
}

// Reads the record's key into key_.
bool DebeziumDecoder::read_key(const Record& record, TableDecoder& table, Error& why) {
  key_.clear();
  if (table.table().key.empty()) return true;
  why.reaction = Reaction::StopTable;
  if (!record.key.has_value()) {
    why.message = where(record) + ": an event of " + table.table().text() + " has no key; " +
                  std::string(kKeyRemedy);
    return false;
  }
  Stream& stream = streams_[record.stream];
  ReadOutcome outcome;
  if (keys_.open(*record.key, stream.key_prefix) == Opened::Broken) {
    outcome.kind = ReadOutcome::Kind::Broken;
  } else {
    outcome = table.keys().read(keys_.root(), scratch_, key_);
    if (outcome.kind == ReadOutcome::Kind::Cells && !keys_.at_end())
      outcome.kind = ReadOutcome::Kind::Broken;
  }
  if (outcome.kind == ReadOutcome::Kind::Cells && well_formed_cells(key_, table.table().key.size()))
    return true;
  why.message = where(record) + ": the key of an event of " + table.table().text() +
                " cannot be read: " + key_fault(table.table(), outcome, key_) + "; " +
                std::string(kKeyRemedy);
  return false;
}

// Whether the header names a key that is canonically the record's own, which is in key_.
// Reads into other_key_.  Returns false when the header is not there or holds no key.
bool DebeziumDecoder::read_other_key(const Record& record, TableDecoder& table,
                                     const char* header) {
  if (record.header == nullptr || table.table().key.empty()) return false;
  const auto value = record.header(record.message, header);
  if (!value.has_value()) return false;
  if (headers_.open(*value, streams_[record.stream].header_prefix) == Opened::Broken) return false;
  other_key_.clear();
  const ReadOutcome outcome = table.keys().read(headers_.root(), scratch_, other_key_);
  return outcome.kind == ReadOutcome::Kind::Cells && headers_.at_end() &&
         well_formed_cells(other_key_, table.table().key.size());
}

bool DebeziumDecoder::is_other_key_the_same(const TableDecoder& table) const {
  return key_hash(table.table(), other_key_) == key_hash(table.table(), key_);
}

Result<Decoded> DebeziumDecoder::decode_row(const Record& record, TableDecoder& table,
                                            Envelope& envelope) {
  bool has_fields = false;
  if (!envelope.after.has_value() || envelope.after->reset().get(has_fields) != simdjson::SUCCESS) {
    return broken(record, streams_[record.stream], "no row in `after`");
  }
  Change change = start_change(record, table, envelope);
  change.row.reserve(row_bytes_);
  const ReadOutcome outcome = table.rows().read(*envelope.after, scratch_, change.row);
  switch (outcome.kind) {
    case ReadOutcome::Kind::Cells:
      break;
    case ReadOutcome::Kind::Broken:
      return broken(record, streams_[record.stream], "broken JSON in `after`");
    case ReadOutcome::Kind::UnknownColumn:
      // A part that is missing may have shifted what follows it.
      if (!is_valid_json(*record.value))
        return broken(record, streams_[record.stream], "broken JSON in `after`");
      return stop(table, where(record) + ": column " + outcome.column + " of " +
                             table.table().text() + " is not in the table as this run knows it");
    case ReadOutcome::Kind::Refused:
      return fail(
          refuse_setting(table.table(), outcome.column, outcome.setting).during(where(record)));
  }
  row_bytes_ = std::clamp<std::size_t>(change.row.size(), 64, 65536);
  Error why;
  if (!read_key(record, table, why)) return stop(table, std::move(why.message));
  change.key = key_hash(table.table(), key_);
  if (!extract_key(table.table(), change.row, row_key_)) {
    // A key cell that the row does not carry is in the record's key.
    change.row = with_key(table.table(), key_, change.row);
  } else if (row_key_ != key_ && key_hash(table.table(), row_key_) != change.key) {
    return stop(table, where(record) + ": the record's key is not the key of its row in " +
                           table.table().text());
  }
  change.kind = outcome.complete ? ChangeKind::Full : ChangeKind::Partial;
  change.debt = outcome.debt;
  // The placeholder of a new row stands for a value that was left under the old key, and went with
  // it.
  if (!outcome.complete && change.debt == DebtReason::None && envelope.op == 'c' &&
      !(read_other_key(record, table, "__debezium.oldkey") && is_other_key_the_same(table))) {
    change.debt = DebtReason::Doubtful;
  }
  if (change.debt != DebtReason::Unreadable) return carried(std::move(change));
  return unreadable(record, table, std::move(change), no_value(outcome.column));
}

Result<Decoded> DebeziumDecoder::decode_delete(const Record& record, TableDecoder& table,
                                               Change change) {
  Error why;
  if (!read_key(record, table, why)) return stop(table, std::move(why.message));
  if (table.table().key.empty()) {
    return stop(table, where(record) + ": a delete from " + table.table().text() +
                           ", which has no key, cannot be applied");
  }
  std::optional<Change> reread;
  if (read_other_key(record, table, "__debezium.newkey")) {
    reread = change;
    reread->kind = ChangeKind::Partial;
    reread->debt = DebtReason::Doubtful;
    reread->key = key_hash(table.table(), other_key_);
    reread->row = with_key(table.table(), other_key_, {});
    // One row under two spellings of its key: the `c` that follows is its update (I2).
    if (is_other_key_the_same(table)) return carried(*std::move(reread));
  }
  change.kind = ChangeKind::Delete;
  change.key = key_hash(table.table(), key_);
  change.row = key_;
  Decoded decoded = carried(std::move(change));
  decoded.reread = std::move(reread);
  return decoded;
}

Result<Decoded> DebeziumDecoder::decode_snapshot(const Record& record, TableDecoder& table,
                                                 Change change) {
  if (!settings_.snapshot_events_reread) {
    return fail(Reaction::Halt,
                where(record) + ": a snapshot event of " + table.table().text() +
                    "; set the connector's snapshot.mode to no_data, or `snapshot_events: reread`");
  }
  Error why;
  if (!read_key(record, table, why)) return stop(table, std::move(why.message));
  change.kind = ChangeKind::Partial;
  change.debt = DebtReason::Snapshot;
  change.key = key_hash(table.table(), key_);
  change.row = with_key(table.table(), key_, {});
  return carried(std::move(change));
}

Decoded DebeziumDecoder::unreadable(const Record& record, TableDecoder& table, Change change,
                                    std::string why) {
  change.debt = DebtReason::Unreadable;
  change.evidence = evidence_of(*record.value);
  change.detail = where(record) + ": " + table.table().text() + ": " + why;
  return carried(std::move(change));
}

// An event that is no event: its key says which row to read again.
Result<Decoded> DebeziumDecoder::broken(const Record& record, Stream& stream,
                                        std::string_view why) {
  TableDecoder* const table = find_by_topic(record.topic);
  if (table == nullptr) {
    if (is_marker_topic(record.topic)) return Decoded{};
    return fail(Reaction::Halt, where(record) + ": " + std::string(why) +
                                    ", and the topic's name is not that of one table");
  }
  Error unusable;
  if (table->table().key.empty() || !read_key(record, *table, unusable)) {
    return stop(*table, where(record) + ": " + std::string(why) + ", and no key can be read");
  }
  const Salvage found = salvage(*record.value);
  if (found.op == 't') {
    return stop(*table, where(record) + ": a TRUNCATE that cannot be read");
  }
  // Without it nobody can tell which snapshot of the row is newer than the event.
  if (found.tx_id == 0) {
    return stop(*table, where(record) + ": " + std::string(why) +
                            ", and the event's transaction cannot be told; move this table by a "
                            "migration of its own");
  }
  Change change;
  change.table = table->table().id;
  change.stream = record.stream;
  change.next = record.next;
  change.xid = stream.last_xid = widen(stream, found.tx_id);
  change.key = key_hash(table->table(), key_);
  change.kind = found.op == 'd' ? ChangeKind::Delete : ChangeKind::Partial;
  change.row = found.op == 'd' ? key_ : with_key(table->table(), key_, {});
  return unreadable(record, *table, std::move(change), std::string(why));
}

}  // namespace lockstep
