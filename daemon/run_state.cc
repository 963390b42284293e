#include "daemon/run_state.h"

#include <utility>

#include "daemon/quarantine.h"
#include "daemon/status_json.h"

namespace lockstep {

void RunState::waiting(const std::string& reason) {
  const MutexLock lock(mutex_);
  last_.waiting_for = {reason};
}

bool RunState::wait(std::chrono::milliseconds time) {
  stopped_.take(1, time);
  return !stopped_.drained();
}

void RunState::running(Runner& runner, const std::vector<LeftOut>& left_out) {
  {
    const MutexLock lock(mutex_);
    runner_ = &runner;
    left_out_ = left_out;
  }
  if (stopped_.drained()) runner.stop();
}

void RunState::finished(RunStatus last) {
  const MutexLock lock(mutex_);
  runner_ = nullptr;
  last_ = std::move(last);
}

void RunState::stop() {
  stopped_.close();
  const MutexLock lock(mutex_);
  if (runner_ != nullptr) runner_->stop();
}

RunStatus RunState::status() const {
  RunStatus status = runner_ != nullptr ? runner_->status() : last_;
  status.synced = status.synced && left_out_.empty();
  for (const LeftOut& table : left_out_) {
    RunTableStatus entry;
    entry.table = table.table;
    entry.target = table.target;
    entry.counts.stopped = table.reason;
    status.tables.push_back(std::move(entry));
  }
  return status;
}

ControlResponse RunState::answer(const ControlRequest& request) {
  if (request.path == "/api/v1/status") {
    if (request.method != "GET") return {405, R"({"title":"status is read with GET"})"};
    const MutexLock lock(mutex_);
    return {200, status_json(manifest_.migration.value, status())};
  }
  if (request.path.starts_with(kQuarantinePath))
    return answer_quarantine(manifest_, store_, request);
  return {404, R"({"title":"no such resource"})"};
}

}  // namespace lockstep
