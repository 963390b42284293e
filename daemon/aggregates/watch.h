// AggregateWatch: takes the manifest's aggregates on both sides at one position of the source.
//
//   S at the source ─> all that S sees is applied (V3) ─> a snapshot of the target
//                          └─> was anything applied that S does not see? ─> take both anew
//
// What a lane applies it notes in Visibility before it is sent, and while a ticket without a value
// is out nothing of that is forgotten: so S, accepted under that ticket once the target's snapshot
// is there, says whether the target has anything newer.  Rows that are owed are read again under
// later snapshots, so that no debt may be open meanwhile.  Both snapshots then stay open for as
// long as the statements take.
#pragma once

#include <chrono>
#include <string>
#include <vector>

#include "config/manifest.h"
#include "daemon/aggregates/board.h"
#include "daemon/aggregates/side.h"
#include "daemon/run_state.h"
#include "pipeline/base/bounded_queue.h"

namespace lockstep {

// run() on a thread of its own, stop() from any.
class AggregateWatch {
 public:
  // Borrows all.  `scheduled`: also without being asked, as the manifest says.
  AggregateWatch(const Manifest& manifest, RunState& state, AggregateBoard& board, bool scheduled);

  // Takes what is due, or was asked for, once every table is followed; until stop().
  void run();
  void stop() { over_.close(); }

 private:
  using Time = std::chrono::steady_clock::time_point;

  std::vector<const ManifestAggregate*> due() const;
  bool is_ready() const;
  void take(const std::vector<const ManifestAggregate*>& wanted);
  Result<bool> align(Time until);
  Result<bool> wait_for_proof(const AlignedMoment& moment, Time until);
  Result<AggregateResult> compare(const ManifestAggregate& aggregate);
  Result<std::string> known_lack();
  Status judge(const ManifestAggregate& aggregate, const AggregateRow& source,
               const AggregateRow& target, AggregateResult& result);
  void put_all(const std::vector<const ManifestAggregate*>& wanted, AggregateState state,
               const std::string& reason);

  const Manifest& manifest_;
  RunState& state_;
  AggregateBoard& board_;
  const bool scheduled_;
  const BookkeepingName bookkeeping_;
  BoundedQueue<char> over_{1};  // Closed once the run has ended.
  AggregateSide source_;
  AggregateSide target_;
  Lsn position_ = 0;  // Of the snapshots that are open.
  std::string why_;   // The last attempt came to nothing.
};

}  // namespace lockstep
