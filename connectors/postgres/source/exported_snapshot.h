// ExportedSnapshot: the source as it is where a new slot's stream begins, lent to those who copy
// tables while the stream is held back.
//
//   make() -- slot + snapshot --> PostgresReader::begin() imports it ... end() --> PostgresStream
//
// Whatever was committed is either in the snapshot or in the stream, so nothing needs to be merged.
// It lives with the connection that made it, and keeps the source from vacuuming meanwhile.
#pragma once

#include <chrono>
#include <functional>
#include <string>
#include <string_view>
#include <utility>

#include "connectors/postgres/source/slot.h"
#include "connectors/postgres/wire/connection.h"
#include "pipeline/base/bounded_queue.h"
#include "pipeline/base/result.h"
#include "pipeline/base/sync.h"
#include "pipeline/model/snapshot.h"

namespace lockstep {

// make() and listen() first; then safe for concurrent use.
//
// Invariant: the stream begins after held() has become false, for good; so a transaction that
// imported the snapshot before that began when no change had been applied.
class ExportedSnapshot {
 public:
  explicit ExportedSnapshot(PostgresOptions connection);

  // Makes the slot, as make_slot() does, and exports the snapshot at which its stream begins.
  // After an error the slot may be there.
  Status make(const std::string& slot, const std::function<bool()>& goes_on);

  // `tell` hears why it ended, on the thread that ended it.
  void listen(std::function<void(std::string_view why)> tell) { tell_ = std::move(tell); }

  bool held() const;
  // Where the slot's stream begins.
  Lsn begin() const { return begin_; }
  // What SET TRANSACTION SNAPSHOT takes, quoted.
  const std::string& literal() const { return literal_; }

  // Lets the stream begin.  Does nothing the second time.
  void end(std::string_view why);
  // Waits, at most `time`, for its end.
  void await_end(std::chrono::milliseconds time) { over_.take(1, time); }

 private:
  Lsn begin_ = 0;
  std::string literal_;
  std::function<void(std::string_view why)> tell_;
  mutable Mutex mutex_;
  PostgresConnection connection_ GUARDED_BY(mutex_);
  bool held_ GUARDED_BY(mutex_) = false;
  BoundedQueue<char> over_{1};  // Nothing is ever pushed; closing it ends await_end().
};

}  // namespace lockstep
