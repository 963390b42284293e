// Sweep: keys that change all the time (V7).
#include <algorithm>
#include <iterator>
#include <utility>

#include "pipeline/model/key.h"
#include "pipeline/reconcile/sweep.h"

namespace lockstep {
namespace {

// Lanes wait during a look at held keys, so between two of them they have their time.
constexpr std::chrono::milliseconds kHeldAgainAfter{100};
// A proof that is asked for begins anew for everyone who waits for one.
constexpr std::chrono::seconds kArrivesWithin{1};

}  // namespace

// A key with a debt is not held: its row comes when the debt is settled, and not before.
bool Sweep::needs_hold(const Suspect& suspect) const {
  return suspect.busy && suspect.doubts >= options_.doubts_to_hold;
}

// Busy keys go by themselves: a proof (V3) of others would wait for the lanes that wait for this
// look.  While some turn out to be calm, all suspects are looked at in between, since that takes
// one proof for all.  So it is after a key was unequal: only a proof tells of what does not come in
// the key's own order, a TRUNCATE in another partition or a rewrite, and before that nobody looks
// again (V6).
bool Sweep::pick_busy(Table& table) {
  if (std::exchange(table.all_next, false)) return false;
  for (const auto& [hash, suspect] : table.suspects) {
    if (!needs_hold(suspect)) continue;
    work_.keys.push_back(suspect.key);
    if (work_.keys.size() >= options_.held_max) break;
  }
  work_.held = work_.keeps_rows = !work_.keys.empty();
  return work_.held;
}

// Every change of the keys waits from before S is taken, so that none slips by until S is known.
Result<Reading::Ready> Sweep::prepare_held() {
  const Compared& compared = *tables_[work_.table]->compared;
  if (!reading_.is_open()) {
    std::vector<Hash128> keys;
    for (const std::string& key : work_.keys)
      keys.push_back(key_hash(*shared_.tables[work_.table], key));
    shared_.hold.place(work_.table, keys);
  }
  LOCKSTEP_ASSIGN(const Reading::Ready ready,
                  reading_.prepare(compared.view(Compared::From::Source)));
  if (ready == Reading::Ready::Refused) let_go();
  if (ready == Reading::Ready::Accepted) {
    shared_.hold.see(reading_.snapshot());
    proof_ = 0;
    prove_at_ = shared_.clock.now() + kArrivesWithin;
    shared_.wake_lanes();
  }
  return ready;
}

// Whether all that S sees of `work_.keys` is on the target.  Lanes tell of each key that has
// arrived: those are read at once, and the others later.  Of keys that do not, a proof tells.
bool Sweep::prove_held() {
  shared_.hold.await(options_.arrival_wait);
  const std::vector<Hash128> arrived = shared_.hold.arrived();
  if (!arrived.empty()) {
    const TableMap& map = *shared_.tables[work_.table];
    const auto later = std::ranges::partition(work_.keys, [&](const std::string& key) {
      return std::ranges::find(arrived, key_hash(map, key)) != arrived.end();
    });
    std::ranges::move(later, std::back_inserter(work_.later));
    work_.keys.erase(later.begin(), later.end());
    return true;
  }
  if (proof_ == 0 && shared_.clock.now() < prove_at_) return false;
  if (proof_ == 0) proof_ = ports_.prove(ProofOf::Tables);
  if (!ports_.is_applied(proof_)) return false;
  tables_[work_.table]->all_next = true;
  return true;
}

// The held keys that were just judged go on.  Returns whether others are still to be read.
bool Sweep::more_held() {
  if (!work_.held) return false;
  const TableMap& map = *shared_.tables[work_.table];
  for (const std::string& key : work_.keys) shared_.hold.release(key_hash(map, key));
  shared_.wake_lanes();
  work_.keys = std::exchange(work_.later, {});
  if (work_.keys.empty()) {
    next_look_ = shared_.clock.now() + kHeldAgainAfter;
    return false;
  }
  ports_.target.end();
  state_ = State::Proving;
  return true;
}

void Sweep::let_go() {
  if (!work_.held) return;
  shared_.hold.release_all();
  shared_.wake_lanes();
}

// Once a key is to be held, only looks that held it count.
Status Sweep::leave_in_doubt(Table& table, Suspects::iterator at) {
  Suspect& suspect = at->second;
  const bool to_be_held = needs_hold(suspect);
  suspect.busy = !owed_.contains(at->first);
  const bool counts = !to_be_held || !suspect.busy || work_.held;
  suspect.doubts += counts ? 1 : 0;
  if (suspect.doubts < options_.doubts_max && ++suspect.looks < options_.looks_max) return {};
  ++table.told.unverified;
  // What is owed is counted by its debt, which is settled or quarantined.
  if (!owed_.contains(at->first)) ++table.undecided;
  table.trouble_us = shared_.clock.wall_us();
  // A repair that comes to no end, such as of a row that the target refuses, is looked at rarely.
  if (const auto open = table.open.find(at->first); open != table.open.end()) {
    if (open->second.repairing) LOCKSTEP_TRY(end_repair(table, at->first));
    open->second.repairing = false;
    open->second.looked_us = table.trouble_us;
  }
  return drop_suspect(table, at, RangeBook::Outcome::Untold);
}

}  // namespace lockstep
