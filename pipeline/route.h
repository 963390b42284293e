// Router: from the source's batches to the lanes' queues: every change of one key goes to one lane,
// in source order (I2); a TRUNCATE goes to all of them, as a barrier (I15).
#pragma once

#include <cstdint>
#include <set>
#include <vector>

#include "pipeline/lane.h"
#include "pipeline/ports.h"

namespace lockstep {

// The lane of a key of `table`; one lane for the whole table where its order matters.
std::uint32_t lane_of(const TableMap& table, const Hash128& key, std::uint32_t lanes);

struct RouterOptions {
  std::uint32_t lanes = 1;
  std::size_t item_changes_max = 500;       // Changes in one queue item.
  std::set<TableId> several_partitions;     // Tables whose topic has more than one (I15).
};

// Used by the source thread.  Waits while a lane's queue is full: that is the back-pressure.
class Router {
 public:
  Router(RouterOptions options, Shared shared);

  // Takes the batch.  Returns false once the queues are closed.
  bool route(ChangeBatch& batch);

 private:
  bool push(std::uint32_t lane, LaneItem item);
  bool push_changes(std::uint32_t lane);
  bool push_barrier(Change change);
  bool push_watermarks(const std::vector<Watermark>& watermarks);

  const RouterOptions options_;
  const Shared shared_;
  std::vector<ChangesItem> items_;  // By lane, not yet pushed.
};

}  // namespace lockstep
