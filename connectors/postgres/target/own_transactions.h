// OwnTransactions: the transactions in which we write to the target, so that rows which somebody
// else has written can be told (V9).
//
//   sessions: begin() ─> end(its id)        target reader: is that one of ours?
//
// Only what is certain counts: an answer is given where every transaction of ours is known that may
// have been the one.  Those of earlier processes are not.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <set>
#include <vector>

#include "pipeline/base/sync.h"
#include "pipeline/model/snapshot.h"

namespace lockstep {

// Safe for concurrent use.
class OwnTransactions {
 public:
  // `kept_max`: ids that are remembered, the newest.
  explicit OwnTransactions(std::size_t kept_max = 200'000) : kept_max_(kept_max) {}

  // Counts transactions in the order in which they began.
  using Number = std::uint64_t;
  // One session of ours, which has one transaction at a time.
  struct Session {
    Number open = 0;    // 0: none.
    bool lost = false;  // It had one whose id and end nobody knows.
  };
  // A transaction is about to begin.  REQUIRES: no server process of a lost one lives any more.
  void begin(Session& session);
  // It has come to its end, committed or not, under this id; 0: it has none.
  void end(Session& session, Xid xid);
  // The connection is gone.  Safe when no transaction is open.
  void lose(Session& session);

  // What has begun so far, and may be under way.
  Number begun() const;
  // Our transactions with the greatest ids up to `xid`, `most` of them: if one of those that had
  // `begun` wrote as `xid`, which is its own id or that of a part of it, it is among them, or older
  // than all of these.  Nothing while that is not certain.
  std::optional<std::vector<Xid>> up_to(Xid xid, std::size_t most, Number begun) const;

 private:
  const std::size_t kept_max_;
  mutable Mutex mutex_;
  Number begun_ GUARDED_BY(mutex_) = 0;
  std::set<Number> open_ GUARDED_BY(mutex_);
  std::size_t lost_ GUARDED_BY(mutex_) = 0;  // Sessions that have not written since they lost one.
  std::set<Xid> ids_ GUARDED_BY(mutex_);
  // Only above it all are known; nothing: none is.
  std::optional<Xid> floor_ GUARDED_BY(mutex_);
};

}  // namespace lockstep
