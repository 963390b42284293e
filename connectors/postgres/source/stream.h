// PostgresStream: the source's own replication stream, as a ChangeSource; and its StreamProof.
//
//   walsender --ReplicationLink--> poll() --DirectDecoder--> Changes + watermarks --> route
//
// Transactions come one after the other in commit order, a large one in several batches.  Positions
// are those of I13: where the commit's record starts and the ordinal of the row change, or where a
// commit ended.  What the server is told is flushed is durable on the target; after a reconnect it
// sends everything later again, the transaction that we were in from its first row.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "connectors/postgres/source/exported_snapshot.h"
#include "connectors/postgres/source/replication.h"
#include "connectors/postgres/source/slot.h"
#include "connectors/postgres/source/wal_limit.h"
#include "connectors/postgres/wire/connection.h"
#include "connectors/postgres/wire/facts.h"
#include "pipeline/base/bounded_queue.h"
#include "pipeline/base/result.h"
#include "pipeline/base/sync.h"
#include "pipeline/decode/pgoutput/direct.h"
#include "pipeline/model/change.h"
#include "pipeline/ports/proof.h"
#include "pipeline/ports/source.h"

namespace lockstep {

// The stream's name in the target's progress.
inline constexpr const char* kDirectStream = "wal";

struct PostgresStreamOptions {
  ReplicationOptions replication;
  PostgresOptions control;  // A plain connection, to look at the slot.
  std::vector<const TableMap*> tables;
  Position start;               // The least position of all lanes.
  Lsn catalog_lsn = 0;          // Where the log ended before the catalogs were read.
  std::set<TableId> renewed{};  // DirectOptions::renewed.
  std::size_t batch_changes_max = 2000;
  std::size_t batch_bytes_max = 1 << 20;
  std::chrono::milliseconds tell_every{300};  // The least wal_sender_timeout of use is 1 s.
  std::chrono::seconds look_every{10};        // At the slot.
  std::chrono::seconds patience{5};           // With a reader of ours that is left over.
  WalLimit wal_limit;
  std::shared_ptr<ExportedSnapshot> exported;  // Does not begin while it is held; may be null.
};

// Source thread, but for keep_alive(), stop_keeping_alive() and received().
//
// Invariant: flushed_ was acknowledged, or is where this process began.
class PostgresStream : public ChangeSource {
 public:
  explicit PostgresStream(PostgresStreamOptions options);

  const std::vector<std::string>& streams() const override { return names_; }
  // Retry while the source is away or the slot in use; Halt for another server, when the slot is
  // gone, has lost its log, or stands ahead of our progress (I16), and as the wal_limit says.
  Polled poll(std::chrono::milliseconds deadline) override;
  // Its changes go on to come, and the lanes leave them out: the stream is one for all tables.
  Status pause_table(TableId table) override;
  std::vector<std::string> streams_of(TableId table) const override;
  Status acknowledge(StreamId stream, Position position) override;

  // Everything that was committed before it has been polled.  Any thread.
  Lsn received() const;

  // Answers the server and minds the wal_limit while the source thread waits for a lane: the body
  // of a Beside.
  void keep_alive();
  void stop_keeping_alive() { over_.close(); }

 private:
  using Deadline = std::chrono::steady_clock::time_point;

  bool held_back() const { return options_.exported != nullptr && options_.exported->held(); }
  SourceState state() const REQUIRES(link_mutex_);
  Status poll_link(ChangeBatch& batch, std::chrono::milliseconds deadline) REQUIRES(link_mutex_);
  Status connect() REQUIRES(link_mutex_);
  Status open_control() REQUIRES(link_mutex_);
  Status check_slot(const StreamFacts& facts) REQUIRES(link_mutex_);
  Status check_not_awaited(const StreamFacts& facts) REQUIRES(link_mutex_);
  Status wait_for_reader(const StreamFacts& facts) REQUIRES(link_mutex_);
  Status look() REQUIRES(link_mutex_);
  Status mind_limit() REQUIRES(link_mutex_);
  bool over_limit() const REQUIRES(link_mutex_);
  Status read(ChangeBatch& batch, Deadline until) REQUIRES(link_mutex_);
  Status take(const ReplicationMessage& message, ChangeBatch& batch) REQUIRES(link_mutex_);
  Status tell_if_due() REQUIRES(link_mutex_);

  // Constant after construction.
  const PostgresStreamOptions options_;
  const std::vector<std::string> names_{kDirectStream};

  // The source thread's.
  std::optional<Deadline> busy_since_;  // The slot has another reader.
  Position told_;                       // The last watermark.

  // keep_alive() takes it between two polls; a poll holds it throughout.
  mutable Mutex link_mutex_;
  ReplicationLink link_ GUARDED_BY(link_mutex_);
  PostgresConnection control_ GUARDED_BY(link_mutex_);
  DirectDecoder decoder_ GUARDED_BY(link_mutex_);
  Lsn flushed_ GUARDED_BY(link_mutex_);
  Lsn heard_ GUARDED_BY(link_mutex_);  // Told as received.
  Deadline look_next_ GUARDED_BY(link_mutex_){};
  std::uint64_t kept_bytes_ GUARDED_BY(link_mutex_) = 0;
  std::optional<Error> halted_ GUARDED_BY(link_mutex_);  // By keep_alive(): the next poll's answer.

  mutable Mutex received_mutex_;
  Lsn received_ GUARDED_BY(received_mutex_) = 0;

  BoundedQueue<char> over_{1};  // Nothing is ever pushed; closing it ends keep_alive().
};

// Exact: the server sends in commit order, so what was polled is everything before it.
class PostgresStreamProof : public StreamProof {
 public:
  // `stream` must outlive the proof.
  explicit PostgresStreamProof(const PostgresStream& stream) : stream_(stream) {}
  Result<Answer> reached(Lsn lsn) override;

 private:
  const PostgresStream& stream_;
};

}  // namespace lockstep
