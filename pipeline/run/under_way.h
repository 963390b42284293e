// UnderWay: what the parts of a run have begun to write or to read and have not ended.  A pause is
// in force once nothing is under way that began before it.
//
//   step: at work (1), then is it paused? (2)      order: pause (a), then is it at work? (b)
//
// Either the step sees the pause, or whoever looks after the order sees the step.
#pragma once

#include <atomic>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "pipeline/base/sync.h"
#include "pipeline/run/control.h"

namespace lockstep {

// Each part is told of by the thread of its steps, tables by the supervisor's; waits_for() is safe
// for concurrent use.
class UnderWay {
 public:
  UnderWay(std::size_t lanes, std::size_t scanners) : lanes_(lanes), scanners_(scanners) {}

  // Before a step of a lane asks whether it is paused; then before it writes.
  void lane_begins(std::size_t lane) { lanes_[lane].at_work.store(true); }
  void lane_writes(std::size_t lane) { lanes_[lane].take_turn(); }
  void lane_is_held(std::size_t lane) { lanes_[lane].at_work.store(false); }
  // `done`: nothing is left of its batch, which a step that failed makes again.
  void lane_ends(std::size_t lane, bool done) { lanes_[lane].end(false, done); }
  // Likewise of a scanner.  `copying`: the target has rows of it that are not committed; `at_rest`:
  // it writes and reads nothing until another step.
  void scan_begins(std::size_t scanner) {
    scanners_[scanner].at_work.store(true);
    scanners_[scanner].take_turn();
  }
  void scan_ends(std::size_t scanner, bool copying, bool at_rest) {
    scanners_[scanner].end(!at_rest, !copying);
  }
  // Likewise of the sweep, whose snapshots stay open from one step to the next.
  void sweep_begins() { sweep_.store(true); }
  void sweep_is_left() { sweep_.store(false); }
  // No step that begins from now on writes anything of the table.
  void holds_table(std::string_view table);

  // What a pause of that name (control.h) still waits for, for people; "": it is in force.
  // `table_moves`: it names a table of this run.
  std::string waits_for(std::string_view name, bool table_moves) const;

 private:
  struct Part {
    std::atomic<bool> at_work{false};
    // Odd while something is begun that is not done, over several steps.
    std::atomic<std::uint64_t> turns{0};

    void take_turn();
    void end(bool works, bool done);
  };
  using Parts = std::vector<Part>;
  using Turns = std::vector<std::uint64_t>;
  static Turns turns_of(const Parts& parts);
  static std::size_t working(const Parts& parts);
  // How many have not ended what they were at.
  static std::size_t still(const Parts& parts, const Turns& then);

  Parts lanes_;
  Parts scanners_;
  std::atomic<bool> sweep_{false};
  struct Held {
    Turns lanes;
    Turns scanners;
  };
  mutable Mutex mutex_;
  std::map<std::string, Held, std::less<>> tables_ GUARDED_BY(mutex_);  // By name, as it was then.
};

}  // namespace lockstep
