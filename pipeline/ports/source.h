// ChangeSource: what changes at the source, in the order of its stream.
//
// Every call is blocking and bounded.  A connection that is lost answers Reaction::Retry; the next
// call connects again.  No port is thread-safe unless it says so: each object belongs to one
// thread.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <vector>

#include "pipeline/base/result.h"
#include "pipeline/model/change.h"

namespace lockstep {

// What one poll produced, in stream order per stream.
struct ChangeBatch {
  std::vector<Change> changes;
  std::vector<Watermark> watermarks;  // Valid after all of `changes`.
  struct Stop {
    TableId table;
    Error error;
  };
  std::vector<Stop> stops;  // Tables that cannot go on from here; their streams are paused already.
};

// What the source is doing.
struct SourceState {
  enum class Kind : std::uint8_t {
    Streaming,  // What comes is read.
    Away,       // Nothing is known of what was committed since.
    HeldBack,   // By us: nothing is read yet.
  } kind = Kind::Away;
  std::string text;  // One sentence for status: "streaming", "broker unreachable since ...".
};

struct Polled {
  // What was read: always valid, and to be routed whatever `error` says, since the source has moved
  // past it.
  ChangeBatch batch;
  SourceState state;
  // Halt: I16.  Retry: a connection was lost, a broker is away; the next poll connects again.
  Status error;
};

// Source thread only.
class ChangeSource {
 public:
  virtual ~ChangeSource() = default;

  // Names of the streams, by StreamId; grows when a partition or topic appears.
  virtual const std::vector<std::string>& streams() const = 0;

  // The source has handed out about as many transaction ids as `newest` by now; 0: not known.  Ids
  // that come with 32 bits are widened by it.
  virtual void note_newest(Xid /*newest*/) {}

  // Reads what arrives until `deadline`, or less once that is large enough.
  virtual Polled poll(std::chrono::milliseconds deadline) = 0;

  // Stops reading the streams of `table` (I8); its later events stay in the source.
  virtual Status pause_table(TableId table) = 0;
  // Names of the streams that carry `table`'s changes, as far as they exist yet.
  virtual std::vector<std::string> streams_of(TableId table) const = 0;

  // Everything before `position` of `stream` is durable on the target: may be told to the source
  // (flush LSN) or to people's lag tools (group offset).  Halt, or nothing: a source that is away
  // hears it later.
  virtual Status acknowledge(StreamId stream, Position position) = 0;
};

}  // namespace lockstep
