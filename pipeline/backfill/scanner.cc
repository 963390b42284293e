#include "pipeline/backfill/scanner.h"

#include <algorithm>
#include <utility>

#include "pipeline/apply/route.h"
#include "pipeline/base/failpoint.h"
#include "pipeline/base/rules.h"
#include "pipeline/model/key.h"

namespace lockstep {

using std::chrono::duration;
using std::chrono::duration_cast;
using std::chrono::milliseconds;

Scanner::Scanner(ScannerOptions options, Shared shared, Planner& planner, Pacer& pacer,
                 ChunkReader& reader, Target& target)
    : options_(options),
      shared_(shared),
      planner_(planner),
      pacer_(pacer),
      reader_(reader),
      target_(target),
      reading_(reader, shared),
      piece_bytes_(options.piece_bytes_max / 4) {
  piece_.via.resize(shared_.queues.size());
  piece_.opened.resize(shared_.queues.size());
}

void Scanner::Piece::clear() {
  rows.clear();
  keys.clear();
  direct.clear();
  for (auto& rows_of_lane : via) rows_of_lane.clear();
}

Result<Scanner::Step> Scanner::step() {
  if (state_ != State::Idle && shared_.board.stopped(table_->id)) leave();
  switch (state_) {
    case State::Idle:
      return take_task();
    case State::Opening:
      return open();
    case State::Reading:
      return read_piece();
    case State::Copying:
      return commit_copy();
    case State::Draining:
      return drain();
    case State::Marking:
      return mark();
  }
  CHECK(false);
  return Step::Done;
}

std::string Scanner::waiting_for() const {
  if (waits_for_flush()) return "the source to flush its log";
  if (state_ == State::Opening && refused_snapshot_)
    return "a snapshot of the source that sees transaction " +
           std::to_string(shared_.visibility.waiting_for());
  return {};
}

Result<Scanner::Step> Scanner::take_task() {
  Planner::Next next = planner_.next();
  switch (next.kind) {
    case Planner::Next::Kind::Done:
      return Step::Done;
    case Planner::Next::Kind::Wait:
      return Step::Waiting;
    case Planner::Next::Kind::Empty:
      return empty_table(next.task);
    case Planner::Next::Kind::Scan:
      task_ = std::move(next.task);
      break;
    case Planner::Next::Kind::Plan: {
      const TableMap& table = *shared_.tables[next.task.table];
      auto upper = reader_.bound_after(table, next.task.range, next.rows);
      if (!upper) {
        planner_.plan_failed(next.task);
        if (upper.error().reaction != Reaction::StopTable) return fail(std::move(upper).error());
        shared_.board.stop(table.id, upper.error().message);
        return Step::Working;
      }
      task_ = planner_.planned(next.task, std::move(*upper));
    }
  }
  table_ = shared_.tables[task_.table];
  void_ = failed_ = marked_ = read_complete_ = false;
  all_direct_ = true;
  rows_ = 0;
  begun_ = shared_.clock.now();
  state_ = State::Opening;
  return Step::Working;
}

// No key that the source lacks may stay (I9's exception), and nothing is lost with the others: what
// was applied before is seen by every snapshot that is accepted from now on (I5), and what comes
// later is written behind this, or opens a debt where it finds no row or voids a chunk's (I7, I17).
// Rows of an older reading have all landed before: the planner waits for them.
Result<Scanner::Step> Scanner::empty_table(const ChunkTask& task) {
  Truncation all;
  all.table = task.table;
  all.forget_chunks = true;
  const Status emptied = rule_on(Rule::EmptyBeforeCopy) ? target_.truncate(all) : Status();
  if (emptied) {
    planner_.emptied(task);
    return Step::Working;
  }
  planner_.plan_failed(task);
  if (emptied.error().reaction != Reaction::StopTable) return fail(emptied.error());
  shared_.board.stop(task.table, emptied.error().message);
  return Step::Working;
}

Result<Scanner::Step> Scanner::open() {
  auto ready = reading_.prepare(*table_);
  if (!ready) return give_up(std::move(ready).error());
  refused_snapshot_ = *ready == Reading::Ready::Refused;
  if (*ready == Reading::Ready::Accepted) {
    failpoint("chunk_after_snapshot");
    return Step::Working;
  }
  if (*ready != Reading::Ready::Yes) return Step::Waiting;
  auto started = reader_.start_range(*table_, task_.range);
  if (!started) return give_up(std::move(started).error());
  state_ = State::Reading;
  return Step::Working;
}

Result<Scanner::Step> Scanner::read_piece() {
  if (pacer_.waits(shared_.clock.now())) return Step::Waiting;
  piece_.clear();
  const auto begun = shared_.clock.now();
  auto more = reader_.read(piece_.rows, piece_bytes_);
  if (!more) return give_up(std::move(more).error());
  rows_ += piece_.rows.rows();
  shared_.meters.source_read.add(duration<double>(shared_.clock.now() - begun).count());
  shared_.meters.bytes_copied.add(piece_.rows.bytes());
  pacer_.spend({piece_.rows.rows(), piece_.rows.bytes()}, shared_.clock.now());
  read_complete_ = !*more;
  if (read_complete_) {
    auto shape = reader_.check_shape(*table_);
    if (!shape) return give_up(std::move(shape).error());
    reading_.end_reading();
  }
  auto judged = judge_piece();
  if (!judged) return give_up(std::move(judged).error());
  return copy_piece();
}

// Says for each row whether it goes straight into the target, through its lane, or nowhere.
Status Scanner::judge_piece() {
  const auto lanes = static_cast<std::uint32_t>(shared_.queues.size());
  std::vector<std::vector<std::uint32_t>> by_lane(lanes);
  std::string key;
  for (std::uint32_t row = 0; row < piece_.rows.rows(); ++row) {
    if (!extract_key(*table_, piece_.rows.row(row), key))
      return fail(Reaction::StopTable,
                  "table " + table_->text() + " has a row whose key is NULL; it cannot be copied");
    piece_.keys.push_back(key_hash(*table_, key));
    by_lane[lane_of(*table_, piece_.keys.back(), lanes)].push_back(row);
  }
  for (std::uint32_t lane = 0; lane < lanes; ++lane)
    if (!by_lane[lane].empty()) judge_lane(lane, by_lane[lane]);
  return {};
}

void Scanner::judge_lane(std::uint32_t lane, const std::vector<std::uint32_t>& rows) {
  if (!options_.direct_copy || !table_->direct_copy ||
      shared_.board.life(table_->id).is_doubtful()) {
    piece_.via[lane] = rows;
    return;
  }
  std::vector<Hash128> keys;
  keys.reserve(rows.size());
  for (const std::uint32_t row : rows) keys.push_back(piece_.keys[row]);
  std::vector<Recent::CopyJudgement> judgements(keys.size());
  shared_.recents[lane]->open_for_copy(table_->id, keys, reading_.snapshot(), judgements);
  std::uint64_t dropped = 0;
  const auto others = static_cast<std::ptrdiff_t>(piece_.direct.size());
  for (std::size_t i = 0; i < rows.size(); ++i) {
    if (judgements[i].judgement == Judgement::Retake) void_ = true;
    if (judgements[i].judgement == Judgement::Drop) ++dropped;
    if (judgements[i].judgement != Judgement::Write) continue;
    if (judgements[i].via_lane) {
      piece_.via[lane].push_back(rows[i]);
    } else {
      piece_.direct.push_back(rows[i]);
      piece_.opened[lane].push_back(keys[i]);
    }
  }
  // The target's index takes rows in key order best.
  std::ranges::inplace_merge(piece_.direct, piece_.direct.begin() + others);
  shared_.board.rows_dropped(table_->id, dropped);
}

Result<Scanner::Step> Scanner::copy_piece() {
  if (void_) {
    abort_pending_ = true;  // No COPY has begun; this only closes the open set.
    state_ = State::Draining;
    return Step::Working;
  }
  if (piece_.direct.empty()) {
    hand_to_lanes();
    state_ = read_complete_ ? State::Draining : State::Reading;
    return Step::Working;
  }
  const auto before = shared_.clock.now();
  auto copied = target_.copy(*table_, piece_.rows, piece_.direct);
  adapt_piece(shared_.clock.now() - before);
  if (copied) {
    state_ = State::Copying;
    return Step::Working;
  }
  if (copied.error().reaction != Reaction::Reject) return give_up(std::move(copied).error());
  // A row exists already: all of the piece through the lanes.
  if (auto aborted = abort_copy(); !aborted) return give_up(std::move(aborted).error());
  const auto lanes = static_cast<std::uint32_t>(shared_.queues.size());
  for (const std::uint32_t row : std::exchange(piece_.direct, {}))
    piece_.via[lane_of(*table_, piece_.keys[row], lanes)].push_back(row);
  hand_to_lanes();
  state_ = read_complete_ ? State::Draining : State::Reading;
  return Step::Working;
}

Result<Scanner::Step> Scanner::commit_copy() {
  std::optional<ChunkMark> mark;
  // While the COPY is open no TRUNCATE passes, so the answer stays true until it is committed.
  void_ = void_ || !planner_.current(task_);
  const bool none_via =
      std::ranges::all_of(piece_.via, [](const auto& rows) { return rows.empty(); });
  if (read_complete_ && all_direct_ && none_via && !void_ && is_marked()) mark = chunk_mark();
  auto committed = target_.copy_commit(mark);
  if (!committed) return give_up(std::move(committed).error());
  marked_ = mark.has_value();
  close_copy();
  hand_to_lanes();
  state_ = read_complete_ ? State::Draining : State::Reading;
  return Step::Working;
}

// Ends the COPY without effect; only then may the lanes pass its keys again.
Status Scanner::abort_copy() {
  abort_pending_ = true;
  LOCKSTEP_TRY(target_.copy_abort());
  abort_pending_ = false;
  close_copy();
  return {};
}

void Scanner::close_copy() {
  for (std::uint32_t lane = 0; lane < piece_.opened.size(); ++lane) {
    if (piece_.opened[lane].empty()) continue;
    shared_.recents[lane]->close_copy(table_->id, piece_.opened[lane]);
    piece_.opened[lane].clear();
    shared_.queues[lane]->push_now(WakeItem{}, 0);
  }
}

void Scanner::hand_to_lanes() {
  for (std::uint32_t lane = 0; lane < piece_.via.size(); ++lane) {
    const auto& rows = piece_.via[lane];
    for (std::size_t begin = 0; begin < rows.size(); begin += options_.item_rows_max) {
      RowsItem item;
      const std::size_t end = std::min(rows.size(), begin + options_.item_rows_max);
      for (std::size_t i = begin; i < end; ++i) {
        item.rows.add(piece_.rows.row(rows[i]));
        item.keys.push_back(piece_.keys[rows[i]]);
      }
      all_direct_ = false;
      // Closing: the chunk is not marked, and will be taken again.
      if (!reading_.hand_over(lane, std::move(item))) void_ = true;
    }
  }
  piece_.clear();
}

// Waits until every lane has committed or dropped the rows it was given (I10).
Result<Scanner::Step> Scanner::drain() {
  if (abort_pending_) LOCKSTEP_TRY(abort_copy());
  const bool drained = reading_.drained([&](const LaneReport& report) {
    shared_.board.rows_dropped(table_->id, report.dropped);
    void_ = void_ || report.retake;
  });
  if (!drained && rule_on(Rule::MarkAfterCommit)) return Step::Waiting;
  if (void_ || marked_ || !is_marked()) {
    finish(!void_);
    return Step::Working;
  }
  state_ = State::Marking;
  return Step::Working;
}

Result<Scanner::Step> Scanner::mark() {
  Recent& recent = *shared_.recents[0];
  switch (recent.open_mark(table_->id, reading_.snapshot())) {
    case Judgement::Drop:
      return Step::Waiting;  // A TRUNCATE is passing.
    case Judgement::Retake:
      finish(false);
      return Step::Working;
    case Judgement::Write:
      break;
  }
  if (!planner_.current(task_)) {
    recent.close_mark(table_->id);
    shared_.queues[0]->push_now(WakeItem{}, 0);
    finish(false);
    return Step::Working;
  }
  auto marked = target_.mark_done(chunk_mark());
  recent.close_mark(table_->id);
  shared_.queues[0]->push_now(WakeItem{}, 0);
  LOCKSTEP_TRY(std::move(marked));  // Retry: this state is entered again.
  finish(true);
  return Step::Working;
}

// An error of the chunk under way: it will be taken again, or its table stops.
Result<Scanner::Step> Scanner::give_up(Error error) {
  void_ = failed_ = true;
  const bool copying =
      std::ranges::any_of(piece_.opened, [](const auto& keys) { return !keys.empty(); });
  abort_pending_ = abort_pending_ || copying;
  piece_.clear();
  reading_.end_reading();
  state_ = State::Draining;
  if (error.reaction == Reaction::StopTable || error.reaction == Reaction::Reject) {
    shared_.board.stop(table_->id, error.message);
    return Step::Working;
  }
  return fail(std::move(error));
}

void Scanner::leave() {
  if (state_ != State::Opening && state_ != State::Reading) return;
  void_ = true;
  piece_.clear();
  reading_.end_reading();
  state_ = State::Draining;
}

void Scanner::finish(bool done) {
  reading_.close();
  state_ = State::Idle;
  if (!done) {
    shared_.meters.chunks_retaken.add(1);
    planner_.retake(task_, failed_);
    return;
  }
  shared_.meters.chunks_done.add(1);
  shared_.meters.chunk.add(duration<double>(shared_.clock.now() - begun_).count());
  planner_.done(task_, rows_, duration_cast<milliseconds>(shared_.clock.now() - begun_));
}

ChunkMark Scanner::chunk_mark() const {
  return {task_.table, task_.first, task_.last, task_.range, rows_};
}

void Scanner::adapt_piece(std::chrono::steady_clock::duration took) {
  if (took > options_.piece_aim)
    piece_bytes_ = std::max(options_.piece_bytes_min, piece_bytes_ / 2);
  else if (took * 2 < options_.piece_aim)
    piece_bytes_ = std::min(options_.piece_bytes_max, piece_bytes_ * 2);
}

}  // namespace lockstep
