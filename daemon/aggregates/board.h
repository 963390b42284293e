// AggregateBoard: the last result of each aggregate, and whether somebody waits for new ones.
#pragma once

#include <vector>

#include "checkpoint/rocksdb_store.h"
#include "daemon/aggregates/result.h"
#include "pipeline/base/sync.h"

namespace lockstep {

// Safe for concurrent use: the watch writes, the control socket reads and asks.
class AggregateBoard {
 public:
  // Borrows both.  Begins with the results that the store keeps.
  AggregateBoard(const Manifest& manifest, RocksdbStore& store);

  std::vector<AggregateResult> results() const;
  // Asks for all of them to be taken once, from now on.
  void ask();
  // Whether that is not over.
  bool asked() const;
  // Keeps new results in place of old ones.
  Status put(const std::vector<AggregateResult>& results);
  // All were taken that were asked for before `results` were begun.
  void answered();

 private:
  RocksdbStore& store_;
  mutable Mutex mutex_;
  std::vector<AggregateResult> results_ GUARDED_BY(mutex_);
  bool asked_ GUARDED_BY(mutex_) = false;
};

}  // namespace lockstep
