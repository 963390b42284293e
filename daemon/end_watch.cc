#include "daemon/end_watch.h"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <unistd.h>

#include "connectors/postgres/wire/open_connections.h"
#include "pipeline/base/result.h"

namespace lockstep {
namespace {

using std::chrono::seconds;

constexpr std::chrono::milliseconds kEndLookEvery{500};
constexpr seconds kSourceMax{5};  // Of the source nothing is needed any more.
constexpr seconds kWaitsMax{5};   // A server that answers within this does not hang.
constexpr seconds kLeaveAfter{10};

// Since when something holds that holds now.
void note(bool holds, std::optional<EndWatch::Time>& since, EndWatch::Time now) {
  if (!holds) since.reset();
  if (holds && !since) since = now;
}

}  // namespace

void EndWatch::look(Time now) {
  note(ports_.stopping() || ending_.load(), ending_since_, now);
  note(ports_.aborting(), aborting_since_, now);
  // What the target may still carry out the AbortWatch ends there.
  if (aborting_since_ && now - *aborting_since_ >= kSourceMax) ports_.shut("", kWaitsMax);
  if (!ending_since_) return;
  const auto ending = now - *ending_since_;
  if (ending >= kSourceMax) ports_.shut("source", kWaitsMax);
  if (ending >= ports_.drain_limit) ports_.shut("", kWaitsMax);
  if (ending >= ports_.drain_limit + kLeaveAfter) ports_.leave();
}

void EndWatch::run() {
  while (!over_.raised()) {
    look(std::chrono::steady_clock::now());
    over_.wait(kEndLookEvery);
  }
}

// The log may be what hangs, or the disk below it.
void leave_hung_process() {
  const std::vector<std::string> waiting = OpenConnections::waiting(seconds(0));
  const std::string line = fmt::format(
      "lockstep: the end took too long, and the process is left: {}; what the target has not "
      "committed is read again at the next start\n",
      waiting.empty() ? "it waits for no database: look at the disk of state_dir"
                      : fmt::format("{}", fmt::join(waiting, "; ")));
  [[maybe_unused]] const auto written = ::write(STDERR_FILENO, line.data(), line.size());
  ::_exit(static_cast<int>(ExitCode::Temporary));
}

}  // namespace lockstep
