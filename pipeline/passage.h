// Passage: has everything that was committed before a moment been applied?  (V3 of 03-reconcile.md)
//
//   marker L at the source -> the stream has passed L -> its ends -> every lane is past them
//
// Passive: its owner steps it until it answers yes.
#pragma once

#include <chrono>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "pipeline/lane.h"
#include "pipeline/ports.h"

namespace lockstep {

// Supervisor thread only.
class Passage {
 public:
  Passage(Shared shared, SourceProbe& probe, StreamProof& proof);

  // The moment is the first step() after this.
  void reset();
  // Goes one step on; streams in `paused` are left out.  Returns whether everything is applied.
  Result<bool> step(const std::set<std::string>& paused);

  // The stream was proven to have passed the marker; whether that proof is exact (V3).
  bool stream_passed() const { return passed_; }
  bool exact() const { return exact_; }
  // After a step() that answered no: one sentence for status.
  const std::string& waiting_for() const { return waiting_for_; }

 private:
  const Shared shared_;
  SourceProbe& probe_;
  StreamProof& proof_;
  std::optional<Lsn> marker_;
  std::chrono::steady_clock::time_point next_marker_{};
  bool passed_ = false;
  bool exact_ = false;
  std::vector<std::pair<std::string, Position>> ends_;
  std::string waiting_for_;
};

}  // namespace lockstep
