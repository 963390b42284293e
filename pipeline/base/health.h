// Health: what each part of a run is doing or waiting for, in one sentence; for status and logs.
#pragma once

#include <chrono>
#include <cstdint>
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
    return put(part, {reason, true});
  }
  // The same, and what a log is to say of it.  Of a part that fails and goes well by turns it says
  // once that it waits, and that it goes on once it has gone well for five seconds; what is told of
  // it meanwhile would push out what else has happened.
  enum class News : std::uint8_t { None, Waits, GoesOn };
  News tell(const std::string& part, const std::string& reason,
            std::chrono::steady_clock::time_point now) {
    const MutexLock lock(mutex_);
    put(part, {reason, true});
    if (reason.empty()) {
      const auto found = told_.find(part);
      if (found == told_.end() || now - found->second.failed < kSettled) return News::None;
      told_.erase(found);
      return News::GoesOn;
    }
    const auto [found, fresh] = told_.try_emplace(part);
    Told& told = found->second;
    told.failed = now;
    if (!fresh && (told.reason == reason || now - told.at < kSettled)) return News::None;
    told.reason = reason;
    told.at = now;
    return News::Waits;
  }
  // As set(), where it is no fault: what it waits for comes by itself.
  bool set_waiting(const std::string& part, const std::string& reason) {
    const MutexLock lock(mutex_);
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

  // What a log has said last of a part that waits.
  struct Told {
    std::string reason;
    std::chrono::steady_clock::time_point at{};
    std::chrono::steady_clock::time_point failed{};
  };
  static constexpr std::chrono::seconds kSettled{5};

  bool put(const std::string& part, const Wait& wait) REQUIRES(mutex_) {
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
  std::map<std::string, Told> told_ GUARDED_BY(mutex_);
};

}  // namespace lockstep
