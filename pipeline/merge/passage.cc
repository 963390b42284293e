#include "pipeline/merge/passage.h"

namespace lockstep {
namespace {

constexpr std::chrono::seconds kMarkerEvery{2};

}  // namespace

Passage::Passage(PassageParts parts) : parts_(std::move(parts)) {}

void Passage::reset() {
  marker_.reset();
  passed_ = exact_ = false;
  ends_.clear();
}

Result<bool> Passage::step(const std::set<std::string>& paused) {
  fault_.clear();
  if (!marker_) {
    begun_ = parts_.clock.now();
    begun_us_ = parts_.clock.wall_us();
    LOCKSTEP_ASSIGN(marker_, parts_.probe.emit_marker());
    next_marker_ = parts_.clock.now() + kMarkerEvery;
  }
  if (!passed_) {
    LOCKSTEP_ASSIGN(StreamProof::Answer answer, parts_.proof.reached(*marker_));
    if (!answer.reached) {
      waiting_for_ = std::move(answer.waiting_for);
      fault_ = std::move(answer.fault);
      // A connector's offset moves with commits only, and L may lie a little behind the marker's:
      // on an idle source nothing would ever pass it but another marker.
      if (parts_.clock.now() >= next_marker_) {
        next_marker_ = parts_.clock.now() + kMarkerEvery;
        LOCKSTEP_ASSIGN([[maybe_unused]] const Lsn later, parts_.probe.emit_marker());
      }
      return false;
    }
    passed_ = true;
    exact_ = answer.exact;
    ends_ = std::move(answer.ends);
  }
  parts_.flush_lanes();
  awaited_.clear();
  const auto await = [&](const std::string& name, Position end) {
    if (!paused.contains(name)) awaited_.emplace_back(name, end);
  };
  for (const auto& [name, end] : ends_) {
    await(name, end);
    // A table that had stopped is behind the stream for a while after it goes on.
    for (const std::string& own : parts_.progress.own_streams(name)) await(own, end);
  }
  std::string behind;
  if (parts_.progress.reached(awaited_, &behind)) return true;
  waiting_for_ = "every lane to commit " + behind;
  return false;
}

}  // namespace lockstep
