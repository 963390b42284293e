// Shared: the parts of a run that lanes, scanners and readers of debts work on together.
//
// run/ makes each of them once and hands this list of references to whoever needs more than two.
#pragma once

#include <memory>
#include <vector>

#include "pipeline/apply/lane_item.h"
#include "pipeline/apply/table_board.h"
#include "pipeline/base/source_clock.h"
#include "pipeline/merge/key_hold.h"
#include "pipeline/merge/progress.h"
#include "pipeline/merge/recent.h"
#include "pipeline/merge/rereads.h"
#include "pipeline/merge/sample.h"
#include "pipeline/merge/standstill.h"
#include "pipeline/merge/visibility.h"
#include "pipeline/model/table.h"
#include "pipeline/ports/checkpoint.h"
#include "pipeline/ports/clock.h"
#include "pipeline/ports/meters.h"

namespace lockstep {

// What all lanes and scanners share.  Everything outlives them.
struct Shared {
  const std::vector<const TableMap*>& tables;  // By TableId.
  Visibility& visibility;
  std::vector<std::unique_ptr<Recent>>& recents;    // By lane.
  std::vector<std::unique_ptr<LaneQueue>>& queues;  // By lane.
  Progress& progress;
  TableBoard& board;
  CheckpointStore& checkpoint;
  const Clock& clock;
  KeyHold& hold;
  Rereads& rereads;
  Standstill& standstill;
  Sample& sample;
  Meters& meters;
  const SourceClock& source_clock;

  // Has every lane look again at what it waits for.
  void wake_lanes() const {
    for (const auto& queue : queues) queue->push_now(WakeItem{}, 0);
  }
  // Has every lane commit the position it has reached, also one without changes.
  void flush_lanes() const {
    for (const auto& queue : queues) queue->push_now(FlushItem{}, 0);
  }
};

}  // namespace lockstep
