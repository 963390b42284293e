// Supervisor: the proof that all that was committed before a moment is applied (V3), and what
// follows.
#include <algorithm>
#include <utility>

#include "pipeline/watch/supervisor.h"

namespace lockstep {
namespace {

// Between the first steps of a proof that somebody waits for: the direct stream passes it in a few
// milliseconds, a connector in seconds.
constexpr std::chrono::milliseconds kHurry{5};
constexpr const char* kProofPart = "the proof of being synced";

}  // namespace

std::set<std::string> Supervisor::paused() const {
  const MutexLock lock(mutex_);
  return paused_;
}

// What was read before a proof was asked for comes before its marker.
std::uint64_t Supervisor::prove_from_now(ProofOf of) {
  const MutexLock lock(mutex_);
  ++proofs_asked_;
  if (of == ProofOf::Tables) looks_asked_ = proofs_asked_;
  return proofs_asked_;
}

std::uint64_t Supervisor::take_asked() {
  const MutexLock lock(mutex_);
  looks_ = looks_asked_ > looked_;
  return proofs_asked_;
}

// One step towards the proof of V3; see the class invariant for the order.  While tables are copied
// it proves nothing but how far the stream is applied, which tells the lag.
Result<Supervisor::Conclusion> Supervisor::prove(bool want_proof) {
  const auto now = shared_.clock.now();
  const bool ready = backfilled_ && shapes_.settled();
  if (!ready || owes_rows()) forget_proof();
  if (held_back_) proof_.reset();
  const std::uint64_t asked = take_asked();
  const bool anew = std::exchange(proof_number_, asked) != asked;
  if (ready != proof_counts_ || anew) {
    proof_.reset();
    next_proof_ = {};
  }
  if (ready != proof_counts_) next_conclusion_ = {};
  proof_counts_ = ready;
  const bool patient = !want_proof || !ready;
  const bool hurry = !is_applied(asked);  // Somebody waits for it.
  next_tick_ = std::min(options_.tick_every, !hurry ? options_.tick_every
                                             : anew ? kHurry
                                                    : next_tick_ * 2);
  if (held_back_) tell_proof("");
  if (held_back_ || (patient && !hurry && now < next_proof_)) return Conclusion::GoOn;
  next_proof_ = now + options_.proof_step;
  auto conclusion = step_proof(ready, patient);
  // An error of a tick that is not patient is the tick's.  So is a target that has lost something:
  // conclude() may look back so often that the tick never has to.
  const bool fails = !conclusion && (!patient || target_lost_);
  if (!fails) tell_proof(conclusion ? proof_.fault() : conclusion.error().message);
  return conclusion || fails ? std::move(conclusion) : Conclusion::GoOn;
}

// A part of its own: what is broken on the way from the source's log to us.
void Supervisor::tell_proof(const std::string& fault) {
  events_.told(kProofPart, fault, health_.tell(kProofPart, fault, shared_.clock.now()));
}

Result<Supervisor::Conclusion> Supervisor::step_proof(bool ready, bool patient) {
  LOCKSTEP_ASSIGN(const bool applied, proof_.step(paused()));
  const bool passed = proof_.stream_passed();
  awaited_marker_.store(passed ? 0 : proof_.marker().value_or(0), std::memory_order_relaxed);
  awaits_lanes_.store(passed && !applied, std::memory_order_relaxed);
  if (passed) {
    const MutexLock lock(mutex_);
    passed_ = proof_number_;
    passed_ends_ = proof_.ends();
  }
  if (!applied) {
    if (!patient && proof_.fault().empty()) waits_for(proof_.waiting_for());
    return Conclusion::GoOn;
  }
  return use_proof(ready, patient);
}

// A sweep asks for a proof of each range, and a conclusion asks the catalogs of all tables: so
// while the run follows there is one now and then only, and when somebody wants it.
Result<Supervisor::Conclusion> Supervisor::use_proof(bool ready, bool patient) {
  const bool due = ready && (!patient || looks_ || shared_.clock.now() >= next_conclusion_);
  if (!looks_) tell_applied();
  Conclusion conclusion = Conclusion::GoOn;
  if (due) {
    LOCKSTEP_ASSIGN(conclusion, conclude());
  } else if (looks_) {
    LOCKSTEP_TRY(shapes_.look());
  }
  if (looks_) {
    looked_ = proof_number_;
    tell_applied();
  }
  if (!patient) return conclusion;
  const auto now = shared_.clock.now();
  // Rows that are owed may be settled in a moment: the passage is good for a while.
  if (due && conclusion == Conclusion::GoOn && now - proof_.begun() < options_.proof_every) {
    next_conclusion_ = next_proof_;
    return conclusion;
  }
  proof_.reset();
  if (due || !ready) next_conclusion_ = now + options_.proof_every;
  next_proof_ = next_conclusion_;
  return conclusion;
}

// Of one that is to tell of the tables, too, only then: who judges two looks at a key by it must
// not come between (V7).
void Supervisor::tell_applied() {
  {
    const MutexLock lock(mutex_);
    applied_until_ = proof_.begun();
  }
  applied_through_.store(proof_.marker().value_or(0), std::memory_order_release);
  proofs_applied_.store(proof_number_, std::memory_order_release);
}

std::optional<Ends> Supervisor::passed_ends(std::uint64_t proof) const {
  const MutexLock lock(mutex_);
  return passed_ >= proof ? std::optional(passed_ends_) : std::nullopt;
}

// Everything before the marker is applied: is there anything else that is missing?
Result<Supervisor::Conclusion> Supervisor::conclude() {
  LOCKSTEP_ASSIGN(const bool unchanged, shapes_.look());
  if (!unchanged) return Conclusion::GoOn;
  LOCKSTEP_TRY(look_around());
  if (owes_rows() && !count_is_due()) return Conclusion::GoOn;
  LOCKSTEP_TRY(count_debts());  // Counted after the positions: a debt opened by them is in it.
  if (owes_rows()) return Conclusion::GoOn;
  Proof proof;
  proof.position = proof_.marker().value_or(0);
  proof.exact = proof_.exact();
  proof.complete = is_complete();
  proof.at_us = proof_.begun_us();
  const MutexLock lock(mutex_);
  proven_ = proof;
  proven_at_ = proof_.begun();
  return proof.complete ? Conclusion::Synced : Conclusion::Incomplete;
}

void Supervisor::forget_proof() {
  const MutexLock lock(mutex_);
  proven_.reset();
}

}  // namespace lockstep
