#include "daemon/run_log.h"

#include <fmt/format.h>

#include "daemon/status_json.h"

namespace lockstep {
namespace {

constexpr std::chrono::minutes kRemindEvery{1};
constexpr std::chrono::minutes kShowEvery{10};

}  // namespace

void RunLog::waiting(const std::string& reason, Time now) {
  if (reason == reason_ && now - told_ < kRemindEvery) return;
  reason_ = reason;
  told_ = now;
  events_.waiting("prepare", reason);
}

void RunLog::progress(const RunStatus& status, Time now) {
  events_.progress(progress_line(status));
  // What a part waits for is told when it begins (Runner); here that it still does.
  if (status.waiting_for.empty() || idle_since_ == Time{}) idle_since_ = now;
  if (now - idle_since_ >= kRemindEvery) {
    idle_since_ = now;
    events_.waiting("run", fmt::format("{}", fmt::join(status.waiting_for, "; ")));
  }
  if (shown_ == Time{}) shown_ = now;
  if (now - shown_ < kShowEvery) return;
  shown_ = now;
  events_.whole_status(status_json(told_of_, status));
}

}  // namespace lockstep
