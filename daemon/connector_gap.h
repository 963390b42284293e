// ConnectorGap: a running connector that tells less than what the manifest needs.
//
//   KafkaProof ── the connector's settings, at each proof ──> judge() ──> note of the checkpoint
//
// Such a connector stores its offsets as any other, so that a proof would pass what is in no topic.
// While it tells less nothing is proven; once it is put right every table is compared, since nobody
// knows what was left out.  That it is to be is marked on the target as soon as the gap is seen.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "checkpoint/rocksdb_store.h"
#include "config/connector_settings.h"
#include "config/manifest.h"
#include "daemon/prepare.h"
#include "pipeline/base/result.h"

namespace lockstep {

// One thread, that of the proof.
class ConnectorGap {
 public:
  // `manifest` and `store` outlive it.  `plan_again`: has the run prepared anew, which carries out
  // what the store asks.
  ConnectorGap(const Manifest& manifest, RocksdbStore& store, const Prepared& prepared,
               std::function<void()> plan_again);

  // Why what the connector has delivered proves nothing; "": it does.  Not Ok: it cannot be stored.
  Result<std::string> judge(const ConnectorSettings& running);

 private:
  Status have_all_compared(const std::string& why);

  const Manifest& manifest_;
  RocksdbStore& store_;
  // Those that move, and by their names those that are left out at the moment: they go on from
  // where they stand.
  const std::vector<TableSpec> tables_;
  const std::function<void()> plan_again_;
};

}  // namespace lockstep
