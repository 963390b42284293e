// Change: one row change (or TRUNCATE) of the source, as every ChangeSource emits it.
//
// A Change borrows nothing: it is moved from decode to route to lane.  Its bytes are copied once.
#pragma once

#include <compare>
#include <cstdint>
#include <string>
#include <vector>

#include "pipeline/model/row.h"
#include "pipeline/model/snapshot.h"
#include "pipeline/model/table.h"

namespace lockstep {

// Index of one ordered stream of the source: a Kafka partition, or the replication slot's stream.
// Stable within one process; its name ("topic/0", "wal") is what the target's progress stores.
using StreamId = std::uint32_t;

// Where a stream stands: everything before it is dealt with.  Kafka: `major` is the next offset to
// read, `minor` identifies the record before it (0: none), so that a topic that was recreated is
// noticed; it follows from `major`, so positions compare by offset.  Direct stream: commit LSN, and
// the ordinal of the row change in its transaction.
struct Position {
  std::uint64_t major = 0;
  std::uint64_t minor = 0;
  friend auto operator<=>(const Position&, const Position&) = default;
};

enum class ChangeKind : std::uint8_t {
  Full,      // Every mapped column is carried: insert, or update with a complete image.
  Partial,   // Some columns are unavailable; never inserts a row (I17).
  Delete,    // `row` holds the key's cells only, in key order.
  Truncate,  // `row` is empty.
};

// Why a row must be read from the source again (I17).
enum class DebtReason : std::uint8_t {
  None,
  Doubtful,    // The wire could not carry a value exactly (W1).
  Unreadable,  // A value is broken or impossible, the key is readable.
  MissingRow,  // A partial update hit no row.
  Violation,   // A unique or exclusion constraint of the target refused it.
  Refused,     // The target refused the row for a reason of its own (check constraint, cast).
  Swallowed,   // The target took the statement and wrote nothing (a trigger, a rule).
  Evicted,     // Held a unique value that a settled debt needed.
  Snapshot,    // A snapshot event (`r`) under `snapshot_events: reread`.
  Divergent,   // A comparison found it unequal, and it is repaired.
  // The same, by somebody who wants no row deleted: neither this one nor one in its way.
  DivergentAlone,
};

// "doubtful", "missing_row", ...: the word in the debt table, status and metrics.
std::string_view debt_reason_text(DebtReason reason);
// Of these no delete is still to come: it was the event that could not be read, or that the target
// refused or swallowed.  A row that the source lacks must go now, or it stays for ever (I17).
bool may_have_been_deleted(DebtReason reason);
DebtReason parse_debt_reason(std::string_view text);

struct Change {
  TableId table = 0;
  ChangeKind kind = ChangeKind::Full;
  DebtReason debt = DebtReason::None;  // Not None: applied as far as carried, and a debt is opened.
  StreamId stream = 0;
  Position next;               // The stream's position after this change.
  Xid xid = 0;                 // Top-level transaction, widened; 0: unknown visibility.
  std::int64_t commit_us = 0;  // Commit time, microseconds since 1970.
  Hash128 key;                 // Of the canonical key, seeded by table; 0 for Truncate.
  std::string row;             // Cells in TableMap::columns order (Delete: key cells).
  // Debezium `sequence`: [last commit LSN, own LSN]; direct stream: [0, commit LSN].  What lies
  // below the table's horizon is dropped: it is in every row of the scan, or was truncated (I15).
  Position sequence;
  // Only with debt == Unreadable: the raw event; and what of it could not be read, and where, for
  // people, without values.
  std::string evidence;
  std::string detail;

  std::size_t bytes() const {
    return sizeof(Change) + row.size() + evidence.size() + detail.size();
  }
};

// Everything of `stream` before `position` has been emitted.
struct Watermark {
  StreamId stream = 0;
  Position position;
};

}  // namespace lockstep
