// LaneItem: what travels in a lane's queue.  The source thread pushes changes, watermarks and
// barriers; scanners push rows they read, and wake a lane that waits for their COPY.
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <string>
#include <variant>
#include <vector>

#include "pipeline/bounded_queue.h"
#include "pipeline/change.h"
#include "pipeline/row_batch.h"

namespace lockstep {

// A lane's answer to a scanner about one RowsItem.
struct LaneReport {
  std::uint64_t written = 0;
  std::uint64_t dropped = 0;  // A newer change made them void (I7); of a debt: it stays open.
  bool retake = false;        // Some rows could not be judged: read the whole chunk again.
  std::vector<Hash128> refused;  // Of a debt: the target refused the row for a reason of its own.
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
  bool settles = false;              // Read for debts: may evict; `absent` keys have no row.
  RowBatch absent;                   // Key cells.
  std::vector<Hash128> absent_keys;  // Of `absent`.
};

struct WatermarkItem {
  std::vector<Watermark> watermarks;
};

// A TRUNCATE: all lanes stop here; the last one to arrive carries it out, then all go on.
class Barrier {
 public:
  Barrier(Change change, std::uint32_t lanes, bool several_partitions)
      : change_(std::move(change)), several_partitions_(several_partitions), waiting_(lanes) {}

  const Change& change() const { return change_; }
  bool several_partitions() const { return several_partitions_; }
  // A lane has committed everything before the barrier.  Returns whether it was the last one.
  bool arrive() { return waiting_.fetch_sub(1, std::memory_order_acq_rel) == 1; }
  // `carried_out`: the target is truncated; else the table had stopped before and the lanes stay
  // in front of the event.
  void release(bool carried_out) {
    carried_out_.store(carried_out, std::memory_order_relaxed);  // Ordered by released_.
    released_.store(true, std::memory_order_release);
  }
  bool carried_out() const { return carried_out_.load(std::memory_order_relaxed); }
  bool released() const { return released_.load(std::memory_order_acquire); }

 private:
  const Change change_;
  const bool several_partitions_;
  std::atomic<std::uint32_t> waiting_;  // acq_rel: the last lane sees what the others committed.
  std::atomic<bool> carried_out_{false};
  std::atomic<bool> released_{false};   // release/acquire: the truncation happened before going on.
};

struct BarrierItem {
  std::shared_ptr<Barrier> barrier;  // Shared by all lanes' queues.
};

// Something a waiting lane waits for may have happened.
struct WakeItem {};

// Commit the watermark now, not at the next interval.
struct FlushItem {};

using LaneItem =
    std::variant<ChangesItem, RowsItem, WatermarkItem, BarrierItem, WakeItem, FlushItem>;
using LaneQueue = BoundedQueue<LaneItem>;

std::size_t item_bytes(const LaneItem& item);

}  // namespace lockstep
