// LaneItem: what travels in a lane's queue.  The source thread pushes changes, watermarks and
// barriers; scanners push rows they read, and wake a lane that waits for their COPY.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "pipeline/base/bounded_queue.h"
#include "pipeline/base/sync.h"
#include "pipeline/model/change.h"
#include "pipeline/model/row_batch.h"
#include "pipeline/ports/target.h"

namespace lockstep {

// A lane's answer to a scanner about one RowsItem.
struct LaneReport {
  std::uint64_t written = 0;
  std::uint64_t dropped = 0;  // A newer change made them void (I7); of a debt: it stays open.
  bool retake = false;        // Some rows could not be judged: read the whole chunk again.
};

// One read of the source under one snapshot.  Shared (shared_ptr) by the scanner and the lanes that
// still hold rows of it: none of them knows who is last.
//
// Invariant: the snapshot counts as in flight (I4) until the last of them lets go.
struct SourceRead {
  SourceRead() = default;
  ~SourceRead() {
    if (on_end) on_end();
  }
  SourceRead(const SourceRead&) = delete;
  SourceRead& operator=(const SourceRead&) = delete;

  const TableMap* table = nullptr;
  Snapshot snapshot;
  BoundedQueue<LaneReport> reports{1 << 20};
  std::function<void()> on_end;
};

struct ChangesItem {
  std::vector<Change> changes;
};

// Rows read from the source for one lane.
struct RowsItem {
  std::shared_ptr<SourceRead> read;
  RowBatch rows;
  std::vector<Hash128> keys;         // Of `rows`.
  std::vector<bool> alone;           // Of `rows`, read for debts: no other row goes for it.
  bool settles = false;              // Read for debts: may evict; `absent` keys have no row.
  RowBatch absent;                   // Key cells.
  std::vector<Hash128> absent_keys;  // Of `absent`.
  // Of `absent`: the unreadable event may have been the delete, so the target's row goes, too.
  std::vector<bool> absent_deleted;
};

// Rows that must be read again from the source: each becomes a debt.
struct OweItem {
  const TableMap* table = nullptr;
  RowBatch keys;                // Key cells.
  std::vector<Hash128> hashes;  // Of `keys`.
  DebtReason reason = DebtReason::Doubtful;
};

struct WatermarkItem {
  std::vector<Watermark> watermarks;
};

// A table of a shared stream stopped: none of its changes behind this item will come.
struct HoldItem {
  TableId table = 0;
};

// A TRUNCATE: all lanes stop here; the last one to arrive carries it out, then all go on.
class Barrier {
 public:
  enum class Outcome : std::uint8_t {
    Truncated,  // The target is truncated, and the progress of raised() stands behind the event.
    Skipped,    // It was carried out in an earlier run, or a later TRUNCATE was.
    Stopped,    // The table had stopped before: the lanes stay in front of the event.
  };
  struct Arrival {
    RaisedLane lane;
    bool skips = false;   // The lane has passed the event in an earlier run.
    bool frozen = false;  // Its position stays: a change of a stopped table was left out.
  };

  Barrier(Change change, std::uint32_t lanes, bool several_partitions)
      : change_(std::move(change)), several_partitions_(several_partitions), waiting_(lanes) {}

  const Change& change() const { return change_; }
  bool several_partitions() const { return several_partitions_; }
  // A lane has committed everything before the barrier.  Returns whether it was the last one.
  bool arrive(const Arrival& arrival) {
    const MutexLock lock(mutex_);
    skipped_ = skipped_ || arrival.skips;
    if (!arrival.frozen) raised_.push_back(arrival.lane);
    return --waiting_ == 0;
  }
  // Whether any lane has passed the event before: then all of it was carried out, and again would
  // wipe what that lane does not apply again.  REQUIRES: all have arrived.
  bool skipped() const {
    const MutexLock lock(mutex_);
    return skipped_;
  }
  // Lanes whose progress rises with the truncation.  REQUIRES: all have arrived.
  std::vector<RaisedLane> raised() const {
    const MutexLock lock(mutex_);
    return raised_;
  }
  void release(Outcome outcome) {
    const MutexLock lock(mutex_);
    outcome_ = outcome;
  }
  // Nothing while the lanes have to wait.
  std::optional<Outcome> released() const {
    const MutexLock lock(mutex_);
    return outcome_;
  }

 private:
  const Change change_;
  const bool several_partitions_;
  mutable Mutex mutex_;
  std::uint32_t waiting_ GUARDED_BY(mutex_);
  bool skipped_ GUARDED_BY(mutex_) = false;
  std::vector<RaisedLane> raised_ GUARDED_BY(mutex_);
  std::optional<Outcome> outcome_ GUARDED_BY(mutex_);
};

struct BarrierItem {
  std::shared_ptr<Barrier> barrier;  // Shared by all lanes' queues.
};

// Something a waiting lane waits for may have happened.
struct WakeItem {};

// Commit the watermark now, not at the next interval.
struct FlushItem {};

using LaneItem = std::variant<ChangesItem, RowsItem, OweItem, WatermarkItem, HoldItem, BarrierItem,
                              WakeItem, FlushItem>;
using LaneQueue = BoundedQueue<LaneItem>;

std::size_t item_bytes(const LaneItem& item);

}  // namespace lockstep
