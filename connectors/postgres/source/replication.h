// ReplicationLink: one connection to a walsender of the source, and its side of the protocol.
//
// source/stream decodes what it brings.  Messages carry positions of the log; what we tell back
// is how far we have read, and how far everything is durable on the target.
#pragma once

#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "connectors/postgres/wire/connection.h"
#include "connectors/postgres/wire/facts.h"
#include "pipeline/base/result.h"
#include "pipeline/model/snapshot.h"

namespace lockstep {

struct ReplicationOptions {
  PostgresOptions connection;  // As for a plain connection.
  std::string slot;
  std::string publication;
  SourceIdentity identity;  // Pinned (I16).
};

// What the server sent.
struct ReplicationMessage {
  std::string_view body;  // A message of pgoutput; empty: a keepalive.  Borrowed until the next.
  Lsn sent = 0;           // Keepalive: everything committed before it was sent.
  bool wants_answer = false;
};

// Faults inside the server's decoding (SQLSTATE class XX), such as "could not map filenode .. to
// relation OID" after a kill beside TRUNCATE: often over once it decodes from the slot's place
// again.  One that stays for a minute does not go by itself.
class DecodingFaults {
 public:
  using Time = std::chrono::steady_clock::time_point;

  // What is to be done about one more: Retry, or Halt with the next step.
  Error judge(Error error, Time now);

 private:
  Time first_{};  // Of a row of faults, none a minute after the one before,
  Time last_{};   // and its last.
};

// Streams that broke off without a word soon after they began.  A process of the server that
// crashes on what it decodes takes all sessions of the source along, the application's too, and
// would do so every few seconds: the first three may be the network's, later ones are begun less
// and less often.  A server that somebody has restarted since is another matter: after a crash of
// one of its processes its first one goes on.
class BrokenStreams {
 public:
  using Time = std::chrono::steady_clock::time_point;

  // `server` says since when the server's first process runs.
  void connected(const std::string& server);
  void began(Time now) { begun_ = now; }
  void broke_off(Time now);
  // How many did so in a row.
  unsigned count() const { return count_; }
  // Before that none is to be begun.
  Time next() const { return next_; }

 private:
  std::string server_;
  Time begun_{};
  Time next_{};
  unsigned count_ = 0;
};

// Not thread-safe.
class ReplicationLink {
 public:
  using Deadline = std::chrono::steady_clock::time_point;

  explicit ReplicationLink(ReplicationOptions options);

  // Connects and begins to stream what was committed from `from` on.  Retry also while the slot is
  // in use (code 55006); Halt when this is not the pinned server.
  Status start(Lsn from);
  bool streams() const { return streams_; }
  // The server process that streams to us.  REQUIRES: streams().
  int server_pid() { return PQbackendPID(connection_.raw()); }

  // The next message; nothing when none came until `until`.  The stream having ended is an error.
  Result<std::optional<ReplicationMessage>> next(Deadline until);

  // Tells the server.  After an error the link is closed.
  Status tell(Lsn received, Lsn flushed);
  Deadline last_told() const { return last_told_; }
  void close();

 private:
  struct CopyDeleter {
    void operator()(char* bytes) const noexcept { PQfreemem(bytes); }
  };

  Status connect();
  Status begin(Lsn from);
  Result<std::optional<ReplicationMessage>> parse(std::string_view message);
  // Waits until bytes can be read.  False: not until `until`.
  Result<bool> wait(Deadline until);
  Error lost();
  Error why_ended();
  // An error that ends the stream; closes the link.
  Error end_with(Error error);
  Status wait_for_crashes() const;

  const std::string slot_;
  const std::string publication_;
  const SourceIdentity identity_;
  PostgresConnection connection_;
  std::unique_ptr<char, CopyDeleter> bytes_;  // What next() lent last.
  bool streams_ = false;
  Deadline last_told_{};
  DecodingFaults faults_;
  BrokenStreams broken_;
};

// START_REPLICATION for a slot and a publication, from a position on.
std::string replication_command(const std::string& slot, const std::string& publication, Lsn from);

}  // namespace lockstep
