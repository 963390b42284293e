// Passage: has everything that was committed before a moment been applied?  (V3)
//
//   marker L at the source -> the stream has passed L -> its ends -> every lane is past them
//
// Passive: its owner steps it until it answers yes.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "pipeline/merge/progress.h"
#include "pipeline/ports/clock.h"
#include "pipeline/ports/probe.h"
#include "pipeline/ports/proof.h"

namespace lockstep {

// What somebody wants to know who asks for a proof that begins now (Supervisor::prove_from_now).
enum class ProofOf : std::uint8_t {
  Stream,  // All that was committed before is applied.
  Tables,  // And the catalogs of all tables were looked at since: what they tell of is noticed.
};

// What a Passage looks at.  Everything outlives it.
struct PassageParts {
  SourceProbe& probe;
  StreamProof& proof;
  const Progress& progress;
  const Clock& clock;
  // Has every lane commit the position it has reached, also one without changes.
  std::function<void()> flush_lanes;
};

// Supervisor thread only.
class Passage {
 public:
  explicit Passage(PassageParts parts);

  // The moment is the first step() after this.
  void reset();
  // Goes one step on; streams in `paused` are left out.  Returns whether everything is applied.
  Result<bool> step(const std::set<std::string>& paused);

  // The stream was proven to have passed the marker; whether that proof is exact (V3).
  bool stream_passed() const { return passed_; }
  bool exact() const { return exact_; }
  // What every lane has to commit then, as of the last step().
  const Ends& ends() const { return awaited_; }
  // Everything that was committed before it is what the passage is about; nothing before a step().
  std::optional<Lsn> marker() const { return marker_; }
  // When the marker was asked for.
  std::chrono::steady_clock::time_point begun() const { return begun_; }
  std::int64_t begun_us() const { return begun_us_; }  // The same by the wall clock.
  // After a step() that answered no: one sentence for status.
  const std::string& waiting_for() const { return waiting_for_; }
  // As of the last step(): what is broken on the stream's way; "": nothing.
  const std::string& fault() const { return fault_; }

 private:
  const PassageParts parts_;
  std::optional<Lsn> marker_;
  std::chrono::steady_clock::time_point begun_{};
  std::int64_t begun_us_ = 0;
  std::chrono::steady_clock::time_point next_marker_{};
  bool passed_ = false;
  bool exact_ = false;
  Ends ends_;     // As the proof told them.
  Ends awaited_;  // Without streams that are paused, and with the tables' own ones.
  std::string waiting_for_;
  std::string fault_;
};

}  // namespace lockstep
