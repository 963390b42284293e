#include "daemon/abort.h"

#include <chrono>
#include <utility>

#include "connectors/postgres/target/end_sessions.h"
#include "daemon/tables.h"

namespace lockstep {
namespace {

constexpr std::chrono::milliseconds kUntilEnded{50};
constexpr std::chrono::seconds kUntilAborted{1};
constexpr const char* kAbortConnectSecondsMax = "5";

}  // namespace

Status end_our_sessions(const Manifest& manifest) {
  PostgresOptions options = connection_options(manifest, Side::Target, "abort");
  options.keywords.emplace_back("connect_timeout", kAbortConnectSecondsMax);
  PostgresConnection target(std::move(options));
  return end_sessions(target, {manifest.target.schema.value, manifest.migration.value});
}

void AbortWatch::order() {
  {
    const MutexLock lock(mutex_);
    ++orders_;
  }
  wake();
}

std::string AbortWatch::waits_for() const {
  const MutexLock lock(mutex_);
  if (ended_ == orders_) return "";
  return trouble_.empty() ? "the end of what is under way"
                          : "the target, where what was sent may still be carried out: " + trouble_;
}

// A look that began after the order, and after the last writer of this process had gone, and found
// no session, is the last one.
void AbortWatch::look() {
  std::uint64_t order = 0;
  {
    const MutexLock lock(mutex_);
    order = orders_;
  }
  const bool parked = ports_.parked();
  const Status gone = end_our_sessions(manifest_);
  const MutexLock lock(mutex_);
  if (parked && gone) ended_ = order;
  trouble_ = gone ? "" : gone.error().message;
}

void AbortWatch::run() {
  while (!over_.raised()) {
    const bool looks = ports_.aborted() && !waits_for().empty();
    if (looks) look();
    over_.wait(looks ? std::chrono::milliseconds(kUntilEnded) : kUntilAborted);
  }
}

}  // namespace lockstep
