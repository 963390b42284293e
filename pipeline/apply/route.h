// Router: from the source's batches to the lanes' queues: every change of one key goes to one lane,
// in source order (I2); a TRUNCATE goes to all of them, as a barrier (I15).
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "pipeline/apply/shared.h"
#include "pipeline/ports/source.h"

namespace lockstep {

// The lane of a key of `table`; one lane for the whole table where its order matters.
std::uint32_t lane_of(const TableMap& table, const Hash128& key, std::uint32_t lanes);

struct RouterOptions {
  std::uint32_t lanes = 1;
  std::size_t item_changes_max = 500;  // Changes in one queue item.
  // Whether the table's changes come in several streams now (I15).  Asked on the source thread.
  std::function<bool(TableId)> several_streams;
  bool shared_stream = false;  // All tables come in one: a table that stops is held by every lane.
};

// Used by the source thread.  Waits while a lane's queue is full: that is the back-pressure.
class Router {
 public:
  Router(RouterOptions options, Shared shared);

  // The source has `streams` streams now.  Each new one gets a progress row of every lane before
  // any of its changes is applied: without it a restart could not tell it from one that appeared
  // while nobody looked.  Returns false once the queues are closed.
  bool announce(std::size_t streams);
  // Takes the batch.  REQUIRES: changes that carry one position come in one batch, side by side.
  // Returns false once the queues are closed.
  bool route(ChangeBatch& batch);

 private:
  bool push(std::uint32_t lane, LaneItem item);
  bool push_changes(std::uint32_t lane);
  bool push_barrier(Change change);
  bool push_watermarks(const std::vector<Watermark>& watermarks);

  const RouterOptions options_;
  const Shared shared_;
  std::size_t announced_ = 0;       // Streams.
  std::vector<ChangesItem> items_;  // By lane, not yet pushed.
};

}  // namespace lockstep
