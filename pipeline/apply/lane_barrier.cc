// Lane: what it does where a TRUNCATE stands in its way (I15).
#include "pipeline/apply/lane.h"
#include "pipeline/base/rules.h"

namespace lockstep {
namespace {

// A TRUNCATE waits for every transaction that wrote to the table, and lets none in until its own
// has ended: of one table, what lies before it in the log came before it.  (The sequence as a whole
// would not do: of the events after the connector's start it does not say what they follow.)
Position horizon_of(const Change& truncate) { return {truncate.sequence.minor, 0}; }

}  // namespace

// Everything before the TRUNCATE is committed.  From here on rows of snapshots that do not see it
// are void, and no direct COPY of the table begins (I15).
void Lane::enter_barrier() {
  barrier_ = std::get<BarrierItem>(pending_.front()).barrier;
  pop_front();
  const Change& change = barrier_->change();
  recent_.hold_copies(change.table, true);
  recent_.record_table(change.table, change.xid);
  const Xid xids[] = {change.xid};
  shared_.visibility.applied(xids);
  shared_.standstill.passed(xids);
}

Result<Lane::Step> Lane::at_barrier() {
  if (barrier_->released()) {
    pass_barrier();
    return Step::Applied;
  }
  if (!barrier_arrived_) {
    if (recent_.open_copies(barrier_->change().table) > 0) return Step::Blocked;
    const Change& change = barrier_->change();
    const StreamState& at = stream(change.stream);
    // It is the next transaction of every lane that it raises, so each makes U durable first (I5).
    if (rule_on(Rule::TruncateIsABatch)) LOCKSTEP_TRY(save_intent());
    const RaisedLane raised{options_.index,
                            rule_on(Rule::TruncateIsABatch) ? batch_number_ + 1 : 0};
    barrier_arrived_ = true;
    executes_barrier_ = barrier_->arrive({raised, skipped(change, at), at.frozen});
  }
  if (!executes_barrier_) return Step::Blocked;
  LOCKSTEP_TRY(carry_out(*barrier_));
  shared_.wake_lanes();
  pass_barrier();
  return Step::Applied;
}

void Lane::pass_barrier() {
  const Change& change = barrier_->change();
  StreamState& at = stream(change.stream);
  const Barrier::Outcome outcome = *barrier_->released();
  if (outcome == Barrier::Outcome::Stopped) leave_out(change.table, at);
  if (!at.frozen) at.position = std::max(at.position, change.next);
  if (holds_) holds_->pass(change.next);
  if (!at.frozen && outcome == Barrier::Outcome::Truncated) {
    at.committed = std::max(at.committed, change.next);
    at.last_xid = change.xid;
    at.max_xid = std::max(at.max_xid, change.xid);
    at.known = true;
    ++batch_number_;
    shared_.progress.committed(options_.index, at.name, change.next);
  }
  recent_.hold_copies(change.table, false);
  barrier_.reset();
  barrier_arrived_ = executes_barrier_ = false;
}

Status Lane::carry_out(Barrier& barrier) {
  const Change& change = barrier.change();
  if (shared_.board.stopped(change.table)) {
    barrier.release(Barrier::Outcome::Stopped);
    return {};
  }
  if (barrier.skipped()) {
    barrier.release(Barrier::Outcome::Skipped);
    return {};
  }
  Truncation truncation;
  truncation.table = change.table;
  truncation.stream = stream(change.stream).name;
  truncation.position = change.next;
  truncation.lanes = barrier.raised();
  truncation.xid = change.xid;
  truncation.horizon = horizon_of(change);
  truncation.forget_chunks = barrier.several_partitions();
  if (Status truncated = target_.truncate(truncation); !truncated) {
    if (truncated.error().reaction != Reaction::StopTable) return truncated;
    shared_.board.stop(change.table, truncated.error().message);
    barrier.release(Barrier::Outcome::Stopped);
    return {};
  }
  shared_.board.set_horizon(change.table, truncation.horizon);
  if (truncation.forget_chunks) shared_.board.void_chunks(change.table);
  shared_.board.events_applied(change.table, 1);
  table_meters_[change.table]->applied[static_cast<std::size_t>(change.kind)].add(1);
  barrier.release(Barrier::Outcome::Truncated);
  return {};
}

}  // namespace lockstep
