// Health: what each part of a run is doing or waiting for, in one sentence; for status and logs.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "pipeline/base/sync.h"

namespace lockstep {

// Safe for concurrent use.
class Health {
 public:
  // `part` ("lane 0", "source") cannot go on because of `reason`; an empty reason: it goes on.
  // Returns whether that is news.
  bool set(const std::string& part, const std::string& reason) { return put(part, {reason, true}); }
  // Likewise, where it is no fault: what it waits for comes by itself.
  bool set_waiting(const std::string& part, const std::string& reason) {
    return put(part, {reason, false});
  }

  // "lane 0: target unreachable: ..." of every part that waits.
  std::vector<std::string> waiting() const { return lines(false); }
  // Of these, the parts that a fault keeps from going on.
  std::vector<std::string> faults() const { return lines(true); }

 private:
  struct Wait {
    std::string reason;
    bool fault = true;
    friend bool operator==(const Wait&, const Wait&) = default;
  };

  bool put(const std::string& part, const Wait& wait) {
    const MutexLock lock(mutex_);
    if (wait.reason.empty()) return waits_.erase(part) > 0;
    Wait& current = waits_[part];
    const bool news = current != wait;
    current = wait;
    return news;
  }
  std::vector<std::string> lines(bool faults_only) const {
    const MutexLock lock(mutex_);
    std::vector<std::string> all;
    for (const auto& [part, wait] : waits_)
      if (wait.fault || !faults_only) all.push_back(part + ": " + wait.reason);
    return all;
  }

  mutable Mutex mutex_;
  std::map<std::string, Wait> waits_ GUARDED_BY(mutex_);
};

}  // namespace lockstep
