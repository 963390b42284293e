// OpenConnections: the sockets of this process's connections to PostgreSQL, and which of them wait
// for their server.
//
// A server that hangs and keeps its TCP (a frozen machine, storage that blocks) keeps whoever waits
// for it, for ever.  Another thread can end that here: the one that waits finds its connection
// lost.
#pragma once

#include <atomic>
#include <chrono>
#include <string>
#include <string_view>
#include <vector>

namespace lockstep {

// One of them, from its connect to its close: made, destroyed and waited with by its thread.
class OpenConnection {
 public:
  using Time = std::chrono::steady_clock::time_point;

  // `side`: "source" or "target"; `name`: the session's.
  OpenConnection(int socket, std::string side, std::string name);
  ~OpenConnection();
  OpenConnection(const OpenConnection&) = delete;
  OpenConnection& operator=(const OpenConnection&) = delete;

  // For as long as its thread waits for the server.
  class Wait {
   public:
    explicit Wait(OpenConnection& of) : of_(of) {
      of_.since_.store(std::chrono::steady_clock::now().time_since_epoch());
    }
    ~Wait() { of_.since_.store(Time::duration::zero()); }
    Wait(const Wait&) = delete;
    Wait& operator=(const Wait&) = delete;

   private:
    OpenConnection& of_;
  };

 private:
  friend class OpenConnections;
  // How long it has waited; 0: it does not.
  Time::duration waits(Time now) const;

  const int socket_;  // Another descriptor of it: that of libpq may be closed, and used anew.
  const std::string side_;
  const std::string name_;
  std::atomic<Time::duration> since_{Time::duration::zero()};
};

// Safe for concurrent use.
class OpenConnections {
 public:
  // Those that have waited for longer than that, for people: "lockstep shop lane 0 has waited 40 s
  // for the target".
  static std::vector<std::string> waiting(std::chrono::seconds longest);
  // Shuts the sockets of those of `side` ("": of both) that have waited for longer than that.
  static void shut(std::string_view side, std::chrono::seconds longest);
};

}  // namespace lockstep
