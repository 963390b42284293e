#include "pipeline/apply/table_board.h"

#include <algorithm>

namespace lockstep {

TableBoard::TableBoard(std::size_t tables) : tables_(tables) {}

TableLife TableBoard::life(TableId table) const {
  const MutexLock lock(mutex_);
  return tables_[table].life;
}

bool TableBoard::stopped(TableId table) const {
  const MutexLock lock(mutex_);
  return tables_[table].life.is_stopped();
}

bool TableBoard::stop(TableId table, const std::string& reason) {
  const MutexLock lock(mutex_);
  TableLife& life = tables_[table].life;
  if (!life.on(Happening::Stopped)) return false;
  life.reason = reason;
  return true;
}

bool TableBoard::pause(TableId table, const std::string& reason) {
  const MutexLock lock(mutex_);
  TableLife& life = tables_[table].life;
  if (!life.on(Happening::Stopped)) return false;
  life.reason = reason;
  life.paused = true;
  return true;
}

void TableBoard::restate(TableId table, const std::string& reason) {
  const MutexLock lock(mutex_);
  TableLife& life = tables_[table].life;
  if (life.is_stopped()) life.reason = reason;
}

void TableBoard::set_horizon(TableId table, Position horizon) {
  const MutexLock lock(mutex_);
  Position& now = tables_[table].life.horizon;
  now = std::max(now, horizon);
}

void TableBoard::void_chunks(TableId table) {
  const MutexLock lock(mutex_);
  if (!tables_[table].life.on(Happening::Voided)) return;
  tables_[table].rows_done = 0;
  tables_[table].life.partition = 0;
}

bool TableBoard::notice(TableId table, const std::string& why) {
  const MutexLock lock(mutex_);
  TableLife& life = tables_[table].life;
  if (!life.on(Happening::Noticed)) return false;
  life.reason = why;
  return true;
}

void TableBoard::copy_again(TableId table, bool empties, std::uint32_t partition) {
  const MutexLock lock(mutex_);
  TableStatus& status = tables_[table];
  if (!status.life.on(Happening::Passed)) return;
  if (partition == 0) status.rows_done = 0;
  status.life.partition = partition;
  status.life.empties = status.life.empties || empties;
}

bool TableBoard::miss(TableId table, const std::string& why, const Hash128& as) {
  const MutexLock lock(mutex_);
  TableLife& life = tables_[table].life;
  if (!life.on(Happening::Missed)) return false;
  life.reason = why;
  life.missed_as = as;
  return true;
}

void TableBoard::healed(TableId table, std::uint64_t missed) {
  const MutexLock lock(mutex_);
  TableLife& life = tables_[table].life;
  life.healed = std::max(life.healed, missed);
}

void TableBoard::settle(TableId table) {
  const MutexLock lock(mutex_);
  TableLife& life = tables_[table].life;
  if (life.on(Happening::Settled)) life.reason.clear();
}

void TableBoard::stored(TableId table, const Hash128& as) {
  const MutexLock lock(mutex_);
  tables_[table].life.stored_as = as;
}

void TableBoard::planned(TableId table, std::uint64_t generation) {
  const MutexLock lock(mutex_);
  TableLife& life = tables_[table].life;
  if (life.generation == generation) life.on(Happening::Planned);
}

void TableBoard::copied(TableId table, std::uint64_t generation) {
  const MutexLock lock(mutex_);
  TableLife& life = tables_[table].life;
  if (life.generation == generation) life.on(Happening::Copied);
}

void TableBoard::emptied(TableId table, std::uint64_t generation) {
  const MutexLock lock(mutex_);
  TableLife& life = tables_[table].life;
  if (life.generation == generation) life.empties = false;
}

void TableBoard::estimate(TableId table, double rows, double bytes) {
  const MutexLock lock(mutex_);
  tables_[table].rows_estimated = rows;
  tables_[table].bytes_estimated = bytes;
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
