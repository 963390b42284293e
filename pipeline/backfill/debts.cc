#include "pipeline/backfill/debts.h"

#include <algorithm>
#include <utility>

namespace lockstep {

DebtReader::DebtReader(DebtReaderOptions options, Shared shared, ChunkReader& reader,
                       Target& target)
    : options_(options),
      shared_(shared),
      target_(target),
      reading_(reader, shared),
      keys_(reading_, reader, shared),
      seen_(shared.tables.size(), 0),
      empty_(shared.tables.size(), true),
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
  std::vector<WantedKey> keys;
  keys.reserve(debts_.size());
  for (const Debt& debt : debts_)
    keys.push_back({.cells = debt.key,
                    .hash = debt.key_hash,
                    .alone = debt.reason == DebtReason::DivergentAlone,
                    .deleted = may_have_been_deleted(debt.reason)});
  auto started = keys_.start(*table_, std::move(keys));
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

Result<DebtReader::Step> DebtReader::read_rows() {
  auto piece = keys_.read(options_.piece_bytes);
  if (!piece) return give_up(std::move(piece).error());
  if (piece->more) return Step::Working;
  reading_.end_reading();
  state_ = State::Draining;
  return Step::Working;
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
  state_ = State::Idle;
}

}  // namespace lockstep
