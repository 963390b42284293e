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
  bool set(const std::string& part, const std::string& reason) {
    const MutexLock lock(mutex_);
    if (reason.empty()) return reasons_.erase(part) > 0;
    auto& current = reasons_[part];
    const bool news = current != reason;
    current = reason;
    return news;
  }

  // "lane 0: target unreachable: ..." of every part that waits.
  std::vector<std::string> waiting() const {
    const MutexLock lock(mutex_);
    std::vector<std::string> lines;
    for (const auto& [part, reason] : reasons_) lines.push_back(part + ": " + reason);
    return lines;
  }

 private:
  mutable Mutex mutex_;
  std::map<std::string, std::string> reasons_ GUARDED_BY(mutex_);
};

}  // namespace lockstep
