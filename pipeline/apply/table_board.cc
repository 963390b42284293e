#include "pipeline/apply/table_board.h"

#include <algorithm>

namespace lockstep {

TableBoard::TableBoard(std::size_t tables)
    : tables_(tables),
      horizons_(tables),
      forget_chunks_(tables, false),
      empty_first_(tables, false),
      copying_again_(tables, false) {}

bool TableBoard::stop(TableId table, const std::string& reason) {
  const MutexLock lock(mutex_);
  if (!tables_[table].stopped.empty()) return false;
  tables_[table].stopped = reason;
  return true;
}

bool TableBoard::stopped(TableId table) const {
  const MutexLock lock(mutex_);
  return !tables_[table].stopped.empty();
}

void TableBoard::set_horizon(TableId table, Position horizon) {
  const MutexLock lock(mutex_);
  horizons_[table] = std::max(horizons_[table], horizon);
}

Position TableBoard::horizon(TableId table) const {
  const MutexLock lock(mutex_);
  return horizons_[table];
}

void TableBoard::forget_chunks(TableId table) {
  const MutexLock lock(mutex_);
  forget_chunks_[table] = true;
  tables_[table].backfill = BackfillState::Running;
  tables_[table].rows_done = 0;
}

bool TableBoard::take_forget_chunks(TableId table) {
  const MutexLock lock(mutex_);
  const bool forget = forget_chunks_[table];
  forget_chunks_[table] = false;
  return forget;
}

void TableBoard::empty_first(TableId table) {
  const MutexLock lock(mutex_);
  empty_first_[table] = true;
}

bool TableBoard::take_empty_first(TableId table) {
  const MutexLock lock(mutex_);
  const bool empty = empty_first_[table];
  empty_first_[table] = false;
  return empty;
}

void TableBoard::copying_again(TableId table, bool is) {
  const MutexLock lock(mutex_);
  copying_again_[table] = is;
}

bool TableBoard::copying_again(TableId table) const {
  const MutexLock lock(mutex_);
  return copying_again_[table];
}

void TableBoard::backfill(TableId table, BackfillState state) {
  const MutexLock lock(mutex_);
  if (forget_chunks_[table] && state == BackfillState::Done) return;
  tables_[table].backfill = state;
}

void TableBoard::estimate(TableId table, double rows) {
  const MutexLock lock(mutex_);
  tables_[table].rows_estimated = rows;
}

void TableBoard::rows_done(TableId table, std::uint64_t rows) {
  const MutexLock lock(mutex_);
  tables_[table].rows_done += rows;
}

void TableBoard::rows_dropped(TableId table, std::uint64_t rows) {
  const MutexLock lock(mutex_);
  tables_[table].rows_dropped += rows;
}

void TableBoard::events_applied(TableId table, std::uint64_t events) {
  const MutexLock lock(mutex_);
  tables_[table].events_applied += events;
}

void TableBoard::debts_opened(TableId table, std::uint64_t debts) {
  const MutexLock lock(mutex_);
  tables_[table].debts_opened += debts;
}

TableStatus TableBoard::status(TableId table) const {
  const MutexLock lock(mutex_);
  return tables_[table];
}

std::vector<TableStatus> TableBoard::all() const {
  const MutexLock lock(mutex_);
  return tables_;
}

}  // namespace lockstep
