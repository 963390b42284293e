// DirectDecoder: messages of the source's own replication stream -> Changes.
//
//   source/stream --message--> DirectDecoder --Changes, position--> route
//
// Values are in the binary form that a scan reads, byte for byte; what a column's plane cannot take
// as it comes is never guessed: its cell is unavailable and the change carries a debt (I17).
// Pure: no I/O, no clock.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "pipeline/decode/pgoutput/pgoutput.h"
#include "pipeline/model/change.h"
#include "pipeline/ports/source.h"

namespace lockstep {

struct DirectOptions {
  StreamId stream = 0;
  // Everything before it was dealt with before: such changes come again and are passed over.
  Position start;
  // The widened xid that the stream's 32-bit ones are next to.
  Xid near_xid = 0;
  // The tables' specs were read after it.  Rows that were committed before may have other columns
  // than they say: what does not fit is read again.  After it, a difference stops the table.
  Lsn catalog_lsn = 0;
  // Tables that are emptied and copied again, since their changes may have named other rows: of
  // those before catalog_lsn what does not say which row it means is void.
  std::set<TableId> renewed{};
};

// Source thread only.
//
// Invariant: position() never passes a change that was not put into a batch, unless its table has
// stopped or is not mapped.
class DirectDecoder {
 public:
  // `tables` must outlive the decoder.
  DirectDecoder(DirectOptions options, const std::vector<const TableMap*>& tables);

  // The server begins to send again, from the transaction of position() on or an earlier one.
  void restart();
  void set_near_xid(Xid xid) { near_xid_ = xid; }

  // Takes in one message; its changes go to `batch`.  Halt for what cannot be (I16).
  // After a stop in the batch the caller takes position() as that of the stopped table, and ends
  // the batch.
  Status decode(std::string_view message, ChangeBatch& batch);
  // The server has sent everything that was committed before `lsn`.
  void pass(Lsn lsn) { move_to({lsn, 0}); }

  // Everything before it is in the batches.
  Position position() const { return position_; }

 private:
  // Where a cell comes from.
  struct Source {
    std::optional<std::size_t> place;  // In the tuple; nothing: the event does not carry it.
    bool in_identity = false;
    Plane plane = Plane::Binary;
    bool text_is_binary = false;  // Both forms of a value have the same bytes.
  };
  struct Relation {
    const TableMap* table = nullptr;  // Nothing: not ours, or stopped.
    std::size_t width = 0;            // Of its tuples.
    std::vector<Source> cells;        // By TableMap::columns.
  };
  struct Image {
    bool complete = true;
    bool doubtful = false;
  };

  Status take_relation(std::string_view message, ChangeBatch& batch);
  Status take_row(std::string_view message, WalKind kind, ChangeBatch& batch);
  Status take_truncate(std::string_view message, ChangeBatch& batch);
  Status take_begin(std::string_view message);
  Status take_commit(std::string_view message);

  const TableMap* table_of(const WalRelation& relation, std::string& drift) const;
  std::optional<std::string> map_columns(const WalRelation& wire, Relation& relation) const;
  Source source_of(const TableMap& table, std::size_t cell, const WalRelation& wire) const;
  bool is_old() const { return begin_ && begin_->final_lsn < catalog_lsn_; }
  bool is_void(const TableMap& table) const { return is_old() && renewed_.contains(table.id); }

  // Whether the change just counted is new; moves the position past it.
  bool count_change();
  Change start_change(const TableMap& table) const;
  Image read_image(const Relation& relation, std::string& out) const;
  bool append_value_of(const Source& source, const WalValue& value, std::string& out) const;
  // Reads the key of `tuple` into `out`; false when a part of it is missing.
  bool read_key(const Relation& relation, const WalTuple& tuple, std::string& out) const;
  void take_delete(const Relation& relation, ChangeBatch& batch);
  void take_image(const Relation& relation, WalKind kind, ChangeBatch& batch);
  void stop(const TableMap& table, std::string message, ChangeBatch& batch);
  // A change whose old row it does not name.
  void refuse_nameless(const TableMap& table, std::string_view what, ChangeBatch& batch);
  void move_to(Position position) { position_ = std::max(position_, position); }

  const StreamId stream_;
  const Lsn catalog_lsn_;
  const std::set<TableId> renewed_;
  std::unordered_map<std::uint32_t, const TableMap*> by_oid_;
  std::map<TableName, const TableMap*> by_name_;

  Position position_;
  Xid near_xid_ = 0;
  std::set<TableId> stopped_;
  std::unordered_map<std::uint32_t, Relation> relations_;  // By oid; as the server sent them.
  std::optional<WalBegin> begin_;                          // Of the open transaction.
  Xid xid_ = 0;                                            // Its own, widened.
  std::uint64_t ordinal_ = 0;                              // Row changes of it so far.

  // Used again from message to message.
  WalRelation wire_;
  WalRow row_;
  std::string key_;
  std::string old_key_;
};

}  // namespace lockstep
