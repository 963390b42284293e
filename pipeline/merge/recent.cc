#include "pipeline/merge/recent.h"

#include <algorithm>

#include "pipeline/base/rules.h"

namespace lockstep {
namespace {

// Distinct transactions kept in a degraded table before it falls back to the largest xid: a
// transaction of a million rows is one of them.
constexpr std::size_t kFloorXidsMax = 4096;

}  // namespace

Recent::Recent(std::size_t tables, std::size_t entries_max, const Visibility& visibility)
    : entries_max_(entries_max),
      visibility_(visibility),
      entries_(tables),
      floors_(tables),
      open_count_(tables, 0),
      held_(tables, false),
      any_written_(tables, false) {}

void Recent::record(TableId table, const Hash128& key, Xid xid, StreamId stream) {
  if (!rule_on(Rule::RecordBeforeSend)) return;
  const MutexLock lock(mutex_);
  written_.add(key);
  any_written_[table] = true;
  auto [entry, end] = entries_[table].equal_range(key);
  while (entry != end && entry->second.stream != stream) ++entry;
  if (entry != end) {
    entry->second.xid = xid;
    return;
  }
  entries_[table].emplace(key, Entry{xid, stream});
  ++entry_count_;
  if (entry_count_ <= entries_max_) return;
  forget_locked();
  if (entry_count_ > entries_max_) degrade_largest();
}

void Recent::record_table(TableId table, Xid xid) {
  const MutexLock lock(mutex_);
  lower(floors_[table], xid);
}

void Recent::lower(Floor& floor, Xid xid) {
  if (floor.xids.size() < kFloorXidsMax) {
    floor.xids.insert(xid);
    return;
  }
  floor.largest = std::max({floor.largest, xid, *floor.xids.rbegin()});
  floor.xids.clear();
}

// Each entry is given up once, and the largest table has the most: on average no more than a few
// steps for each that was recorded.
void Recent::degrade_largest() {
  const auto largest = std::ranges::max_element(entries_, {}, &Entries::size);
  Floor& floor = floors_[static_cast<std::size_t>(largest - entries_.begin())];
  for (const auto& [key, entry] : *largest) lower(floor, entry.xid);
  entry_count_ -= largest->size();
  largest->clear();
}

bool Recent::below_floor(TableId table, const Snapshot& snapshot) const {
  const Floor& floor = floors_[table];
  if (floor.largest != 0 && snapshot.xmin <= floor.largest) return true;
  return std::ranges::any_of(floor.xids, [&](Xid xid) { return !snapshot.sees(xid); });
}

Judgement Recent::judge_locked(TableId table, const Hash128& key, const Snapshot& snapshot) const {
  if (below_floor(table, snapshot)) return Judgement::Retake;
  if (!rule_on(Rule::DropUnseenRow)) return Judgement::Write;
  for (auto [entry, end] = entries_[table].equal_range(key); entry != end; ++entry)
    if (!snapshot.sees(entry->second.xid)) return Judgement::Drop;
  return Judgement::Write;
}

Judgement Recent::judge(TableId table, const Hash128& key, const Snapshot& snapshot) const {
  const MutexLock lock(mutex_);
  return judge_locked(table, key, snapshot);
}

std::optional<Xid> Recent::last_change(TableId table, const Hash128& key) const {
  const MutexLock lock(mutex_);
  std::optional<Xid> last;
  for (auto [entry, end] = entries_[table].equal_range(key); entry != end; ++entry)
    last = std::max(last, std::optional(entry->second.xid));
  return last;
}

// A row that is taken for a new one and is not fails to be copied, and goes through its lane then.
bool Recent::maybe_written(TableId table, const Hash128& key) {
  return any_written_[table] && written_.may_have(key);
}

void Recent::open_for_copy(TableId table, std::span<const Hash128> keys, const Snapshot& snapshot,
                           std::span<CopyJudgement> judgements) {
  CHECK(keys.size() == judgements.size());
  const MutexLock lock(mutex_);
  for (std::size_t i = 0; i < keys.size(); ++i) {
    judgements[i].judgement = judge_locked(table, keys[i], snapshot);
    judgements[i].via_lane = held_[table] || maybe_written(table, keys[i]);
    if (judgements[i].judgement != Judgement::Write || judgements[i].via_lane) continue;
    open_.add(keys[i]);
    ++open_count_[table];
  }
}

void Recent::close_copy(TableId table, std::span<const Hash128> keys) {
  const MutexLock lock(mutex_);
  for (const Hash128& key : keys) {
    CHECK(open_count_[table] > 0);
    open_.remove(key);
    --open_count_[table];
  }
}

bool Recent::copy_open(const Hash128& key) const {
  if (!rule_on(Rule::OpenCopySet)) return false;
  const MutexLock lock(mutex_);
  return open_.contains(key);
}

void Recent::hold_copies(TableId table, bool hold) {
  const MutexLock lock(mutex_);
  held_[table] = hold;
}

std::size_t Recent::open_copies(TableId table) const {
  const MutexLock lock(mutex_);
  return open_count_[table];
}

Judgement Recent::open_mark(TableId table, const Snapshot& snapshot) {
  const MutexLock lock(mutex_);
  if (below_floor(table, snapshot)) return Judgement::Retake;
  if (held_[table]) return Judgement::Drop;
  ++open_count_[table];
  return Judgement::Write;
}

void Recent::close_mark(TableId table) {
  const MutexLock lock(mutex_);
  CHECK(open_count_[table] > 0);
  --open_count_[table];
}

void Recent::forget() {
  const MutexLock lock(mutex_);
  forget_locked();
}

void Recent::forget_locked() {
  const std::uint64_t generation = visibility_.generation();
  if (generation == forgotten_at_) return;
  forgotten_at_ = generation;
  const Visibility::Horizon horizon = visibility_.horizon();
  if (horizon.snapshots.empty()) return;
  for (Entries& entries : entries_) {
    if (entries.empty()) continue;
    entry_count_ -=
        std::erase_if(entries, [&](const auto& each) { return horizon.passes(each.second.xid); });
  }
  for (Floor& floor : floors_) {
    std::erase_if(floor.xids, [&](Xid xid) { return horizon.passes(xid); });
    if (floor.largest != 0 && horizon.passes_all_below(floor.largest)) floor.largest = 0;
  }
}

std::size_t Recent::entries() const {
  const MutexLock lock(mutex_);
  return entry_count_;
}

}  // namespace lockstep
