// Moment: lets the target stand still, so that both sides can be read alike while the source is
// written to.
//
//   begin ─> S at the source: see(S) ─> stands? ─> a snapshot of the target ─> release ─> exact?
//
// The target had exactly what S sees when every lane stood in front of a change that S does not see
// or was past a marker set after S (V3); nothing that had been sent before is unknown to S (I5);
// and nothing that S sees came afterwards.  What is owed to the target is its user's to look at.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <vector>

#include "pipeline/apply/lane_item.h"
#include "pipeline/merge/progress.h"
#include "pipeline/merge/standstill.h"
#include "pipeline/merge/visibility.h"
#include "pipeline/watch/supervisor.h"

namespace lockstep {

// Everything outlives the moment.
struct MomentParts {
  std::uint32_t lanes = 0;
  Visibility& visibility;
  Standstill& standstill;
  const Progress& progress;
  const Supervisor& supervisor;
  // Asks for a proof that begins now (Supervisor::prove_from_now).
  std::function<std::uint64_t()> prove;
  std::function<void()> wake_lanes;
};

// One user at a time, on any thread.  Lanes wait for seconds at most, whatever the user does.
class Moment {
 public:
  explicit Moment(MomentParts parts) : parts_(std::move(parts)) {}

  // Before S is taken.  From now on nothing new is written to the target.
  void begin();
  // S was taken; all that it sees goes on to the target.
  void see(const Snapshot& snapshot);
  // Whether a lane has waited for as long as it may, and goes on: this moment comes to nothing.
  bool is_over() const { return !parts_.standstill.active(); }
  // Whether the target has all that S sees, as far as is known.
  bool stands() const;
  // A snapshot of the target was taken; everything goes on.  Returns whether the target had
  // nothing that S does not see.
  bool release();
  // Whether it had all that S sees; nothing until that is known.
  std::optional<bool> exact() const;
  void end();

 private:
  void drop_ticket();

  const MomentParts parts_;
  std::optional<Visibility::Ticket> ticket_;
  Snapshot snapshot_;
  std::uint64_t proof_ = 0;
};

}  // namespace lockstep
