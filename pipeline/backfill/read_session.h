// ReadSession: one snapshot of the source, from before its BEGIN until its end: registered,
// accepted (I5), and flushed (I6) before a row read under it may go to the target.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>

#include "pipeline/apply/lane_item.h"
#include "pipeline/merge/visibility.h"
#include "pipeline/ports/clock.h"
#include "pipeline/ports/reader.h"

namespace lockstep {

// Used by one scan thread.
//
// Invariant: its snapshot is registered with Visibility while it is open, and for as long as a lane
// holds rows of it (SourceRead).
class ReadSession {
 public:
  ReadSession(ChunkReader& reader, Visibility& visibility, const Clock& clock)
      : reader_(reader), visibility_(visibility), clock_(clock) {}
  ~ReadSession() { close(); }
  ReadSession(const ReadSession&) = delete;
  ReadSession& operator=(const ReadSession&) = delete;

  // Opens a snapshot for reading `table`.  Returns false, and leaves nothing open, when it is not
  // accepted: a transaction that was applied, or that ran at the start, is not finished for it.
  // The next snapshot is then taken no sooner than after a while, which grows.
  Result<bool> open(const TableMap& table);
  // Whether rows may be used already; once true it stays true.
  Result<bool> flushed();
  // Everything is read: ends the source's transaction.  The snapshot stays registered.
  void end_reading() { reader_.end(); }
  // Lets go of the snapshot.
  void close();

  bool is_open() const { return read_ != nullptr; }
  // REQUIRES: is_open().
  const std::shared_ptr<SourceRead>& read() const { return read_; }

 private:
  ChunkReader& reader_;
  Visibility& visibility_;
  const Clock& clock_;
  std::chrono::steady_clock::time_point not_before_{};
  std::chrono::milliseconds pause_{0};  // After the last refusal.
  std::shared_ptr<SourceRead> read_;    // Shared with the lanes: see SourceRead.
  Lsn insert_lsn_ = 0;
  bool flushed_ = false;
};

}  // namespace lockstep
