// pgoutput: the messages of PostgreSQL's logical replication, protocol version 1, as structs.
//
// direct.h turns them into Changes.  Pure: bytes in, structs out; everything borrows the message.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "pipeline/base/result.h"
#include "pipeline/model/snapshot.h"
#include "pipeline/model/table.h"

namespace lockstep {

// The first byte of a message.
enum class WalKind : char {
  Begin = 'B',
  Commit = 'C',
  Origin = 'O',
  Relation = 'R',
  Type = 'Y',
  Insert = 'I',
  Update = 'U',
  Delete = 'D',
  Truncate = 'T',
  Message = 'M',
};

struct WalBegin {
  Lsn final_lsn = 0;  // Where the commit's record starts.
  std::int64_t commit_us = 0;
  std::uint32_t xid = 0;  // Of the top-level transaction.
};

struct WalCommit {
  Lsn commit_lsn = 0;  // The begin's final_lsn.
  Lsn end_lsn = 0;     // Where the commit's record ends.
  std::int64_t commit_us = 0;
};

struct WalColumn {
  std::string_view name;
  std::uint32_t type = 0;  // Of a domain the domain's.
  std::int32_t typmod = -1;
  bool in_identity = false;  // Old tuples carry it.
};

// How a table looks from here on, until the next message about it.
struct WalRelation {
  std::uint32_t oid = 0;
  std::string_view schema;
  std::string_view table;
  char identity = 'd';             // pg_class.relreplident.
  std::vector<WalColumn> columns;  // By attnum, without dropped and generated ones.
};

struct WalValue {
  enum class Form : char { Null = 'n', Unchanged = 'u', Text = 't', Binary = 'b' };
  Form form = Form::Null;
  std::string_view bytes;
};
using WalTuple = std::vector<WalValue>;

// Insert, update or delete.
struct WalRow {
  enum class Old : char {
    None = 0,
    Key = 'K',   // Columns outside the identity are NULL, whatever they were.
    Full = 'O',  // REPLICA IDENTITY FULL: every column.
  };
  std::uint32_t relation = 0;
  Old old_form = Old::None;
  WalTuple before;  // With old_form other than None.
  WalTuple after;   // Not of a delete.
};

struct WalTruncate {
  bool cascade = false;
  bool restart_identity = false;
  std::vector<std::uint32_t> relations;
};

// The kind of a message that is not empty; Halt when there is no such kind.
Result<WalKind> wal_kind(std::string_view message);

// Each reads a whole message of its kind.  Halt when it breaks off or goes on too long.  `row` and
// `relation` are filled anew: their vectors' memory is used again.
Result<WalBegin> read_wal_begin(std::string_view message);
Result<WalCommit> read_wal_commit(std::string_view message);
Status read_wal_relation(std::string_view message, WalRelation& relation);
Status read_wal_row(std::string_view message, WalRow& row);
Result<WalTruncate> read_wal_truncate(std::string_view message);

// Microseconds between 1970 and 2000, where PostgreSQL's time starts.
inline constexpr std::int64_t kPostgresEpochUs = 946'684'800'000'000;

}  // namespace lockstep
