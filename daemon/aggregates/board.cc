#include "daemon/aggregates/board.h"

#include <algorithm>
#include <boost/json.hpp>

namespace lockstep {

// A note that cannot be read costs one more taking of them.
AggregateBoard::AggregateBoard(const Manifest& manifest, RocksdbStore& store) : store_(store) {
  const auto note = store.read().load_note(kAggregatesNote);
  const bool known = note && *note;
  results_ = results_of(manifest, parse_results(known ? **note : ""));
}

std::vector<AggregateResult> AggregateBoard::results() const {
  const MutexLock lock(mutex_);
  return results_;
}

void AggregateBoard::ask() {
  const MutexLock lock(mutex_);
  asked_ = !results_.empty();
}

bool AggregateBoard::asked() const {
  const MutexLock lock(mutex_);
  return asked_;
}

Status AggregateBoard::put(const std::vector<AggregateResult>& results) {
  const MutexLock lock(mutex_);
  for (const AggregateResult& result : results) {
    const auto known = std::ranges::find(results_, result.name, &AggregateResult::name);
    if (known != results_.end()) *known = result;
  }
  return store_.save_note(kAggregatesNote, boost::json::serialize(results_json(results_)));
}

void AggregateBoard::answered() {
  const MutexLock lock(mutex_);
  asked_ = false;
}

}  // namespace lockstep
