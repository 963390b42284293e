#include "pipeline/run/moment.h"

#include <utility>

namespace lockstep {

// The ticket first: what is sent from now on is remembered until S is judged.
void Moment::begin() {
  end();
  ticket_ = parts_.visibility.begin();
  parts_.standstill.begin();
}

void Moment::see(const Snapshot& snapshot) {
  snapshot_ = snapshot;
  parts_.standstill.see(snapshot);
  parts_.wake_lanes();
  proof_ = parts_.prove();
}

bool Moment::stands() const {
  const auto ends = parts_.supervisor.passed_ends(proof_);
  if (!ends) return false;
  for (std::uint32_t lane = 0; lane < parts_.lanes; ++lane)
    if (!parts_.standstill.stands(lane) && !parts_.progress.reached(lane, *ends)) return false;
  return true;
}

bool Moment::release() {
  const bool stood = parts_.standstill.release();
  parts_.wake_lanes();
  const bool sees_all = ticket_ && parts_.visibility.accept(*ticket_, snapshot_);
  drop_ticket();
  return stood && sees_all;
}

std::optional<bool> Moment::exact() const {
  if (!parts_.supervisor.is_applied(proof_)) return std::nullopt;
  return !parts_.standstill.came_late();
}

void Moment::end() {
  parts_.standstill.end();
  parts_.wake_lanes();
  drop_ticket();
}

void Moment::drop_ticket() {
  if (const auto ticket = std::exchange(ticket_, std::nullopt)) parts_.visibility.end(*ticket);
}

}  // namespace lockstep
