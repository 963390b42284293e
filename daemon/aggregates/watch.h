// AggregateWatch: takes the manifest's aggregates on both sides at one position of the source.
//
// A Moment (pipeline/run/moment.h) lets the target stand still while the second snapshot is taken.
// Rows that are owed are read again under later snapshots, so that no debt may be open meanwhile.
// Both snapshots then stay open for as long as the statements take.
#pragma once

#include <chrono>
#include <functional>
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
  Result<bool> align();
  Result<bool> align_until(Time until);
  void end();  // Both transactions.
  Result<bool> stand_still(const RunState::Servers& servers);
  Result<bool> await(const std::function<bool(Moment&)>& done);
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
  std::uint64_t run_ = 0;  // Whose moment it is (RunState).
  Lsn position_ = 0;       // Of the snapshots that are open.
  bool slow_ = false;      // The last attempt had lanes wait in vain: not soon again.
  std::string why_;        // The last attempt came to nothing.
};

}  // namespace lockstep
