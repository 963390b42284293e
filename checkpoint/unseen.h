// Unseen: whether the U that the checkpoint holds (I5) is provably current after a restart.
//
//   target: epoch, last batch of each lane ──┐
//                                            ├── current_unseen() ──> Visibility(floor, U), or its
//   checkpoint: Incarnation, LaneIntents ────┘                        fall-back, the largest xid
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "checkpoint/records.h"
#include "pipeline/ports/checkpoint.h"

namespace lockstep {

// What the target's progress says of one lane: the last transaction it committed, and in which
// incarnation.
struct LaneBatch {
  std::uint32_t lane = 0;
  std::uint64_t epoch = 0;
  std::uint64_t batch = 0;
};

// U as the last incarnation had it, or more.  Every transaction whose changes may be on the target
// is in `xids`, or at most `floor`, or has been seen by a probe.
struct Unseen {
  Xid floor = 0;
  std::vector<Xid> xids;  // Ascending, distinct.

  friend bool operator==(const Unseen&, const Unseen&) = default;
};

// Returns U if it is provably current, else nothing (an older copy of the state directory, an empty
// one, a target restored to a point in time, a crash before the incarnation was recorded).
//
// `epoch`: of the last incarnation, as the target's fence had it before ours raised it.
// `committed`: per lane, from the target's progress, read after the fence was taken.
//
// It is current when the incarnation of `epoch` is the recorded one and every lane that committed
// in it has an intent of it that is at least as new: a lane saves its intent before it commits.
// An intent that is newer than the lane's commit only makes U larger, which is safe.
std::optional<Unseen> current_unseen(const std::optional<Incarnation>& incarnation,
                                     std::span<const LaneIntent> intents, std::uint64_t epoch,
                                     std::span<const LaneBatch> committed);

}  // namespace lockstep
