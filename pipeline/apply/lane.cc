#include "pipeline/apply/lane.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "pipeline/base/failpoint.h"
#include "pipeline/base/rules.h"
#include "pipeline/model/key.h"

namespace lockstep {
namespace {

// U is made durable with each batch only while it is small; a larger one is not relied on (I5).
constexpr std::size_t kIntentXidsMax = 4096;

// What lies before the horizon of its table (horizon_of).
bool came_before(const Change& change, Position horizon) {
  return change.sequence.minor != 0 && change.sequence.minor < horizon.major;
}

double seconds(std::chrono::steady_clock::duration time) {
  return std::chrono::duration<double>(time).count();
}

bool carries_a_value(const TableMap& table, std::string_view row) {
  CellReader cells(row);
  for (std::size_t i = 0; !cells.done(); ++i) {
    const bool available = cells.next().presence != Presence::Unavailable;
    if (available && std::ranges::find(table.key, i) == table.key.end()) return true;
  }
  return false;
}

}  // namespace

Lane::Lane(LaneOptions options, Shared shared, Target& target, StreamNames stream_names)
    : options_(options),
      shared_(shared),
      target_(target),
      stream_names_(std::move(stream_names)),
      recent_(*shared.recents[options.index]),
      last_commit_(shared.clock.now()) {
  if (!options_.shared_stream.empty())
    holds_.emplace(options_.shared_stream, shared_.tables, options_.index, shared_.progress);
  for (const TableMap* table : shared_.tables)
    table_meters_.push_back(&shared_.meters.table(table->text()));
}

void Lane::add(LaneItem item) {
  if (std::holds_alternative<WakeItem>(item)) return;
  pending_bytes_ += item_bytes(item);
  pending_.push_back(std::move(item));
}

bool Lane::drained() const {
  return pending_.empty() && batch_.empty() && !barrier_ && changed_holds().empty() &&
         rejoined().empty() && std::ranges::none_of(streams_, [](const auto& entry) {
           return entry.second.position != entry.second.committed;
         });
}

std::int64_t Lane::oldest_commit_us() const {
  const auto first = [](const auto& items) -> std::int64_t {
    for (const LaneItem& item : items) {
      const auto* changes = std::get_if<ChangesItem>(&item);
      if (changes != nullptr && !changes->changes.empty()) return changes->changes[0].commit_us;
    }
    return 0;
  };
  const std::int64_t of_batch = first(batch_);
  return of_batch != 0 ? of_batch : first(pending_);
}

Lane::StreamState& Lane::stream(StreamId id) {
  const auto [found, fresh] = streams_.try_emplace(id);
  StreamState& state = found->second;
  if (fresh) {
    state.name = stream_names_(id);
    if (const auto start = shared_.progress.start(state.name, options_.index)) {
      state.committed = state.position = state.skip_until = start->position;
      state.last_xid = start->last_xid;
      state.max_xid = start->max_xid;
      state.known = true;
    }
  }
  return state;
}

void Lane::pop_front() {
  pending_bytes_ -= item_bytes(pending_.front());
  pending_.pop_front();
}

Result<Lane::Step> Lane::step() {
  if (barrier_) return at_barrier();
  if (batch_.empty()) collect();
  if (!batch_.empty()) return apply_batch();
  if (pending_.empty()) return commit_watermark();
  if (std::holds_alternative<BarrierItem>(pending_.front())) {
    // A TRUNCATE raises the stream's position without the lane: what is held before it comes first.
    if (!changed_holds().empty() || !rejoined().empty()) return commit_progress();
    if (has_to_wait(std::get<BarrierItem>(pending_.front()).barrier->change()))
      return Step::Blocked;
    enter_barrier();
    return at_barrier();
  }
  return Step::Blocked;
}

// Takes items off the front until the batch is full, a barrier comes, or a key is held by a COPY or
// a sweep.
void Lane::collect() {
  while (!pending_.empty() && batch_rows_ < options_.batch_rows_max &&
         batch_bytes_ < options_.batch_bytes_max) {
    if (held_back()) return;
    LaneItem& item = pending_.front();
    bool taken = true;
    if (auto* changes = std::get_if<ChangesItem>(&item))
      taken = collect_changes(*changes);
    else if (auto* rows = std::get_if<RowsItem>(&item))
      taken = collect_rows(*rows);
    else if (auto* marks = std::get_if<WatermarkItem>(&item))
      note_watermarks(*marks);
    else if (const auto* held = std::get_if<HoldItem>(&item))
      leave_out(held->table, stream(0));
    else if (const auto* owe = std::get_if<OweItem>(&item))
      batch_rows_ += owe->hashes.size();
    else if (std::holds_alternative<FlushItem>(item))
      flush_ = true;
    else
      return;  // A barrier: everything before it is committed first.
    if (!taken) return;
    batch_bytes_ += item_bytes(item);
    const bool holds_rows = std::holds_alternative<ChangesItem>(item) ||
                            std::holds_alternative<RowsItem>(item) ||
                            std::holds_alternative<OweItem>(item);
    LaneItem moved = std::move(item);
    pending_bytes_ -= item_bytes(moved);
    pending_.pop_front();
    if (!holds_rows) continue;
    batch_.push_back(std::move(moved));
    fold_item(batch_.back());
  }
}

void Lane::fold_item(const LaneItem& item) {
  if (const auto* changes = std::get_if<ChangesItem>(&item)) {
    for (const Change& change : changes->changes) fold_change(change);
  } else if (const auto* owe = std::get_if<OweItem>(&item)) {
    fold_owed(*owe);
  } else {
    fold_rows(std::get<RowsItem>(item));
  }
}

// Whether the change waits for a sweep (V7), or for a moment at which the target stands still
// (V13). REQUIRES: it is what comes next.
bool Lane::has_to_wait(const Change& change) {
  const bool committed = batch_.empty() || !rule_on(Rule::ArriveAfterCommit);
  const auto now = shared_.clock.now();
  return shared_.hold.wait(change, committed, now) ||
         shared_.standstill.wait(options_.index, change, committed, now);
}

// Whether a change that has to wait comes next.  What lies before it in its item becomes an
// item of its own.  Before any of them is remembered: one that waits has not reached the target.
bool Lane::held_back() {
  auto* item = std::get_if<ChangesItem>(&pending_.front());
  if (item == nullptr || !(shared_.hold.placed() || shared_.standstill.active())) return false;
  std::vector<Change>& changes = item->changes;
  const auto held = std::ranges::find_if(changes, [&](const Change& change) {
    return (shared_.hold.holds(change) || shared_.standstill.holds(change)) &&
           change.debt != DebtReason::Snapshot && !shared_.board.stopped(change.table) &&
           !skipped(change, stream(change.stream));
  });
  if (held == changes.end()) return false;
  // The halves of a key change may carry one position, and are not committed apart (I13).
  auto cut = held;
  while (cut != changes.begin() && std::prev(cut)->stream == held->stream &&
         std::prev(cut)->next == held->next)
    --cut;
  if (cut == changes.begin()) return has_to_wait(*held) || held_back();
  pending_bytes_ -= item_bytes(pending_.front());
  ChangesItem before;
  std::move(changes.begin(), cut, std::back_inserter(before.changes));
  changes.erase(changes.begin(), cut);
  pending_bytes_ += item_bytes(pending_.front());
  pending_.emplace_front(std::move(before));
  pending_bytes_ += item_bytes(pending_.front());
  return false;
}

bool Lane::only_opens_debt(const Change& change) const {
  return change.kind == ChangeKind::Partial && change.debt != DebtReason::None &&
         !carries_a_value(*shared_.tables[change.table], change.row);
}

// Remembers the item's changes (I3) and then looks for keys held by a COPY (I18): in this order, a
// scanner that comes between finds the change and leaves its row out.
bool Lane::collect_changes(ChangesItem& item) {
  std::vector<Xid> xids;
  for (const Change& change : item.changes) {
    if (change.debt == DebtReason::Snapshot || skipped(change, stream(change.stream))) continue;
    recent_.record(change.table, change.key, change.xid, change.stream);
    if (xids.empty() || xids.back() != change.xid) xids.push_back(change.xid);
  }
  shared_.visibility.applied(xids);
  shared_.standstill.passed(xids);
  if (any_open(item)) return false;
  batch_rows_ += item.changes.size();
  return true;
}

bool Lane::any_open(const ChangesItem& item) const {
  return std::ranges::any_of(item.changes,
                             [&](const Change& c) { return recent_.copy_open(c.key); });
}

bool Lane::collect_rows(RowsItem& item) {
  if (item.settles) {
    const auto open = [&](const Hash128& key) { return recent_.copy_open(key); };
    if (std::ranges::any_of(item.keys, open) || std::ranges::any_of(item.absent_keys, open))
      return false;
    shared_.rereads.note(item.read->table->id, item.keys);
    shared_.rereads.note(item.read->table->id, item.absent_keys);
  }
  batch_rows_ += item.keys.size() + item.absent_keys.size();
  return true;
}

bool Lane::skipped(const Change& change, const StreamState& stream) const {
  const TableLife life = shared_.board.life(change.table);
  const Position done =
      holds_ ? holds_->resumed(change.table, stream.skip_until) : stream.skip_until;
  if (change.next <= done) return true;  // I8a
  if (!rule_on(Rule::NeverSkipForChunk) && shared_.visibility.horizon().passes(change.xid) &&
      life.copied)
    return true;
  return came_before(change, life.horizon);  // I8b
}

// Of a stopped table nothing is applied, and its position stays in front of it (I8).
void Lane::leave_out(TableId table, StreamState& stream) {
  if (holds_)
    holds_->hold(table, stream.skip_until);
  else
    stream.frozen = true;
}

void Lane::fold_change(const Change& change) {
  StreamState& at = stream(change.stream);
  const bool stopped = shared_.board.stopped(change.table);
  if (stopped) leave_out(change.table, at);
  const bool skip = stopped || skipped(change, at);
  if (!at.frozen) at.position = std::max(at.position, change.next);
  if (holds_) holds_->pass(change.next);
  if (skip) return void(++(stopped ? counts_.skipped_stopped : counts_.skipped_applied));
  at.last_xid = change.xid == 0 ? at.last_xid : change.xid;
  at.max_xid = std::max(at.max_xid, change.xid);
  const TableMap& table = *shared_.tables[change.table];
  Effect effect;
  effect.table = &table;
  effect.write = {change.row,       {},          change.key,   change.xid,
                  change.commit_us, change.debt, change.detail};
  switch (change.kind) {
    case ChangeKind::Delete:
      effect.kind = WriteKind::Delete;
      effect.write.key = change.row;
      break;
    case ChangeKind::Full:
    case ChangeKind::Partial:
      CHECK(extract_key(table, change.row, scratch_));
      effect.write.key = keys_.store(scratch_);
      if (change.kind == ChangeKind::Full) break;
      effect.rule = DebtRule::Keep;
      effect.kind = only_opens_debt(change) ? WriteKind::OpenDebt : WriteKind::Update;
      break;
    case ChangeKind::Truncate:
      CHECK(change.kind != ChangeKind::Truncate);  // Travels as a barrier.
  }
  count_change(change);
  fold_.add(effect);
}

// A row that must be read again under any later snapshot.
Effect Lane::owed(const TableMap& table, const Hash128& key, std::string_view key_cells,
                  DebtReason reason) const {
  Effect effect;
  effect.table = &table;
  effect.kind = WriteKind::OpenDebt;
  effect.rule = DebtRule::Keep;
  // What a comparison found is no change that is late.
  const std::int64_t since_us = reason == DebtReason::Divergent ? 0 : shared_.clock.wall_us();
  effect.write = {{}, key_cells, key, 0, since_us, reason, {}};
  return effect;
}

void Lane::fold_owed(const OweItem& item) {
  if (shared_.board.stopped(item.table->id)) return;
  for (std::size_t i = 0; i < item.hashes.size(); ++i)
    fold_.add(owed(*item.table, item.hashes[i], item.keys.row(i), item.reason));
}

void Lane::fold_rows(const RowsItem& item) {
  LaneReport& report = reports_.emplace_back();
  const TableMap& table = *item.read->table;
  const TableLife life = shared_.board.life(table.id);
  if (life.is_stopped()) {
    report.retake = true;
    return;
  }
  const auto add = [&](WriteKind kind, const Hash128& key, std::string_view row,
                       std::string_view key_cells, Holders holders) {
    const Judgement judgement = recent_.judge(table.id, key, item.read->snapshot);
    if (judgement != Judgement::Write) {
      report.retake = report.retake || judgement == Judgement::Retake;
      ++report.dropped;
      if (judgement == Judgement::Drop && life.is_doubtful())
        fold_.add(owed(table, key, key_cells, DebtReason::Doubtful));
      return;
    }
    Effect effect;
    effect.table = &table;
    effect.kind = kind;
    effect.rule = DebtRule::ClearVisible;
    effect.holders = holders;
    effect.snapshot = &item.read->snapshot;
    effect.write = {row, key_cells, key, 0, shared_.clock.wall_us(), DebtReason::None, {}};
    fold_.add(effect);
    ++report.written;
  };
  for (std::size_t i = 0; i < item.keys.size(); ++i) {
    CHECK(extract_key(table, item.rows.row(i), scratch_));
    const Holders holders = !item.settles || !rule_on(Rule::EvictHolder) ? Holders::Stay
                            : item.alone[i]                              ? Holders::Keep
                                                                         : Holders::Evict;
    add(WriteKind::Upsert, item.keys[i], item.rows.row(i), keys_.store(scratch_), holders);
  }
  for (std::size_t i = 0; i < item.absent_keys.size(); ++i) {
    const WriteKind kind = item.absent_deleted[i] ? WriteKind::Delete : WriteKind::Forget;
    add(kind, item.absent_keys[i], {}, item.absent.row(i), Holders::Stay);
  }
}

void Lane::note_watermarks(const WatermarkItem& item) {
  for (const Watermark& mark : item.watermarks) {
    StreamState& at = stream(mark.stream);
    at.marked = std::max(at.marked, mark.position);
    if (!at.frozen) at.position = std::max(at.position, mark.position);
    if (holds_) holds_->pass(mark.position);
  }
}

// A table stopped: the same items again, without it.
void Lane::refold() {
  fold_.clear();
  keys_.clear();
  reports_.clear();
  counts_ = {};
  // Also where it was frozen in this batch: what came before the stop in it was not committed.
  for (auto& [id, at] : streams_) at.position = at.committed;
  if (holds_) holds_->roll_back();
  for (const LaneItem& item : batch_) fold_item(item);
  // Watermarks travel outside the batch; their stream may never tell them again.
  for (auto& [id, at] : streams_) {
    if (!at.frozen) at.position = std::max(at.position, at.marked);
    if (holds_) holds_->pass(at.marked);
  }
}

Status Lane::save_intent() {
  std::optional<std::vector<Xid>> unseen = shared_.visibility.unseen(kIntentXidsMax);
  if (!unseen) return {};  // The stored U stays behind, which its batch number tells (I5).
  const auto begun = shared_.clock.now();
  LOCKSTEP_TRY(shared_.checkpoint.save_intent(
      {options_.index, options_.epoch, batch_number_ + 1, std::move(*unseen)}));
  shared_.meters.checkpoint_commit.add(seconds(shared_.clock.now() - begun));
  return {};
}

// The bytes of events that could not be read, for `quarantine show`.
Status Lane::save_evidence() const {
  for (const LaneItem& item : batch_) {
    const auto* changes = std::get_if<ChangesItem>(&item);
    if (changes == nullptr) continue;
    for (const Change& change : changes->changes) {
      if (change.evidence.empty()) continue;
      const TableMap& table = *shared_.tables[change.table];
      LOCKSTEP_TRY(shared_.checkpoint.save_evidence(
          fmt::format("{}/{:016x}{:016x}", table.text(), change.key.high, change.key.low),
          change.evidence));
    }
  }
  return {};
}

Result<Lane::Step> Lane::apply_batch() {
  LaneTransaction transaction = next_transaction();
  if (!rule_on(Rule::ProgressWithBatch)) {
    const LaneTransaction early{{}, std::exchange(transaction.progress, {}), transaction.batch};
    LOCKSTEP_TRY(target_.apply(early));
  }
  if (!transaction.runs.empty() || !transaction.progress.empty()) {
    LOCKSTEP_TRY(save_evidence());
    failpoint("lane_before_intent");
    LOCKSTEP_TRY(save_intent());
    failpoint("lane_after_intent");
    const auto begun = shared_.clock.now();
    LOCKSTEP_ASSIGN(const ApplyOutcome outcome, target_.apply(transaction));
    if (outcome.stop) {
      shared_.board.stop(outcome.stop->table, outcome.stop->error.message);
      refold();
      return Step::Applied;
    }
    shared_.meters.target_transaction.add(seconds(shared_.clock.now() - begun));
    committed(outcome);
  } else {
    committed({});
  }
  return Step::Applied;
}

void Lane::committed(const ApplyOutcome& outcome) {
  ++batch_number_;
  // Held tables first: the source may be told of the stream's position as soon as it is known.
  if (holds_ && !streams_.empty())
    holds_->committed(shared_.progress, streams_.begin()->second.position);
  for (auto& [id, at] : streams_) {
    if (at.position == at.committed && at.known) continue;
    at.committed = at.position;
    at.known = true;
    shared_.progress.committed(options_.index, at.name, at.position);
  }
  for (const DebtOpened& debt : outcome.opened) shared_.board.debts_opened(debt.table, 1);
  count_batch(outcome);
  sample_batch();
  std::size_t next_report = 0;
  for (const LaneItem& item : batch_) {
    const auto* rows = std::get_if<RowsItem>(&item);
    if (rows == nullptr) continue;
    rows->read->reports.push_now(reports_[next_report++], sizeof(LaneReport));
  }
  batch_.clear();
  batch_rows_ = batch_bytes_ = 0;
  counts_ = {};
  reports_.clear();
  fold_.clear();
  keys_.clear();
  flush_ = flush_ && !pending_.empty();
  last_commit_ = shared_.clock.now();
  recent_.forget();
}

}  // namespace lockstep
