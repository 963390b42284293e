#include "connectors/postgres/wire/open_connections.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/socket.h>
#include <unistd.h>

#include <set>
#include <utility>

#include "pipeline/base/sync.h"

namespace lockstep {
namespace {

using std::chrono::steady_clock;

struct Registry {
  Mutex mutex;
  std::set<OpenConnection*> all GUARDED_BY(mutex);
};

// Never destroyed: connections may outlive what is static.
Registry& registry() {
  static auto* const kRegistry = new Registry;
  return *kRegistry;
}

}  // namespace

// Without another descriptor, as when there are no more, it cannot be shut: -1 does no harm.
OpenConnection::OpenConnection(int socket, std::string side, std::string name)
    : socket_(::fcntl(socket, F_DUPFD_CLOEXEC, 0)), side_(std::move(side)), name_(std::move(name)) {
  const MutexLock lock(registry().mutex);
  registry().all.insert(this);
}

OpenConnection::~OpenConnection() {
  {
    const MutexLock lock(registry().mutex);
    registry().all.erase(this);
  }
  if (socket_ >= 0) ::close(socket_);
}

OpenConnection::Time::duration OpenConnection::waits(Time now) const {
  const Time::duration since = since_.load();
  return since == Time::duration::zero() ? since : now.time_since_epoch() - since;
}

std::vector<std::string> OpenConnections::waiting(std::chrono::seconds longest) {
  const auto now = steady_clock::now();
  std::vector<std::string> waiting;
  const MutexLock lock(registry().mutex);
  for (const OpenConnection* const one : registry().all)
    if (const auto waits = one->waits(now); waits > longest)
      waiting.push_back(fmt::format("{} has waited {} s for the {}", one->name_,
                                    std::chrono::floor<std::chrono::seconds>(waits).count(),
                                    one->side_));
  return waiting;
}

void OpenConnections::shut(std::string_view side, std::chrono::seconds longest) {
  const auto now = steady_clock::now();
  const MutexLock lock(registry().mutex);
  for (const OpenConnection* const one : registry().all)
    if ((side.empty() || one->side_ == side) && one->waits(now) > longest)
      ::shutdown(one->socket_, SHUT_RDWR);
}

}  // namespace lockstep
