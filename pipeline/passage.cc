#include "pipeline/passage.h"

#include <algorithm>
#include <iterator>

namespace lockstep {
namespace {

constexpr std::chrono::seconds kMarkerEvery{2};

}  // namespace

Passage::Passage(Shared shared, SourceProbe& probe, StreamProof& proof)
    : shared_(shared), probe_(probe), proof_(proof) {}

void Passage::reset() {
  marker_.reset();
  passed_ = exact_ = false;
  ends_.clear();
}

Result<bool> Passage::step(const std::set<std::string>& paused) {
  if (!marker_) {
    LOCKSTEP_ASSIGN(marker_, probe_.emit_marker());
    next_marker_ = shared_.clock.now() + kMarkerEvery;
  }
  if (!passed_) {
    LOCKSTEP_ASSIGN(StreamProof::Answer answer, proof_.reached(*marker_));
    if (!answer.reached) {
      waiting_for_ = std::move(answer.waiting_for);
      // A connector's offset moves with commits only, and L may lie a little behind the marker's:
      // on an idle source nothing would ever pass it but another marker.
      if (shared_.clock.now() >= next_marker_) {
        next_marker_ = shared_.clock.now() + kMarkerEvery;
        LOCKSTEP_ASSIGN([[maybe_unused]] const Lsn later, probe_.emit_marker());
      }
      return false;
    }
    passed_ = true;
    exact_ = answer.exact;
    ends_ = std::move(answer.ends);
  }
  for (const auto& queue : shared_.queues) queue->push_now(FlushItem{}, 0);
  std::vector<std::pair<std::string, Position>> ends;
  std::ranges::copy_if(ends_, std::back_inserter(ends),
                       [&](const auto& end) { return !paused.contains(end.first); });
  std::string behind;
  if (shared_.progress.reached(ends, &behind)) return true;
  waiting_for_ = "every lane to commit " + behind;
  return false;
}

}  // namespace lockstep
