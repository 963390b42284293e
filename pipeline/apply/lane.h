// Lane: applies the changes and chunk rows of its share of the keys, in order, batch by batch.
//
//   source ─┐ queue                fold              one transaction
//   scanner ┴──────> pending ───> batch ───> runs ───> Target ───> Progress, Recent, reports
//
// A lane is passive: runner.cc (or the simulator) feeds add() and calls step().
#pragma once

#include <array>
#include <chrono>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "pipeline/apply/fold.h"
#include "pipeline/apply/lane_item.h"
#include "pipeline/apply/shared.h"
#include "pipeline/apply/table_board.h"
#include "pipeline/apply/table_holds.h"
#include "pipeline/merge/progress.h"
#include "pipeline/merge/recent.h"
#include "pipeline/merge/visibility.h"
#include "pipeline/ports/checkpoint.h"
#include "pipeline/ports/clock.h"
#include "pipeline/ports/target.h"

namespace lockstep {

struct LaneOptions {
  std::uint32_t index = 0;
  std::uint64_t epoch = 0;
  std::string shared_stream;  // The one stream of all tables; "": each has streams of its own.
  std::size_t batch_bytes_max = 4 << 20;
  std::size_t batch_rows_max = 4000;
  std::chrono::milliseconds watermark_every{1000};  // Idle lanes commit it at this pace.
};

// Used by one thread, its lane's.
//
// Invariant: a position is committed in the transaction of the last change before it, never
// earlier.
class Lane {
 public:
  enum class Step : std::uint8_t {
    Idle,     // Nothing to do: wait for an item.
    Applied,  // A transaction was committed; call again.
    Blocked,  // Waits for a COPY of a scanner, for a sweep, or at a barrier: an item will tell
              // (WakeItem).
  };

  // `stream_names` answers a StreamId's name; safe to call from this lane's thread.
  using StreamNames = std::function<std::string(StreamId)>;

  Lane(LaneOptions options, Shared shared, Target& target, StreamNames stream_names);

  void add(LaneItem item);
  std::size_t pending_bytes() const { return pending_bytes_; }
  // Commit time of the oldest change it holds; 0 when none.
  std::int64_t oldest_commit_us() const;
  // No item waits and every position is committed.
  bool drained() const;

  // Applies the next batch in one target transaction.
  // Retry: nothing is lost; call again, later.  Halt: I16 or fenced.
  Result<Step> step();

 private:
  struct StreamState {
    std::string name;
    Position committed;   // On the target.
    Position position;    // After the batch under way.
    Position skip_until;  // Committed when this process started (I8a).
    Position marked;      // The last watermark.
    Xid last_xid = 0;
    Xid max_xid = 0;
    bool known = false;   // The target has a row of it.
    bool frozen = false;  // A change of a stopped table was left out: the position stays.  Of a
                          // stream of the table's own; on a shared one the table is held.
  };

  void collect();
  bool collect_changes(ChangesItem& item);
  bool collect_rows(RowsItem& item);
  bool held_back();
  bool has_to_wait(const Change& change);
  bool any_open(const ChangesItem& item) const;
  bool skipped(const Change& change, const StreamState& stream) const;
  void leave_out(TableId table, StreamState& stream);
  void fold_change(const Change& change);
  Effect owed(const TableMap& table, const Hash128& key, std::string_view key_cells,
              DebtReason reason) const;
  void fold_item(const LaneItem& item);
  void fold_owed(const OweItem& item);
  void fold_rows(const RowsItem& item);
  void note_watermarks(const WatermarkItem& item);
  void refold();

  Result<Step> apply_batch();
  bool only_opens_debt(const Change& change) const;
  Status save_intent();
  void committed(const ApplyOutcome& outcome);
  void count_change(const Change& change);
  void count_batch(const ApplyOutcome& outcome);
  void sample_batch();
  Result<Step> commit_watermark();
  Result<Step> commit_progress();
  void enter_barrier();
  Result<Step> at_barrier();
  void pass_barrier();
  Status carry_out(Barrier& barrier);
  Status save_evidence() const;

  StreamState& stream(StreamId id);
  // Of the rows of single tables (table_holds.h).
  std::vector<ProgressRow> changed_holds() const;
  std::vector<std::string> rejoined() const;
  std::vector<ProgressRow> changed_progress() const;
  LaneTransaction next_transaction();
  void pop_front();

  const LaneOptions options_;
  const Shared shared_;
  Target& target_;
  const StreamNames stream_names_;
  Recent& recent_;

  std::deque<LaneItem> pending_;
  std::size_t pending_bytes_ = 0;
  // Items of the transaction under way.  A deque: effects borrow their bytes, and moving a short
  // RowBatch would move them.
  std::deque<LaneItem> batch_;
  std::size_t batch_rows_ = 0;
  std::size_t batch_bytes_ = 0;
  std::vector<LaneReport> reports_;  // One per RowsItem of the batch.
  Fold fold_;
  Arena keys_;
  std::string scratch_;
  // Of the batch, until it is committed: what Meters and the board are told then.
  struct BatchCounts {
    std::map<TableId, std::array<std::uint64_t, kChangeKinds>> applied;  // By ChangeKind.
    // Commit times, and how many changes in a row have each.
    std::vector<std::pair<std::int64_t, std::uint64_t>> commits;
    std::uint64_t skipped_applied = 0;
    std::uint64_t skipped_stopped = 0;
  };
  BatchCounts counts_;
  std::vector<TableMeters*> table_meters_;  // By TableId.
  std::map<StreamId, StreamState> streams_;
  std::optional<TableHolds> holds_;   // Of a shared stream.
  std::shared_ptr<Barrier> barrier_;  // Arrived at, not passed.
  bool barrier_arrived_ = false;
  bool executes_barrier_ = false;
  bool flush_ = false;
  std::uint64_t batch_number_ = 0;  // Of this lane's last transaction in this epoch.
  std::chrono::steady_clock::time_point last_commit_;
};

}  // namespace lockstep
