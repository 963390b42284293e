// Chaos: what the fakes ask at each call: who else acts first, and how the call ends.
//
// The simulator answers from its seed; a scripted scenario overrides what it needs; the base class
// lets everything succeed.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "pipeline/base/result.h"

namespace lockstep {

// How a call that writes, or reads, ends.
enum class Fate : std::uint8_t {
  Work,
  LostBefore,    // The connection is lost, nothing happened: Retry.
  LostAfter,     // The connection is lost, the call was carried out: Retry.
  KilledBefore,  // Our process dies first.
  KilledAfter,   // Our process dies once the call was carried out.
  Refused,       // The server is not the one that we know: Halt.  Of a reader of the target.
  Zombie,        // Our process dies; what it sent may be carried out later.
};

class Chaos {
 public:
  virtual ~Chaos() = default;
  // Lets others act before the call at `where` has its effect.
  virtual void interleave(std::string_view /*where*/) {}
  virtual Fate fate(std::string_view /*where*/) { return Fate::Work; }
  // Our process is dead: no call has an effect any more.
  virtual bool killed() const { return false; }
  // What happened, for a trace; asked only while tracing().
  virtual bool tracing() const { return false; }
  virtual void tell(const std::string& /*what*/) {}
};

inline std::unexpected<Error> lost_connection() {
  return fail(Reaction::Retry, "the connection was lost");
}
inline std::unexpected<Error> killed_process() { return fail(Reaction::Cancel, "killed"); }

}  // namespace lockstep
