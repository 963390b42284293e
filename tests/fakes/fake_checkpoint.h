// FakeCheckpoint: what RocksDB would hold, with every older copy of it, since an operator may put
// one back.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "checkpoint/records.h"
#include "pipeline/ports/checkpoint.h"
#include "tests/fakes/chaos.h"
#include "tests/fakes/fake_verified.h"

namespace lockstep {

struct CheckpointState {
  std::optional<Incarnation> incarnation;
  std::map<std::uint32_t, LaneIntent> intents;  // By lane.
};

class FakeCheckpoint final : public CheckpointStore {
 public:
  explicit FakeCheckpoint(Chaos& chaos) : chaos_(chaos) {}

  Status save_intent(const LaneIntent& intent) override {
    chaos_.interleave("save_intent");
    if (chaos_.killed()) return killed_process();
    const Fate fate = chaos_.fate("save_intent");
    if (fate == Fate::LostBefore) return lost_connection();
    if (fate == Fate::KilledBefore || fate == Fate::Zombie) return killed_process();
    older_.push_back(state_);
    state_.intents[intent.lane] = intent;
    if (fate == Fate::KilledAfter) return killed_process();
    if (fate == Fate::LostAfter) return lost_connection();
    return {};
  }
  Status save_evidence(std::string_view id, std::string_view event) override {
    evidence_[std::string(id)] = event;
    return {};
  }

  void begin_incarnation(const Incarnation& incarnation) {
    older_.push_back(state_);
    state_.incarnation = incarnation;
  }
  const CheckpointState& state() const { return state_; }
  const std::map<std::string, std::string>& evidence() const { return evidence_; }
  std::size_t older_copies() const { return older_.size(); }
  void restore(std::size_t copy) { state_ = older_[copy]; }
  void wipe() {
    state_ = {};
    verified_.wipe();
  }
  FakeVerified& verified() { return verified_; }

 private:
  Chaos& chaos_;
  CheckpointState state_;
  std::vector<CheckpointState> older_;
  std::map<std::string, std::string> evidence_;
  FakeVerified verified_;
};

}  // namespace lockstep
