// ChunkReader: rows of the source's tables, read under a snapshot.
//
// Every call is blocking and bounded.  A connection that is lost answers Reaction::Retry; the next
// call connects again.  No port is thread-safe unless it says so: each object belongs to one
// thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "pipeline/base/result.h"
#include "pipeline/model/row.h"
#include "pipeline/model/row_batch.h"
#include "pipeline/model/snapshot.h"
#include "pipeline/model/table.h"

namespace lockstep {

// A half-open range of keys [lower, upper); no bound: unbounded.  Bounds are key cells.
struct KeyRange {
  std::optional<std::string> lower;
  std::optional<std::string> upper;
  std::uint32_t partition = 0;  // The oid of the only partition that is read; 0: all of the table.
  friend bool operator==(const KeyRange&, const KeyRange&) = default;
};

struct OpenSnapshot {
  Snapshot snapshot;
  Lsn insert_lsn = 0;  // pg_current_wal_insert_lsn() read right after S (I6).
  // The stream begins where it ends, and had not begun when it was taken: each transaction is
  // either seen by it or in the stream, those included that ran then.
  bool begins_stream = false;
};

// Who wrote a row last, as far as its server tells.
struct RowWriter {
  Xid xid = 0;                 // The transaction; 0: not known any more.
  std::int64_t commit_us = 0;  // Microseconds since 1970; 0: not known (track_commit_timestamp).
};

// Who wrote a row of the target, as far as that can be told (V9).
struct TargetWriter {
  Xid xid = 0;          // The transaction; 0: not known any more.
  std::string foreign;  // For people, where that certainly was not us; else "".
};

// Error::code of a Halt: a bound of the range that was to be read is no key of the table.
inline constexpr const char* kBrokenBound = "broken_bound";

// One source connection; one scan thread each.
class ChunkReader {
 public:
  // Most key cells (keys times key columns) of one start_keys(): what the protocol can number.
  static constexpr std::size_t kKeyCellsMax = 65535;

  virtual ~ChunkReader() = default;

  // Returns the key `rows` keys after the range's beginning in key order, or nothing when the range
  // has no more than that.
  virtual Result<std::optional<std::string>> bound_after(const TableMap& table,
                                                         const KeyRange& range,
                                                         std::uint64_t rows) = 0;
  // Begins a REPEATABLE READ READ ONLY transaction and takes its snapshot as the first statement.
  // REQUIRES: none is open.
  virtual Result<OpenSnapshot> begin() = 0;
  // Whether the server has flushed its log up to `lsn` (I6).  REQUIRES: begin().
  virtual Result<bool> flushed(Lsn lsn) = 0;
  // Starts reading the rows of a range, or of a list of keys, under the open snapshot.
  // REQUIRES: keys.size() * table.key.size() <= kKeyCellsMax.
  virtual Status start_range(const TableMap& table, const KeyRange& range) = 0;
  virtual Status start_keys(const TableMap& table, std::span<const std::string> keys) = 0;
  // Appends rows to `out` until it holds `max_bytes` or the read is complete.
  // Returns false when the read is complete.
  virtual Result<bool> read(RowBatch& out, std::size_t max_bytes) = 0;
  // StopTable when the table's columns or partitions are not those of `table` any more (I15); Retry
  // when it was rewritten or truncated meanwhile, so that the read is void (I10).
  // REQUIRES: the read is complete (its lock on the table is still held).
  virtual Status check_shape(const TableMap& table) = 0;
  // Ends the transaction, whatever its state.  Safe when none is open.
  virtual void end() = 0;
};

// What the target's bookkeeping says of some keys.
struct KeyDebts {
  std::vector<Hash128> owed;      // Have a debt, open or quarantined.
  std::vector<Hash128> accepted;  // A person accepted that they differ (`quarantine drop`).
};

// Rows that the target still lacks, as its own bookkeeping says.  Of a connection that reads the
// target: asked between begin() and end(), it answers for the same snapshot as the rows.
class OwedKeys {
 public:
  virtual ~OwedKeys() = default;
  virtual Result<KeyDebts> owed(const TableMap& table, std::span<const Hash128> keys) = 0;
  // Who wrote the target's row of `key`.  `table`: the target's view.
  virtual Result<TargetWriter> writer(const TableMap& table, const std::string& key) = 0;
};

}  // namespace lockstep
