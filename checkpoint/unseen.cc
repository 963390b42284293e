#include "checkpoint/unseen.h"

#include <algorithm>

namespace lockstep {
namespace {

bool covered(const LaneBatch& lane, std::span<const LaneIntent> intents) {
  return std::any_of(intents.begin(), intents.end(), [&](const LaneIntent& intent) {
    return intent.lane == lane.lane && intent.epoch == lane.epoch && intent.batch >= lane.batch;
  });
}

}  // namespace

std::optional<Unseen> current_unseen(const std::optional<Incarnation>& incarnation,
                                     std::span<const LaneIntent> intents, std::uint64_t epoch,
                                     std::span<const LaneBatch> committed) {
  if (!incarnation || incarnation->epoch != epoch) return std::nullopt;
  for (const LaneBatch& lane : committed) {
    // A lane that committed nothing in this epoch added nothing to what the incarnation inherited.
    if (lane.epoch < epoch) continue;
    if (lane.epoch > epoch || !covered(lane, intents)) return std::nullopt;
  }
  Unseen unseen{incarnation->floor, incarnation->unseen};
  for (const LaneIntent& intent : intents) {
    if (intent.epoch != epoch) continue;
    unseen.xids.insert(unseen.xids.end(), intent.unseen.begin(), intent.unseen.end());
  }
  std::sort(unseen.xids.begin(), unseen.xids.end());
  unseen.xids.erase(std::unique(unseen.xids.begin(), unseen.xids.end()), unseen.xids.end());
  return unseen;
}

}  // namespace lockstep
