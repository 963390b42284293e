// Recent: what one lane remembers of the keys it changed, so that a chunk row read before such a
// change cannot overwrite it (I3, I4, I7), and which keys an uncommitted direct COPY holds (I18).
//
// Shared by its lane and all scanners; one small mutex per lane.
#pragma once

#include <cstdint>
#include <optional>
#include <set>
#include <span>
#include <unordered_map>
#include <vector>

#include "pipeline/base/sync.h"
#include "pipeline/merge/key_counts.h"
#include "pipeline/merge/visibility.h"
#include "pipeline/merge/written_keys.h"
#include "pipeline/model/change.h"
#include "pipeline/model/snapshot.h"

namespace lockstep {

// What happens to a row read under a snapshot.
enum class Judgement : std::uint8_t {
  Write,   // The snapshot sees the key's last change: write all columns.
  Drop,    // It does not: the change is newer (I7).
  Retake,  // Not known any more (overflow, TRUNCATE): the whole chunk must be read again.
};

// Safe for concurrent use.
//
// Invariant: for every change that was sent to the target and that some snapshot in flight does not
// see, judge() under that snapshot does not answer Write.
class Recent {
 public:
  // `entries_max`: keys remembered, of all tables, before the largest table's entries degrade to
  // its transactions.
  Recent(std::size_t tables, std::size_t entries_max, const Visibility& visibility);

  // Remembers a change.  REQUIRES: called before it is sent (I3).
  // Of the changes that come through one stream the last one that is recorded is the newest.  A row
  // whose key changed is read again by an event of its old key, which may come through another
  // stream, behind newer changes or before them: of each stream one change is remembered.
  void record(TableId table, const Hash128& key, Xid xid, StreamId stream);
  // The whole table changed (TRUNCATE): rows of snapshots that do not see `xid` are void.
  void record_table(TableId table, Xid xid);

  Judgement judge(TableId table, const Hash128& key, const Snapshot& snapshot) const;
  // The transaction of the key's last change, while it is remembered; for people.
  std::optional<Xid> last_change(TableId table, const Hash128& key) const;

  // For a direct COPY: judges each key and, where the judgement is Write, opens it: one step, so
  // that no event of the key slips between (I18).  All three spans have one length.  A key whose
  // table is held (hold_copies) is not opened; its row must go through the lane: `via_lane` is set.
  struct CopyJudgement {
    Judgement judgement = Judgement::Write;
    bool via_lane = false;
  };
  void open_for_copy(TableId table, std::span<const Hash128> keys, const Snapshot& snapshot,
                     std::span<CopyJudgement> judgements);
  // The COPY committed or aborted.
  void close_copy(TableId table, std::span<const Hash128> keys);
  // Whether a COPY in flight holds the key.
  bool copy_open(const Hash128& key) const;
  // Turns direct COPYs of a table away (a TRUNCATE waits for the open ones to end) or lets them in.
  void hold_copies(TableId table, bool hold);
  std::size_t open_copies(TableId table) const;
  // A done-mark written apart from a COPY counts as one open COPY, so that no TRUNCATE passes it.
  // Returns Retake when the snapshot's rows are void, Drop while COPYs are held (ask again).
  Judgement open_mark(TableId table, const Snapshot& snapshot);
  void close_mark(TableId table);

  // Forgets what every snapshot in flight and a newer probe see (I4).
  void forget();

  std::size_t entries() const;

 private:
  struct Entry {
    Xid xid = 0;
    StreamId stream = 0;
  };
  using Entries = std::unordered_multimap<Hash128, Entry, Hash128Hasher>;
  // What is left of a table's entries after an overflow or a TRUNCATE.
  struct Floor {
    std::set<Xid> xids;
    Xid largest = 0;  // Not 0: too many xids; every xid up to it must be finished.
    bool empty() const { return xids.empty() && largest == 0; }
  };

  Judgement judge_locked(TableId table, const Hash128& key, const Snapshot& snapshot) const
      REQUIRES(mutex_);
  bool below_floor(TableId table, const Snapshot& snapshot) const REQUIRES(mutex_);
  void degrade_largest() REQUIRES(mutex_);
  void lower(Floor& floor, Xid xid) REQUIRES(mutex_);
  void forget_locked() REQUIRES(mutex_);
  bool maybe_written(TableId table, const Hash128& key) REQUIRES(mutex_);

  const std::size_t entries_max_;
  const Visibility& visibility_;
  mutable Mutex mutex_;
  std::vector<Entries> entries_ GUARDED_BY(mutex_);  // By TableId.
  std::size_t entry_count_ GUARDED_BY(mutex_) = 0;   // Of all tables.
  std::vector<Floor> floors_ GUARDED_BY(mutex_);     // By TableId.
  KeyCounts open_ GUARDED_BY(mutex_);
  std::vector<std::size_t> open_count_ GUARDED_BY(mutex_);  // By TableId.
  std::vector<bool> held_ GUARDED_BY(mutex_);               // By TableId.
  WrittenKeys written_ GUARDED_BY(mutex_);
  std::vector<bool> any_written_ GUARDED_BY(mutex_);   // By TableId.
  std::uint64_t forgotten_at_ GUARDED_BY(mutex_) = 0;  // Visibility's generation.
};

}  // namespace lockstep
