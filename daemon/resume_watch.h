// ResumeWatch: looks whether what stopped a table may be gone, such as a grant that was taken away
// and given back, and then has the run prepared again.
//
// It asks both catalogs what `validate` asks about tables.  A table whose obstacles were seen and
// are gone is tried again; so is one that has just stopped and has none, since it may have gone
// before anybody looked; and one that stopped for lack of a privilege and now lacks none, at
// growing intervals, since not every privilege is one of the table's.  When other obstacles have
// come in the place of the first ones, they are the reason from then on.
#pragma once

#include <chrono>
#include <functional>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "config/manifest.h"
#include "pipeline/base/bounded_queue.h"

namespace lockstep {

// A table that has stopped, and why.
struct StoppedTable {
  std::string table;
  std::string reason;
};

// run() on a thread of its own, stop() from any.
class ResumeWatch {
 public:
  // What stands in the way of each table, and what removes it.
  using Obstacles = std::map<std::string, std::vector<std::string>>;

  struct Ports {
    std::function<std::vector<StoppedTable>()> stopped;  // Those of the run, now.
    std::function<void(const Obstacles&)> explain;       // For `status`.
    std::function<void(const StoppedTable&)> restate;    // It has stopped for another reason now.
    std::function<void(const std::string& table)> resume;
  };

  // Borrows `manifest`.
  ResumeWatch(const Manifest& manifest, Ports ports)
      : manifest_(manifest), ports_(std::move(ports)) {}

  // Looks every ten seconds while tables are stopped, and soon after one stops, until stop().
  void run();
  void stop() { over_.close(); }

 private:
  using Time = std::chrono::steady_clock::time_point;
  struct Seen {
    bool stopped = false;                // At the last look.
    bool untried = false;                // Since it stopped, though nothing stands in its way.
    std::vector<std::string> obstacles;  // At the last look.
    std::string reason;                  // Why it had stopped when it was tried last.
    Time next{};                         // Not before that for the same reason.
    std::chrono::seconds pause{0};
  };

  bool has_news(const std::vector<StoppedTable>& stopped);
  void look(const std::vector<StoppedTable>& stopped, Time now);
  bool may_go_on(const StoppedTable& table, std::vector<std::string> obstacles, Time now);
  void tried(const std::vector<StoppedTable>& stopped, Time now);

  const Manifest& manifest_;
  const Ports ports_;
  BoundedQueue<char> over_{1};  // Closed once the run has ended.
  std::map<std::string, Seen> seen_;
  Time next_try_{};  // Of tables that just stopped: one by one they would keep the run from its
                     // work.
};

}  // namespace lockstep
