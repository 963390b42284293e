#include "daemon/service_notice.h"

#include <fmt/format.h>
#include <systemd/sd-daemon.h>

#include <algorithm>
#include <utility>

namespace lockstep {
namespace {

constexpr std::chrono::seconds kStatusEvery{5};

// A manager that is gone, or that takes nothing, is no fault of the migration: the daemon goes on.
void tell(const std::string& state) { sd_notify(0, state.c_str()); }

std::chrono::microseconds watchdog_time() {
  std::uint64_t time = 0;
  return std::chrono::microseconds(sd_watchdog_enabled(0, &time) > 0 ? time : 0);
}

// A line break would begin another assignment.
std::string one_line(std::string text) {
  std::ranges::replace(text, '\n', ' ');
  return text;
}

}  // namespace

ServiceNotice::ServiceNotice(Ports ports) : ports_(std::move(ports)), watchdog_(watchdog_time()) {}

void ServiceNotice::ready() { tell("READY=1\nSTATUS=" + one_line(ports_.line())); }

void ServiceNotice::stopping() { tell("STOPPING=1"); }

// The manager takes the time from the clock that it names (sd_notify(3), RELOADING=1).
void ServiceNotice::reloading() {
  const auto now = std::chrono::steady_clock::now().time_since_epoch();
  tell(fmt::format("RELOADING=1\nMONOTONIC_USEC={}",
                   std::chrono::duration_cast<std::chrono::microseconds>(now).count()));
}

void ServiceNotice::reloaded() { ready(); }

void ServiceNotice::look() {
  const std::string stuck = ports_.stuck();
  tell("STATUS=" + one_line(stuck.empty() ? ports_.line() : stuck) +
       (stuck.empty() && watchdog_.count() > 0 ? "\nWATCHDOG=1" : ""));
}

void ServiceNotice::run() {
  using std::chrono::milliseconds;
  auto every = milliseconds(kStatusEvery);
  if (watchdog_.count() > 0)
    every = std::min(every, std::chrono::duration_cast<milliseconds>(watchdog_ / 2));
  while (!over_.raised()) {
    look();
    over_.wait(every);
  }
}

}  // namespace lockstep
