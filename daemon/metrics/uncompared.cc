#include "daemon/metrics/uncompared.h"

#include <utility>

namespace lockstep {

Uncompared::Since Uncompared::look(const RunStatus& status, std::int64_t now_us) {
  const MutexLock lock(mutex_);
  Since found;
  for (const RunTableStatus& table : status.tables) {
    const TableLife& life = table.counts.life;
    const bool compared = table.sweep && table.sweep->verified_through;
    if (compared || life.is_stopped() || !life.is_comparable()) continue;
    const auto before = since_.find(table.table);
    found.emplace(table.table, before == since_.end() ? now_us : before->second);
  }
  since_ = found;
  return found;
}

}  // namespace lockstep
