// ServiceNotice: tells the service manager (systemd, Type=notify) how the daemon does.
//
// READY=1 says that the state directory is ours and that the control socket answers; a server that
// is away is waited for, and STATUS= says so, since a start that fails then would only be repeated.
// A sign of life goes out only while `stuck` finds nothing: a watchdog that is fed by a thread of
// its own would feed a daemon that does nothing.  Does nothing where nobody asks ($NOTIFY_SOCKET).
// Protocol: sd_notify(3), sd_watchdog_enabled(3).
#pragma once

#include <chrono>
#include <functional>
#include <string>

#include "pipeline/base/stop_flag.h"

namespace lockstep {

// run() on a thread of its own, the rest from any.
class ServiceNotice {
 public:
  struct Ports {
    std::function<std::string()> line;  // One line for STATUS=.
    std::function<std::string()>
        stuck;  // Why only a restart would help; "": nothing speaks for it.
  };
  explicit ServiceNotice(Ports ports);

  void ready();
  // Until stop(): STATUS= every five seconds, and a sign of life twice in the watchdog's time.
  void run();
  void stop() { over_.raise(); }
  // The end has begun, and takes as long as the drain.
  void stopping();
  // Around the reading of a manifest.
  void reloading();
  void reloaded();

 private:
  void look();

  const Ports ports_;
  const std::chrono::microseconds watchdog_;  // 0: nobody watches.
  StopFlag over_;
};

}  // namespace lockstep
