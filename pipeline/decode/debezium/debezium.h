// DebeziumDecoder: a Kafka record of a Debezium topic -> a Change.
//
//   kafka_source --Record--> DebeziumDecoder --Change--> route
//
// A value that an event does not carry exactly is never guessed (W1): its cell is unavailable and
// the change carries a debt (I17).
// Pure: no I/O, no clock.
#pragma once

#include <algorithm>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "pipeline/decode/debezium/envelope.h"
#include "pipeline/decode/debezium/message.h"
#include "pipeline/decode/debezium/settings.h"
#include "pipeline/decode/debezium/table_decoder.h"
#include "pipeline/model/change.h"
#include "pipeline/ports/source.h"

namespace lockstep {

// A record as the broker delivered it.  Borrows everything.
struct Record {
  std::string_view topic;
  std::int32_t partition = 0;
  std::int64_t offset = 0;
  std::optional<std::string_view> key;
  std::optional<std::string_view> value;
  StreamId stream = 0;
  Position next;
  // Looks up a header by name in `message`; asked for events that may belong to a key change only.
  std::optional<std::string_view> (*header)(const void* message, const char* name) = nullptr;
  const void* message = nullptr;
};

struct Decoded {
  enum class Kind : std::uint8_t {
    Nothing,  // A tombstone, heartbeat, transaction marker or message.
    Change,
    Stop,     // The table cannot go on from here (StopTable).
    Ignored,  // A table that is not mapped.
  };
  Kind kind = Kind::Nothing;
  Change change;
  // Of half of a key change: the row under its new key is to be read again, unless the other half
  // comes.  Both halves have one position in the connector's log, so that a connector which is
  // killed between them goes on behind both.
  std::optional<Change> reread;
  ChangeBatch::Stop stop;
};

// Source thread only.
//
// Invariant: a Change of kind Partial has all its key cells, even if it has no other; a Delete has
// the key cells and nothing else.
class DebeziumDecoder {
 public:
  // `tables` must outlive the decoder.  Leaves of partitioned tables stand for their roots; events
  // of leaves that are attached later need add_leaf().
  DebeziumDecoder(DecodeSettings settings, const std::vector<const TableMap*>& tables);

  // Lets events of `leaf` be changes of `root`.  REQUIRES: `root` is the id of a table.
  void add_leaf(const TableName& leaf, TableId root);

  // The widened xid that 32-bit ones of `stream` are next to: from its progress, or from a probe.
  void set_last_xid(StreamId stream, Xid xid);
  // About how many xids the source has handed out by now; 0, or less than before: nothing new.
  void set_newest_xid(Xid xid) { newest_xid_ = std::max(newest_xid_, xid); }

  // Halt: I16, or a connector setting that is refused (W1).
  Result<Decoded> decode(const Record& record);

 private:
  // What is remembered of one stream (partition).
  struct Stream {
    std::string value_prefix;
    std::string key_prefix;
    std::string header_prefix;
    Xid last_xid = 0;
    TableName last_name;                    // Of the last event's source,
    TableDecoder* last = nullptr;           // and its table; null: not mapped.
    const TableDecoder* checked = nullptr;  // Whose columns the last schema part was checked for.

    // Whether a schema part is known, so that the next one is read no more.
    bool knows_schemas() const;
    void forget_schemas();
  };

  Result<Decoded> judge(const Record& record, Stream& stream);
  Result<Decoded> decode_event(const Record& record, Stream& stream, Envelope& envelope);
  Result<Decoded> decode_row(const Record& record, TableDecoder& table, Envelope& envelope);
  Result<Decoded> decode_delete(const Record& record, TableDecoder& table, Change change);
  Result<Decoded> decode_snapshot(const Record& record, TableDecoder& table, Change change);
  Result<Decoded> broken(const Record& record, Stream& stream, std::string_view why);
  Decoded unreadable(const Record& record, TableDecoder& table, Change change, std::string why);

  Stream& stream_of(StreamId id);
  TableDecoder* find_table(Stream& stream, const Envelope& envelope);
  TableDecoder* find_by_topic(std::string_view topic);
  TableDecoder* decoder_of(const TableMap& table);
  Change start_change(const Record& record, const TableDecoder& table, const Envelope& envelope);
  Xid widen(Stream& stream, std::uint64_t tx_id) const;
  bool read_key(const Record& record, TableDecoder& table, Error& why);
  bool read_other_key(const Record& record, TableDecoder& table, const char* header);
  bool is_other_key_the_same(const TableDecoder& table) const;

  const DecodeSettings settings_;
  std::map<TableId, const TableMap*> tables_;
  std::map<TableName, const TableMap*> by_name_;
  // "public.orders", sanitised; null where two tables have one.
  std::map<std::string, const TableMap*, std::less<>> by_topic_;
  // Made when the first event comes: most of thousands of tables are quiet.
  std::map<TableId, std::unique_ptr<TableDecoder>> decoders_;
  std::vector<Stream> streams_;
  Xid newest_xid_ = 0;
  MessageReader values_;
  MessageReader keys_;
  MessageReader headers_;
  CodecScratch scratch_;
  std::string key_;              // Key cells of the record being read.
  std::string row_key_;          // Key cells of its row.
  std::string other_key_;        // Key cells of a header.
  std::size_t row_bytes_ = 256;  // Of the last row: what the next one reserves.
};

}  // namespace lockstep
