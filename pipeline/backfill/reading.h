// Reading: rows of the source under one snapshot, from before its BEGIN until no lane holds one of
// them: registered, accepted (I5), flushed (I6), read, handed over, answered for.
//
// Chunks, debts and whatever else reads the source differ in what they read and in what they make
// of the lanes' answers; the order of things is here, once.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>

#include "pipeline/apply/shared.h"
#include "pipeline/ports/reader.h"

namespace lockstep {

// Used by one scan thread.
//
// Invariant: its snapshot is registered with Visibility while it is open, and for as long as a lane
// holds rows of it (SourceRead).
class Reading {
 public:
  enum class Ready : std::uint8_t {
    Refused,   // A transaction that was applied, or that ran at the start, is not finished for the
               // snapshot: nothing is open.  The next one is taken after a while, which grows.
    Accepted,  // The snapshot is open now; said once.
    Flushing,  // The source's log is not flushed up to it yet: a row could be lost by the source.
    Yes,       // Rows may be read.
  };

  Reading(ChunkReader& reader, Shared shared) : reader_(reader), shared_(shared) {}
  ~Reading() { close(); }
  Reading(const Reading&) = delete;
  Reading& operator=(const Reading&) = delete;

  // One step towards rows of `table`; call it until Yes.
  Result<Ready> prepare(const TableMap& table);
  // Everything is read: ends the source's transaction.  The snapshot stays registered.
  void end_reading() { reader_.end(); }
  // Gives rows to a lane.  Returns false when its queue is closing: then the lane never has them.
  bool hand_over(std::uint32_t lane, RowsItem item);
  // Calls `told` with what lanes have answered since.  Returns whether all have answered.
  bool drained(const std::function<void(const LaneReport&)>& told);
  // Lets go of the snapshot.
  void close();

  bool is_open() const { return read_ != nullptr; }
  // REQUIRES: is_open().
  const Snapshot& snapshot() const { return read_->snapshot; }
  // The log's position right after the snapshot was taken.
  Lsn insert_lsn() const { return insert_lsn_; }

 private:
  Result<Ready> open(const TableMap& table);

  ChunkReader& reader_;
  const Shared shared_;
  std::chrono::steady_clock::time_point not_before_{};
  std::chrono::milliseconds pause_{0};  // After the last refusal.
  std::shared_ptr<SourceRead> read_;    // Shared with the lanes: see SourceRead.
  Lsn insert_lsn_ = 0;
  bool flushed_ = false;
  std::uint64_t items_out_ = 0;  // Handed over, not answered yet.
};

}  // namespace lockstep
