// TableBoard: the life of every table while a run lasts, and its counts.
//
// Lanes, scanners and the source write to it; the supervisor and the control server read it.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "pipeline/apply/table_life.h"
#include "pipeline/base/sync.h"
#include "pipeline/model/change.h"

namespace lockstep {

struct TableStatus {
  TableLife life;
  std::uint64_t rows_done = 0;
  double rows_estimated = 0;
  double bytes_estimated = 0;  // Of these rows, as the source stores them.
  std::uint64_t events_applied = 0;
  std::uint64_t rows_dropped = 0;  // Chunk rows that a newer change made void (I7).
  std::uint64_t debts_opened = 0;  // In this run, for the reader of debts to wake up.
};

// Safe for concurrent use.  Whoever works on something of a table reads its life once for it.
class TableBoard {
 public:
  explicit TableBoard(std::size_t tables);

  TableLife life(TableId table) const;
  bool stopped(TableId table) const;

  // The first reason stays.  Returns whether this call stopped it.
  bool stop(TableId table, const std::string& reason);
  // The same, of a table that an operator holds.
  bool pause(TableId table, const std::string& reason);
  // It has stopped, and for another reason by now.
  void restate(TableId table, const std::string& reason);
  // Events of the table with a lower LSN of their own came before a TRUNCATE (I8b, I15).
  void set_horizon(TableId table, Position horizon);
  // A TRUNCATE: every chunk is read again.
  void void_chunks(TableId table);
  // The source's table is not the one that was copied.  Returns whether that is news.
  bool notice(TableId table, const std::string& why);
  // The events from before that are applied: every chunk is read again, or `partition`, which no
  // chunk holds.  `empties`: the target holds keys that the source lacks.
  void copy_again(TableId table, bool empties, std::uint32_t partition);
  // Rows of it have changed in no event: a comparison finds them.  `as` stands for what was missed:
  // another start that says the same has missed nothing else.  Returns whether it goes on.
  bool miss(TableId table, const std::string& why, const Hash128& as);
  // Everything that was missed by `missed` (TableLife) is put right.
  void healed(TableId table, std::uint64_t missed);
  // The source's table still is as the new chunks, or the heal, found it.
  void settle(TableId table);
  // The bookkeeping says from now on that the table's chunks stem from these files and this
  // definition, whose hash is `as`.
  void stored(TableId table, const Hash128& as);

  // Of the planner, whose word counts for the generation that it knows.
  void planned(TableId table, std::uint64_t generation);
  void copied(TableId table, std::uint64_t generation);
  void emptied(TableId table, std::uint64_t generation);

  void estimate(TableId table, double rows, double bytes);
  void rows_done(TableId table, std::uint64_t rows);
  void rows_dropped(TableId table, std::uint64_t rows);
  void events_applied(TableId table, std::uint64_t events);
  void debts_opened(TableId table, std::uint64_t debts);

  TableStatus status(TableId table) const;
  std::vector<TableStatus> all() const;

 private:
  mutable Mutex mutex_;
  std::vector<TableStatus> tables_ GUARDED_BY(mutex_);
};

}  // namespace lockstep
