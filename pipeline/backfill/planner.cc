#include "pipeline/backfill/planner.h"

#include <algorithm>

namespace lockstep {

Planner::Planner(PlannerOptions options, TableBoard& board)
    : options_(std::move(options)),
      board_(board),
      chunk_rows_(std::min(options_.chunk_rows_first, options_.chunk_rows_max)) {
  const MutexLock lock(mutex_);
  for (const TableId id : options_.order) {
    Table table;
    table.id = id;
    tables_.push_back(std::move(table));
  }
}

Planner::Table& Planner::find(TableId id) {
  const auto found = std::ranges::find(tables_, id, &Table::id);
  CHECK(found != tables_.end());
  return *found;
}

void Planner::restore(const std::vector<ChunkMark>& marks) {
  const MutexLock lock(mutex_);
  for (Table& table : tables_) {
    std::vector<ChunkMark> own;
    std::ranges::copy_if(marks, std::back_inserter(own),
                         [&](const ChunkMark& mark) { return mark.table == table.id; });
    restore_table(table, std::move(own));
    publish(table);
  }
}

// Marks are ordered by sequence, which is key order; what lies between two of them is a gap.
void Planner::restore_table(Table& table, std::vector<ChunkMark> marks) {
  std::ranges::sort(marks, {}, &ChunkMark::first);
  for (const ChunkMark& mark : marks) {
    if (mark.first > table.next_sequence)
      table.gaps.push_back(
          {table.id, table.next_sequence, mark.first - 1, {table.cursor, mark.range.lower}, 0});
    table.next_sequence = mark.last + 1;
    table.cursor = mark.range.upper;
    table.planned_to_end = !mark.range.upper;
    board_.rows_done(table.id, mark.rows);
  }
}

bool Planner::finished(const Table& table) const {
  return table.planned_to_end && table.gaps.empty() && table.in_flight == 0;
}

void Planner::publish(Table& table) {
  follow_life(table);
  if (finished(table))
    board_.copied(table.id, table.generation);
  else if (table.next_sequence > 0)
    board_.planned(table.id, table.generation);
}

// Begins anew when every chunk has become void.
TableLife Planner::follow_life(Table& table) {
  TableLife life = board_.life(table.id);
  if (life.generation == table.generation) return life;
  table.gaps.clear();
  table.next_sequence = 0;
  table.cursor.reset();
  table.planned_to_end = false;
  table.generation = life.generation;
  table.partition = life.partition;
  table.outdated = true;
  return life;
}

Planner::Next Planner::next() {
  const MutexLock lock(mutex_);
  Next answer;
  for (const bool failing : {false, true})
    for (Table& table : tables_)
      if ((table.others_until > done_) == failing && offer(table, answer)) return answer;
  return answer;
}

bool Planner::offer(Table& table, Next& answer) {
  const TableLife life = follow_life(table);
  if (finished(table) || life.is_stopped()) return false;
  answer.kind = Next::Kind::Wait;
  table.outdated = table.outdated && (table.in_flight > 0 || table.planning);
  if (table.outdated) return false;
  if (life.empties) {
    if (table.planning) return false;
    table.planning = true;
    answer.kind = Next::Kind::Empty;
    answer.task.table = table.id;
    answer.task.generation = table.generation;
    return true;
  }
  if (!table.gaps.empty()) {
    answer.kind = Next::Kind::Scan;
    answer.task = table.gaps.front();
    table.gaps.pop_front();
    ++table.in_flight;
    return true;
  }
  if (table.planned_to_end || table.planning) return false;
  table.planning = true;
  answer.kind = Next::Kind::Plan;
  answer.task = {table.id,
                 table.next_sequence,
                 table.next_sequence,
                 {table.cursor, {}, table.partition},
                 table.generation};
  answer.rows = chunk_rows_;
  return true;
}

// Twice as many chunks of other tables each time, so that a table that stays locked costs them
// little.
void Planner::failed(Table& table) {
  constexpr std::uint32_t kDoublings = 6;
  table.failures = std::min(table.failures + 1, kDoublings);
  table.others_until = done_ + (std::uint64_t{1} << table.failures);
}

ChunkTask Planner::planned(const ChunkTask& task, std::optional<std::string> upper) {
  const MutexLock lock(mutex_);
  Table& table = find(task.table);
  table.planning = false;
  ChunkTask planned = task;
  planned.range.upper = std::move(upper);
  ++table.in_flight;
  if (table.generation != task.generation) return planned;  // Forgotten meanwhile: done() drops it.
  table.next_sequence = task.last + 1;
  table.cursor = planned.range.upper;
  table.planned_to_end = !planned.range.upper;
  publish(table);
  return planned;
}

void Planner::emptied(const ChunkTask& task) {
  const MutexLock lock(mutex_);
  find(task.table).planning = false;
  board_.emptied(task.table, task.generation);
}

void Planner::plan_failed(const ChunkTask& task) {
  const MutexLock lock(mutex_);
  Table& table = find(task.table);
  table.planning = false;
  failed(table);
}

void Planner::done(const ChunkTask& task, std::uint64_t rows, std::chrono::milliseconds took) {
  const MutexLock lock(mutex_);
  Table& table = find(task.table);
  CHECK(table.in_flight > 0);
  --table.in_flight;
  ++done_;
  table.failures = 0;
  table.others_until = 0;
  publish(table);
  if (table.generation == task.generation) board_.rows_done(task.table, rows);
  // A chunk that was cut short says nothing about a full one.
  if (rows * 2 < chunk_rows_ || took.count() == 0) return;
  const double scale =
      static_cast<double>(options_.chunk_aim.count()) / static_cast<double>(took.count());
  const double wanted = static_cast<double>(chunk_rows_) * std::clamp(scale, 0.5, 2.0);
  chunk_rows_ = std::clamp(static_cast<std::uint64_t>(wanted), options_.chunk_rows_min,
                           std::max(options_.chunk_rows_min, options_.chunk_rows_max));
  chunk_rows_ = std::min(chunk_rows_, options_.chunk_rows_max);
}

void Planner::retake(const ChunkTask& task, bool failed_to) {
  const MutexLock lock(mutex_);
  Table& table = find(task.table);
  CHECK(table.in_flight > 0);
  --table.in_flight;
  if (table.generation == task.generation) table.gaps.push_back(task);
  if (failed_to) failed(table);
  publish(table);
}

bool Planner::current(const ChunkTask& task) {
  const MutexLock lock(mutex_);
  Table& table = find(task.table);
  follow_life(table);
  return table.generation == task.generation;
}

bool Planner::all_done() {
  const MutexLock lock(mutex_);
  for (Table& table : tables_) follow_life(table);
  return std::ranges::all_of(
      tables_, [&](const Table& table) { return finished(table) || board_.stopped(table.id); });
}

}  // namespace lockstep
