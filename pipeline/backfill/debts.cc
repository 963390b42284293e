#include "pipeline/backfill/debts.h"

#include <algorithm>
#include <utility>

#include "pipeline/apply/route.h"
#include "pipeline/base/failpoint.h"
#include "pipeline/base/rules.h"
#include "pipeline/model/key.h"

namespace lockstep {
DebtReader::DebtReader(DebtReaderOptions options, Shared shared, ChunkReader& reader,
                       Target& target)
    : options_(options),
      shared_(shared),
      reader_(reader),
      target_(target),
      reading_(reader, shared),
      seen_(shared.tables.size(), 0),
      empty_(shared.tables.size(), false),
      attempts_(shared.tables.size(), 0) {}

Result<DebtReader::Step> DebtReader::step() {
  switch (state_) {
    case State::Idle:
      return pick_table();
    case State::Opening:
      return open();
    case State::Reading:
      return read_rows();
    case State::Draining:
      return drain();
  }
  CHECK(false);
  return Step::Done;
}

// The next table, round robin, that may have debts.
Result<DebtReader::Step> DebtReader::pick_table() {
  if (shared_.clock.now() < not_before_) return Step::Done;
  for (std::size_t i = 0; i < shared_.tables.size(); ++i) {
    const auto id = static_cast<TableId>((next_table_ + i) % shared_.tables.size());
    const TableStatus status = shared_.board.status(id);
    if (status.life.is_stopped()) continue;
    if (empty_[id] && seen_[id] == status.debts_opened) continue;
    LOCKSTEP_ASSIGN(debts_, target_.open_debts(id, options_.debts_max));
    seen_[id] = status.debts_opened;
    empty_[id] = debts_.empty();
    if (debts_.empty() || must_wait(id)) continue;
    next_table_ = id + 1;
    table_ = shared_.tables[id];
    state_ = State::Opening;
    return Step::Working;
  }
  return Step::Done;
}

// Debts come with the fewest attempts first, so the first one tells when all of them have had one
// more: then some time passes, in which what stands in their way may go.  Rows that evict each
// other are debts of ever more attempts, too.
bool DebtReader::must_wait(TableId table) {
  const std::uint32_t attempts = debts_.front().attempts;
  if (std::exchange(attempts_[table], attempts) != attempts && attempts > 0) {
    not_before_ = shared_.clock.now() + options_.again_after;
    debts_.clear();
    return true;
  }
  return false;
}

Result<DebtReader::Step> DebtReader::open() {
  auto ready = reading_.prepare(*table_);
  if (!ready) return give_up(std::move(ready).error());
  if (*ready == Reading::Ready::Accepted) return leave_invisible() ? Step::Working : Step::Done;
  if (*ready != Reading::Ready::Yes) return Step::Waiting;
  std::vector<std::string> keys;
  keys.reserve(debts_.size());
  for (const Debt& debt : debts_) {
    keys.push_back(debt.key);
    if (debt.reason == DebtReason::DivergentAlone) alone_.insert(debt.key_hash);
  }
  auto started = reader_.start_keys(*table_, keys);
  if (!started) return give_up(std::move(started).error());
  state_ = State::Reading;
  return Step::Working;
}

// Debts whose transactions the snapshot does not see are left for a later one.  Returns whether any
// other is there.
bool DebtReader::leave_invisible() {
  const Snapshot& snapshot = reading_.snapshot();
  std::erase_if(debts_, [&](const Debt& d) { return d.xid != 0 && !snapshot.sees(d.xid); });
  if (!debts_.empty()) return true;
  not_before_ = shared_.clock.now() + options_.again_after;
  finish();
  return false;
}

// One piece at a time: rows may be large, and only a lane's full queue says when to stop.
Result<DebtReader::Step> DebtReader::read_rows() {
  RowBatch rows;
  auto more = reader_.read(rows, options_.piece_bytes);
  if (!more) return give_up(std::move(more).error());
  hand_rows_to_lanes(rows);
  if (*more) return Step::Working;
  auto shape = reader_.check_shape(*table_);
  if (!shape) return give_up(std::move(shape).error());
  reading_.end_reading();
  failpoint("debt_before_settle");
  hand_absent_to_lanes();
  state_ = State::Draining;
  return Step::Working;
}

void DebtReader::hand_rows_to_lanes(const RowBatch& rows) {
  const auto lanes = static_cast<std::uint32_t>(shared_.queues.size());
  std::vector<RowsItem> items(lanes);
  std::string key;
  for (std::size_t i = 0; i < rows.rows(); ++i) {
    CHECK(extract_key(*table_, rows.row(i), key));
    found_.push_back(key_hash(*table_, key));
    RowsItem& item = items[lane_of(*table_, found_.back(), lanes)];
    item.rows.add(rows.row(i));
    item.keys.push_back(found_.back());
    item.alone.push_back(alone_.contains(found_.back()));
  }
  push(std::move(items));
}

void DebtReader::hand_absent_to_lanes() {
  const auto lanes = static_cast<std::uint32_t>(shared_.queues.size());
  std::vector<RowsItem> items(lanes);
  std::ranges::sort(found_);
  for (const Debt& debt : debts_) {
    if (std::ranges::binary_search(found_, debt.key_hash)) continue;
    RowsItem& item = items[lane_of(*table_, debt.key_hash, lanes)];
    item.absent.add(debt.key);
    item.absent_keys.push_back(debt.key_hash);
    item.absent_deleted.push_back(may_have_been_deleted(debt.reason));
  }
  push(std::move(items));
}

void DebtReader::push(std::vector<RowsItem> items) {
  for (std::uint32_t lane = 0; lane < items.size(); ++lane) {
    if (items[lane].keys.empty() && items[lane].absent_keys.empty()) continue;
    items[lane].settles = true;
    reading_.hand_over(lane, std::move(items[lane]));
  }
}

Result<DebtReader::Step> DebtReader::drain() {
  const bool drained = reading_.drained([&](const LaneReport& report) {
    if (report.dropped > 0) not_before_ = shared_.clock.now() + options_.again_after;
  });
  if (!drained) return Step::Waiting;
  finish();
  return Step::Working;
}

// While lanes hold rows the snapshot stays registered.
Result<DebtReader::Step> DebtReader::give_up(Error error) {
  reading_.end_reading();
  state_ = State::Draining;
  if (error.reaction == Reaction::StopTable) {
    shared_.board.stop(table_->id, error.message);
    return Step::Working;
  }
  return fail(std::move(error));
}

void DebtReader::finish() {
  reading_.close();
  debts_.clear();
  found_.clear();
  alone_.clear();
  state_ = State::Idle;
}

}  // namespace lockstep
