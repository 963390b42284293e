// CheckpointStore: our own durable state.
//
// Every call is blocking and bounded.  A connection that is lost answers Reaction::Retry; the next
// call connects again.  No port is thread-safe unless it says so: each object belongs to one
// thread.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "pipeline/base/result.h"
#include "pipeline/model/snapshot.h"

namespace lockstep {

// What a lane is about to commit, made durable first, so that after a crash U is known (I5).
struct LaneIntent {
  std::uint32_t lane = 0;
  std::uint64_t epoch = 0;
  std::uint64_t batch = 0;
  std::vector<Xid> unseen;  // U: applied, and not yet seen by a probe.
};

class CheckpointStore {
 public:
  virtual ~CheckpointStore() = default;
  // Safe for concurrent use by the lanes.  Durable on return.
  virtual Status save_intent(const LaneIntent& intent) = 0;
  // Raw bytes of an event that became a debt, for `quarantine show`; bounded by the store.
  virtual Status save_evidence(std::string_view id, std::string_view event) = 0;
};

}  // namespace lockstep
