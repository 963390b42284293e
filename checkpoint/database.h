// Database: RocksDB as the checkpoint uses it: few records, small memory, everything verified.
//
// Used by checkpoint_reader.cc and rocksdb_store.cc only; the one place that includes RocksDB.
//
//   <state_dir>/db       the RocksDB directory, complete from the moment it exists
//   <state_dir>/db.new   one that is being made; without meaning until it is renamed
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "pipeline/base/result.h"

namespace rocksdb {
class DB;
}

namespace lockstep {

// What to do about a state directory that is damaged, and what that costs.
inline constexpr std::string_view kMoveAway =
    "no row is lost: move it away and start again, lockstep rebuilds it from the target. With it "
    "go "
    "an abort and pauses (give these orders again before the start: lockstep abort|pause FILE), "
    "limits that were set, a resync that was asked for, findings, and what was compared";

enum class Durability { Synced, Unsynced };

// A record to put, or to remove when it has no value.
struct RecordWrite {
  std::string key;
  std::optional<std::string> value;
};

// Safe for concurrent use.  Every error says what happened to which directory and what to do:
// exit BadData (damaged), Io (full, I/O error), Permission, Temporary (another process has it).
class Database {
 public:
  // Makes <directory>/db.new with `first` as its only record, in place of what an earlier start may
  // have left there.  publish() then gives it its name.  REQUIRES: the state lock is held, and
  // exists() is false.
  static Status create(const std::string& directory, const RecordWrite& first);
  static Status publish(const std::string& directory);
  static bool exists(const std::string& directory);

  // REQUIRES: the state lock is held.
  static Result<Database> open(const std::string& directory);
  // Works beside an owner and without one, and changes nothing on disk.  What an owner writes from
  // then on is not seen.
  static Result<Database> open_read_only(const std::string& directory);

  Database(Database&&) noexcept;
  Database& operator=(Database&&) noexcept;
  ~Database();

  Result<std::optional<std::string>> get(std::string_view key) const;

  // Calls `visit` for every record whose key begins with `prefix`, in key order, until it answers
  // an error, which is returned.
  using Visit = std::function<Status(std::string_view key, std::string_view value)>;
  Status scan(std::string_view prefix, const Visit& visit) const;

  // Writes all or nothing.  Synced: on disk when it returns; concurrent callers share one sync.
  // Unsynced: survives a kill of the process, and is on disk once any later synced write is.
  Status write(std::span<const RecordWrite> records, Durability durability);

  // Reads every table file; RocksDB 7.8's iterators step over a damaged block in silence, this does
  // not.
  Status verify_checksums() const;

 private:
  Database(std::string directory, std::unique_ptr<rocksdb::DB> db);

  std::string directory_;
  std::unique_ptr<rocksdb::DB> db_;
  // Set by the first write that failed: no later one is tried, since what lies on the disk behind
  // it is unknown.  Nothing else depends on its order.  A pointer, so that a Database can be moved.
  std::unique_ptr<std::atomic<bool>> failed_;
};

// Makes the names in a directory durable.
Status sync_directory(const std::string& directory);

}  // namespace lockstep
