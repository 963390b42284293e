// TableBoard: the state of every table while a run lasts: going on, stopped and why, its counts.
//
// Lanes, scanners and the source write to it; the supervisor and the control server read it.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "pipeline/base/sync.h"
#include "pipeline/model/change.h"

namespace lockstep {

enum class BackfillState : std::uint8_t { Pending, Running, Done };

struct TableStatus {
  std::string stopped;  // Why; empty while it goes on.
  BackfillState backfill = BackfillState::Pending;
  std::uint64_t rows_done = 0;
  double rows_estimated = 0;
  std::uint64_t events_applied = 0;
  std::uint64_t rows_dropped = 0;  // Chunk rows that a newer change made void (I7).
  std::uint64_t debts_opened = 0;  // In this run, for the reader of debts to wake up.
};

// Safe for concurrent use.
class TableBoard {
 public:
  explicit TableBoard(std::size_t tables);

  // The first reason stays.  Returns whether this call stopped it.
  bool stop(TableId table, const std::string& reason);
  bool stopped(TableId table) const;

  // Events of the table with a lower LSN of their own came before a TRUNCATE (I8b, I15).
  void set_horizon(TableId table, Position horizon);
  Position horizon(TableId table) const;

  // All chunks of the table must be read again (I15); the planner takes the request once.
  void forget_chunks(TableId table);
  bool take_forget_chunks(TableId table);
  // Before its next chunk the target's table is to be emptied: it holds keys that the source lacks.
  void empty_first(TableId table);
  bool take_empty_first(TableId table);
  // The target's rows of the table stem from files that are gone, so no value of them can be relied
  // on until all is copied again: a row of a chunk that is left out must be read again (I15, I17).
  void copying_again(TableId table, bool is);
  bool copying_again(TableId table) const;

  void backfill(TableId table, BackfillState state);
  void estimate(TableId table, double rows);
  void rows_done(TableId table, std::uint64_t rows);
  void rows_dropped(TableId table, std::uint64_t rows);
  void events_applied(TableId table, std::uint64_t events);
  void debts_opened(TableId table, std::uint64_t debts);

  TableStatus status(TableId table) const;
  std::vector<TableStatus> all() const;

 private:
  mutable Mutex mutex_;
  std::vector<TableStatus> tables_ GUARDED_BY(mutex_);
  std::vector<Position> horizons_ GUARDED_BY(mutex_);
  std::vector<bool> forget_chunks_ GUARDED_BY(mutex_);
  std::vector<bool> empty_first_ GUARDED_BY(mutex_);
  std::vector<bool> copying_again_ GUARDED_BY(mutex_);
};

}  // namespace lockstep
