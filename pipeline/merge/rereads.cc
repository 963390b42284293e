#include "pipeline/merge/rereads.h"

#include "pipeline/base/rules.h"

namespace lockstep {

void Rereads::watch(TableId table) {
  end();
  const MutexLock lock(mutex_);
  table_ = table;
}

void Rereads::end() {
  const MutexLock lock(mutex_);
  table_.reset();
  keys_.clear();
  too_many_ = false;
}

void Rereads::note(TableId table, std::span<const Hash128> keys) {
  const MutexLock lock(mutex_);
  if (table != table_ || too_many_ || !rule_on(Rule::NoticeReread)) return;
  too_many_ = keys_.size() + keys.size() > keys_max_;
  if (too_many_)
    keys_.clear();
  else
    keys_.insert(keys.begin(), keys.end());
}

bool Rereads::may_have(const Hash128& key) const {
  const MutexLock lock(mutex_);
  return too_many_ || keys_.contains(key);
}

}  // namespace lockstep
