// StreamProof: is everything that was committed before a position in the stream?
//
// Every call is blocking and bounded.  A connection that is lost answers Reaction::Retry; the next
// call connects again.  No port is thread-safe unless it says so: each object belongs to one
// thread.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "pipeline/base/result.h"
#include "pipeline/model/change.h"
#include "pipeline/model/snapshot.h"

namespace lockstep {

// Proof that everything committed before an LSN is in the stream, and where the stream then ends
// (V3).  Proof thread (the supervisor) only.
class StreamProof {
 public:
  virtual ~StreamProof() = default;
  struct Answer {
    bool reached = false;
    bool exact = false;       // false: V3's near-proof.
    std::string waiting_for;  // When not reached: one sentence for status.
    // When not reached: what is broken, so that somebody has to look; "": it only takes time.
    std::string fault;
    std::vector<std::pair<std::string, Position>> ends;  // When reached: per stream name.
  };
  // Whether the stream has passed `lsn`; when it has, its ends read afterwards.
  virtual Result<Answer> reached(Lsn lsn) = 0;
};

}  // namespace lockstep
