// Visibility: what every snapshot of the source must see before rows read under it may be written.
//
// scanner --begin()--> Visibility <--applied()-- lanes
//         --accept(S)->     ^
//                           └------probed()------ probe thread
//
// It holds U (I5): the transactions whose changes were applied and that no probe has seen yet, and
// the snapshots in flight, which keep every lane's recent entries alive (I4).
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <vector>

#include "pipeline/base/sync.h"
#include "pipeline/model/snapshot.h"

namespace lockstep {

// Safe for concurrent use.
//
// Invariant: while a snapshot in flight has no value yet, U only grows and nothing is forgettable.
class Visibility {
 public:
  using Ticket = std::uint64_t;

  // `floor`: a snapshot is accepted only if everything up to it is finished: the transaction id
  // assigned at the stream's start (P1), and after a restart without a provably current U the
  // largest xid in progress (I5).  `unseen`: the U that the checkpoint proved current.
  Visibility(Xid floor, std::span<const Xid> unseen);

  // Registers a snapshot before its BEGIN is sent.
  Ticket begin();
  // Gives the ticket its value.  Returns whether rows of it may be used (I5); the caller must
  // end() the ticket either way.
  // `begins_stream` (OpenSnapshot): the floor does not matter to it.
  bool accept(Ticket ticket, const Snapshot& snapshot, bool begins_stream = false);
  void end(Ticket ticket);

  // A newer snapshot of the source was probed.
  void probed(const Snapshot& snapshot);

  // Changes of these transactions are about to be sent to the target.  An unknown xid (0) is left
  // out: it is covered by the debt that its change opens.
  void applied(std::span<const Xid> xids);

  // A rule to test many xids with at once: what may be forgotten now (I4).
  struct Horizon {
    std::vector<Snapshot> snapshots;  // Every one must see the xid; empty: nothing is forgettable.
    bool passes(Xid xid) const;
    bool passes_all_below(Xid xid) const;  // Every xid <= `xid` is finished in all of them.
  };
  Horizon horizon() const;
  // Rises whenever horizon() may have moved.
  std::uint64_t generation() const;

  // U, for the checkpoint; nothing when it has more than `max` or is not known one by one.
  std::optional<std::vector<Xid>> unseen(std::size_t max) const;
  // The first transaction id that the last probe had not seen handed out; 0: nobody has probed yet.
  Xid newest() const;
  // Why the last snapshot was not accepted: the least xid it had to see; 0 when it was.
  Xid waiting_for() const;

 private:
  void reduce() REQUIRES(mutex_);

  const Xid floor_;
  mutable Mutex mutex_;
  std::set<Xid> unseen_ GUARDED_BY(mutex_);
  // Not 0: U was too large to be kept one by one; everything up to here must be finished.
  Xid unseen_floor_ GUARDED_BY(mutex_) = 0;
  std::map<Ticket, std::optional<Snapshot>> in_flight_ GUARDED_BY(mutex_);
  std::optional<Snapshot> probe_ GUARDED_BY(mutex_);
  Ticket next_ GUARDED_BY(mutex_) = 1;
  std::uint64_t generation_ GUARDED_BY(mutex_) = 0;
  Xid waiting_for_ GUARDED_BY(mutex_) = 0;
};

}  // namespace lockstep
