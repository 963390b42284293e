// FakeSource: a PostgreSQL primary as the merge sees it.
//
//   begin -> changes under row locks -> commit record (log_commit) -> flushed, so decodable
//                                                                  -> visible to snapshots
//
// The last two come in either order: a synchronous commit is visible only after its flush, and a
// wait for a standby may keep the gap open as long as you like; an asynchronous one is visible
// first, and a crash may then take it back.
#pragma once

#include <deque>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "pipeline/model/change.h"
#include "pipeline/model/snapshot.h"
#include "pipeline/ports/probe.h"
#include "pipeline/ports/source.h"
#include "tests/fakes/fake_table.h"

namespace lockstep {

enum class CommitMode : std::uint8_t { Sync, Async };

// How a change looks on the wire.
struct Wire {
  bool toast = true;       // The toast value is carried although it did not change.
  bool doubtful = false;   // `a` cannot be carried exactly.
  bool split_key = false;  // A key change to an equal key arrives as delete and insert.
};

// One row change; a key change arrives as two events.
struct SourceChange {
  TableId table = 0;
  Lsn lsn = 0;
  std::vector<Change> events;  // Without position and sequence.
};

struct LoggedTransaction {
  Xid xid = 0;
  Lsn commit_lsn = 0;
  std::vector<SourceChange> changes;
};

// Not thread-safe.
class FakeSource {
 public:
  // `tables` outlives this object.  `first_xid`: of the first transaction.
  FakeSource(const std::vector<TableMap>& tables, Xid first_xid);

  // What its clock says, in the unit of commit times, which are positions; 0: it does not say.
  std::int64_t clock_us = 0;

  // A row that was there before everything: no event tells of it.
  void seed_row(TableId table, const FakeRow& row);

  Xid begin(CommitMode mode);
  // Each returns false, and does nothing, where a real statement would wait or fail.
  bool insert(Xid xid, TableId table, const FakeRow& row);
  bool update(Xid xid, TableId table, int id, const FakeRow& row, Wire wire);
  // Not readable: the event tells its key and transaction only, not that it deletes.
  bool remove(Xid xid, TableId table, int id, bool readable = true);
  // Two rows exchange their unique values (a deferrable constraint on the source).
  bool swap_unique(Xid xid, TableId table, int first, int second);
  bool truncate(Xid xid, TableId table);
  // ALTER TABLE ... USING: changes every row without an event, in a transaction of its own.
  // With `keys` moved, by one each: the first is gone then.
  enum class Keys : std::uint8_t { Kept, Moved };
  bool rewrite(TableId table, Keys keys = Keys::Kept);
  // ALTER TABLE ... ATTACH PARTITION: rows come without an event, under keys that nobody has. False
  // where there are none, or a statement would wait.
  bool attach(TableId table, std::vector<FakeRow> rows);
  // TRUNCATE, or DETACH, of the partition that came last: its rows go without an event.  False
  // where there is none, or a statement would wait.
  enum class Loss : std::uint8_t { Truncated, Detached };
  bool lose_partition(TableId table, Loss loss);
  // Rises whenever partitions come, go or lose their rows.
  std::uint32_t tree_version(TableId table) const { return state_[table].tree_version; }
  // The oid of the partition that the key belongs to; 0: none.
  std::uint32_t partition_of(TableId table, int id) const;
  std::vector<TableFile> files(TableId table) const;
  // What readers have been given.
  void note_read(TableId table, std::size_t rows) { state_[table].rows_read += rows; }
  std::size_t rows_read(TableId table) const { return state_[table].rows_read; }
  // As the catalog describes the table: its key was made anew by each rewrite that moved keys.
  std::uint32_t key_version(TableId table) const { return state_[table].key_version; }
  TableSpec definition(TableId table) const;
  // Rises with each rewrite; not with TRUNCATE, so that what that needs is seen alone.
  std::uint32_t filenode(TableId table) const { return state_[table].filenode; }

  void log_commit(Xid xid);
  void rollback(Xid xid);
  // Returns false while it must not become visible yet.
  bool make_visible(Xid xid);
  void flush(Lsn up_to);
  // Loses what was not flushed, and every connection.  Numbers of lost transactions are used again.
  void crash();

  Snapshot snapshot() const;
  Lsn insert_lsn() const { return insert_lsn_; }
  Lsn flush_lsn() const { return flush_lsn_; }
  std::uint64_t generation() const { return generation_; }  // Rises with every crash.
  std::vector<Xid> open_transactions() const;               // No commit record yet.
  std::vector<Xid> logged_transactions() const;             // Committed, not visible yet.
  Xid next_xid() const { return next_xid_; }
  Xid first_xid() const { return first_xid_; }

  // Commit order; only what is flushed may be decoded.
  const std::vector<LoggedTransaction>& log() const { return log_; }

  // Readers hold a shared lock from their first read on; TRUNCATE an exclusive one until it is
  // visible.
  bool lock_shared(TableId table);
  void unlock_shared(TableId table);
  // Under the exclusive lock: nobody can read it.
  bool locked(TableId table) const { return state_[table].truncated_by != 0; }
  std::vector<FakeRow> rows(TableId table, const Snapshot& snapshot) const;
  // The row as the transaction would find it; nothing where it is absent or locked by another.
  std::optional<FakeRow> find(Xid xid, TableId table, int id) const;
  bool unique_taken(Xid xid, TableId table, int but, const std::string& value) const;
  const TableMap& map(TableId table) const { return tables_[table]; }
  std::size_t table_count() const { return tables_.size(); }
  // Keys that have ever had a value which a trigger of the target dislikes.
  const std::set<std::pair<TableId, int>>& disliked() const { return disliked_; }

 private:
  struct Version {
    Xid xid = 0;
    std::optional<FakeRow> row;
  };
  using Chains = std::map<int, std::vector<Version>>;
  struct Table {
    Chains chains;
    Chains before_truncate;
    Xid truncated_by = 0;  // Holds the exclusive lock.
    int readers = 0;
    std::uint32_t filenode = 1;
    std::uint32_t key_version = 1;
    std::vector<TableFile> partitions;  // Those that were attached.
    std::uint32_t tree_version = 0;
    std::map<int, std::uint32_t> owner;  // The partition of a key.
    std::size_t rows_read = 0;
  };
  struct Transaction {
    CommitMode mode = CommitMode::Sync;
    Lsn commit_lsn = 0;  // 0: still open.
    std::vector<SourceChange> changes;
  };

  bool can_write(Xid xid, TableId table, int id) const;
  void put(Xid xid, TableId table, int id, std::optional<FakeRow> row);
  void record(Xid xid, TableId table, std::vector<Change> events);
  Change event(Xid xid, TableId table, ChangeKind kind) const;
  Change row_event(Xid xid, TableId table, const FakeRow& row, Carried carried) const;
  Change delete_event(Xid xid, TableId table, const FakeRow& row) const;
  void undo(Xid xid);
  void log_record(Xid xid);

  const std::vector<TableMap>& tables_;
  std::vector<Table> state_;
  std::set<std::pair<TableId, int>> disliked_;
  std::map<Xid, Transaction> running_;
  std::vector<LoggedTransaction> log_;
  std::deque<std::pair<Lsn, Xid>> unflushed_;  // Log records, by position.
  const Xid first_xid_;
  Xid next_xid_;
  Xid durable_xid_;  // Largest in the flushed log: recovery goes on behind it.
  Lsn insert_lsn_ = 100;
  Lsn flush_lsn_ = 100;
  std::uint64_t generation_ = 1;
};

}  // namespace lockstep
