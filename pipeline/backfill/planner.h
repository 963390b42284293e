// Planner: which chunk of which table is scanned next, and when a table's backfill is done.
//
// A table is cut into key ranges from its low end to its high end; the cut points are asked from
// the source one chunk ahead, so that several workers can share one table.  Done-marks of an
// earlier run leave gaps, which are handed out first.  A table that cannot be read now (somebody's
// lock, a damaged file) lets the others pass.
#pragma once

#include <chrono>
#include <cstdint>
#include <deque>
#include <optional>
#include <string>
#include <vector>

#include "pipeline/apply/table_board.h"
#include "pipeline/base/sync.h"
#include "pipeline/ports/reader.h"
#include "pipeline/ports/target.h"

namespace lockstep {

struct ChunkTask {
  TableId table = 0;
  std::uint64_t first = 0;  // Sequence numbers it covers, inclusive.
  std::uint64_t last = 0;
  KeyRange range;
  std::uint64_t generation = 0;  // Of its table's life; a task of an older one is void.
};

struct PlannerOptions {
  std::uint64_t chunk_rows_max = 50'000;
  std::uint64_t chunk_rows_min = 1'000;
  std::uint64_t chunk_rows_first = 10'000;
  std::chrono::milliseconds chunk_aim{1000};
  std::vector<TableId> order;  // Tables in the order of their scan.
};

// Safe for concurrent use by the scanners.
//
// Invariant: the ranges of done chunks, tasks in flight, gaps and the unplanned rest of a table
// cover all keys; a table is done when only done chunks are left.
class Planner {
 public:
  Planner(PlannerOptions options, TableBoard& board);

  // Continues from the marks that the target holds.
  void restore(const std::vector<ChunkMark>& marks);

  // What a scanner should do.
  struct Next {
    enum class Kind : std::uint8_t {
      Scan,   // Scan `task`.
      Plan,   // Ask the source for the key `rows` into task.range, then call planned().
      Empty,  // Empty the target's table, then call emptied().
      Wait,   // Others are planning or scanning the rest.
      Done,   // Every table is done or stopped.
    } kind = Kind::Done;
    ChunkTask task;
    std::uint64_t rows = 0;
  };
  Next next();
  // The cut point of a Plan; nothing: the rest of the table is one chunk.  Returns the task to
  // scan.
  ChunkTask planned(const ChunkTask& task, std::optional<std::string> upper);
  void emptied(const ChunkTask& task);
  // Planning or emptying failed; it will be asked again.
  void plan_failed(const ChunkTask& task);

  // The chunk is marked done on the target.  `took` steers the size of the next ones.
  void done(const ChunkTask& task, std::uint64_t rows, std::chrono::milliseconds took);
  // Whether the chunk still counts: not when all chunks of its table were forgotten since.  Then it
  // must not be marked, its rows may be gone again (I15).
  bool current(const ChunkTask& task);
  // The chunk must be taken again; `failed_to`: since it could not be read or written.
  void retake(const ChunkTask& task, bool failed_to);

  bool all_done();

 private:
  struct Table {
    TableId id = 0;
    std::deque<ChunkTask> gaps;  // To scan, before anything new.
    std::uint64_t next_sequence = 0;
    std::optional<std::string> cursor;  // Planned up to here; nothing: the low end.
    bool planned_to_end = false;
    bool planning = false;
    std::uint64_t in_flight = 0;
    std::uint64_t generation = 0;  // Of the table's life, when the rest of this was begun.
    std::uint32_t partition = 0;   // Of it the rest of this is; 0: of all.
    // Tasks of an older generation may be out: what they have read must not land on newer rows.
    bool outdated = false;
    // Tries that failed since its last done chunk; other tables come first until so many chunks of
    // all tables are done.
    std::uint32_t failures = 0;
    std::uint64_t others_until = 0;
  };

  Table& find(TableId id) REQUIRES(mutex_);
  TableLife follow_life(Table& table) REQUIRES(mutex_);
  bool finished(const Table& table) const;
  void restore_table(Table& table, std::vector<ChunkMark> marks) REQUIRES(mutex_);
  void publish(Table& table) REQUIRES(mutex_);
  void failed(Table& table) REQUIRES(mutex_);
  // Puts what is next of the table into `answer`.  Returns whether there is anything now.
  bool offer(Table& table, Next& answer) REQUIRES(mutex_);

  const PlannerOptions options_;
  TableBoard& board_;
  mutable Mutex mutex_;
  std::vector<Table> tables_ GUARDED_BY(mutex_);  // In scan order.
  std::uint64_t chunk_rows_ GUARDED_BY(mutex_);
  std::uint64_t done_ GUARDED_BY(mutex_) = 0;  // Chunks of all tables.
};

}  // namespace lockstep
