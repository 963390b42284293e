// Lane: which rows of progress its next transaction writes, and how it commits them without a
// change.
#include <algorithm>
#include <iterator>
#include <utility>

#include "pipeline/apply/lane.h"

namespace lockstep {

std::vector<ProgressRow> Lane::changed_holds() const {
  if (!holds_ || streams_.empty()) return {};
  const StreamState& at = streams_.begin()->second;
  return holds_->changed({"", options_.index, at.position, at.last_xid, at.max_xid});
}

std::vector<std::string> Lane::rejoined() const {
  if (!holds_ || streams_.empty()) return {};
  return holds_->caught_up(streams_.begin()->second.position);
}

// A table's row goes with the stream's beside it, which has its largest xid from then on (I5).
std::vector<ProgressRow> Lane::changed_progress() const {
  std::vector<ProgressRow> rows;
  const bool any_goes = !rejoined().empty();
  for (const auto& [id, at] : streams_)
    if (at.position != at.committed || !at.known || any_goes)
      rows.push_back({at.name, options_.index, at.position, at.last_xid, at.max_xid});
  std::ranges::move(changed_holds(), std::back_inserter(rows));
  return rows;
}

LaneTransaction Lane::next_transaction() {
  LaneTransaction transaction{fold_.runs(), changed_progress(), batch_number_ + 1};
  for (std::string& stream : rejoined())
    transaction.rejoined.emplace_back(std::move(stream), options_.index);
  return transaction;
}

Result<Lane::Step> Lane::commit_watermark() {
  const bool changed = !changed_progress().empty();
  const bool due = flush_ || shared_.clock.now() - last_commit_ >= options_.watermark_every;
  if (changed && due) return commit_progress();
  if (!changed) flush_ = false;
  recent_.forget();
  return Step::Idle;
}

Result<Lane::Step> Lane::commit_progress() {
  LOCKSTEP_TRY(save_intent());
  LOCKSTEP_ASSIGN(const ApplyOutcome outcome, target_.apply(next_transaction()));
  committed(outcome);
  return Step::Applied;
}

}  // namespace lockstep
