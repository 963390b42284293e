// SourceProbe: which transactions of the source are finished, and what its catalog says of the
// files and definitions of our tables.
//
// Every call is blocking and bounded.  A connection that is lost answers Reaction::Retry; the next
// call connects again.  No port is thread-safe unless it says so: each object belongs to one
// thread.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "pipeline/base/result.h"
#include "pipeline/model/snapshot.h"
#include "pipeline/model/table.h"

namespace lockstep {

struct BlockingTransaction {
  std::string what;  // "pid 4711 (psql), open for 312 s, xid 8812", "prepared transaction 'x'".
};

// One file of rows of a source table: its own, or one of its leaves'; and the root itself.
struct TableFile {
  std::uint32_t relation = 0;  // Its oid; a leaf keeps it, whatever is done to it.
  std::uint32_t node = 0;      // Another one after each rewrite and TRUNCATE; 0 of a root.
  // Another one after it was attached, or its root published, anew or in another way: changes in
  // between are in no stream.
  std::uint64_t bond = 0;
  std::string name;  // "public.orders_2026", for people; may be unknown.
  // Of the root: another one after the table's definition was changed; may be without that, too.
  std::uint64_t version = 0;
  bool born = false;  // A leaf that was made as one: all its rows are in the stream.
  // Of the root: why changes of it are in no stream now, with the way on; "": they are.
  std::string gap{};
  // Whether it holds the rows that it held, for all that the log tells.
  friend bool operator==(const TableFile& a, const TableFile& b) {
    return a.relation == b.relation && a.node == b.node && a.bond == b.bond;
  }
};

// One source connection; one thread.
class SourceProbe {
 public:
  virtual ~SourceProbe() = default;
  // pg_current_snapshot(), and P3/I16 identity checks.  Answers only once the log is flushed past
  // the insert position read right after it (I6): a crash of the source gives the number of an
  // unflushed transaction to another one, which an older probe would then wrongly claim to see.
  virtual Result<Snapshot> probe() = 0;
  // What the source's clock said during the last probe() that answered, in microseconds since 1970;
  // 0: not known.
  virtual std::int64_t clock_us() const = 0;
  virtual Result<Xid> assign_xid() = 0;  // pg_current_xact_id() of a transaction that then commits.
  // Emits a transactional logical message and returns the insert LSN read after its commit.
  virtual Result<Lsn> emit_marker() = 0;
  virtual Result<Lsn> insert_lsn() = 0;
  // The oldest transactions below `xid` that are still running, for status.
  virtual Result<std::vector<BlockingTransaction>> blockers(Xid xid) = 0;
  // The files of each table, by relation; none for a table that was dropped (I15).
  virtual Result<std::vector<std::vector<TableFile>>> files(
      std::span<const TableMap* const> tables) = 0;
  // What they are made of now; without those that are gone.
  virtual Result<std::vector<TableSpec>> definitions(std::span<const TableMap* const> tables) = 0;
  // Whether the relation's file has ever held a row.
  virtual Result<bool> has_rows(std::uint32_t relation) = 0;
};

}  // namespace lockstep
