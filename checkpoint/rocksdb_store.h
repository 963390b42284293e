// RocksdbStore: the checkpoint of a running lockstep: what is ours alone and survives a kill.
//
//   lane ──save_intent()──> (RocksDB, synced) ──> COMMIT on the target
//
// The target holds the truth about the target (progress, chunks, debts); here lie U (I5) and what
// the target does not know: settings, notes, the audit log, the bytes of quarantined events.
// Losing it costs time, never rows.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "checkpoint/checkpoint_reader.h"
#include "checkpoint/database.h"
#include "checkpoint/records.h"
#include "checkpoint/seal.h"
#include "checkpoint/state_lock.h"
#include "checkpoint/verified_records.h"
#include "pipeline/base/result.h"
#include "pipeline/base/sync.h"
#include "pipeline/ports/checkpoint.h"
#include "pipeline/ports/target.h"

namespace lockstep {

struct StoreOptions {
  std::string directory;
  MigrationIdentity identity;  // At least the migration.
  std::string socket;          // The control socket's path, for read_lock_owner().
  std::size_t evidence_events_max = 10'000;
  std::size_t evidence_bytes_max = 64U << 20;
  std::size_t evidence_event_bytes_max = 1U << 20;  // The rest of a larger event is cut off.
  std::size_t audit_entries_max = 100'000;
  std::size_t told_events_max = 10'000;
};

// Safe for concurrent use.
//
// Invariant: the directory's lock is held, and its identity is this migration's.
class RocksdbStore final : public CheckpointStore {
 public:
  // Takes the lock, makes what is missing, verifies every record.  What the process makes from then
  // on, here and elsewhere, only its user may read (umask): RocksDB asks for files that all may
  // read, and whoever made the directory may have let them in.  What is damaged of ranges and
  // findings is thrown away (dropped()): it is compared anew.  All errors are Halt:
  //   exit Temporary   another process owns the directory, which is named
  //   exit BadData     damaged, or another migration's (both values are named)
  //   exit Io          disk full, I/O error
  //   exit Permission  read-only, or not ours to write
  static Result<std::unique_ptr<RocksdbStore>> open(const StoreOptions& options);

  // Compares with what is stored and stores what was not known before (system identifiers become
  // known only once the servers answer).  Halt, exit BadData: it is another migration's.
  Status confirm(const MigrationIdentity& identity);

  // The stream and the servers may be others from now on: everything that was known of the former
  // ones goes, and the notes, settings and the audit log stay.
  // REQUIRES: nothing else uses the store.
  Status begin_anew(const MigrationIdentity& identity);

  // Records the incarnation that begins: its epoch, its floor and the U it inherits.  Durable on
  // return.  REQUIRES: called after the fence was taken and before any lane saves an intent; a
  // start that leaves it out is safe, and the next start falls back on I5's other rule.
  Status begin_incarnation(const Incarnation& incarnation);

  Status save_intent(const LaneIntent& intent) override;

  // Not synced: it is durable once the lane's next intent is.  The oldest events go when there are
  // too many; an event that is too large is cut.
  Status save_evidence(std::string_view id, std::string_view event) override;
  Status remove_evidence(std::string_view id);

  // Durable on return.
  Status append_audit(const AuditEntry& entry);
  // Not synced; its id is set here, and returned.  The oldest one goes when there are too many.
  Result<std::uint64_t> append_told(ToldEvent event);
  Status save_setting(std::string_view name, const StoredSetting& setting);
  Status remove_setting(std::string_view name);
  Status save_note(std::string_view name, std::string_view text);
  Status remove_note(std::string_view name);

  const CheckpointReader& read() const { return reader_; }
  // What opening it has thrown away, for people.
  const std::vector<std::string>& dropped() const { return dropped_; }
  // What reconciliation keeps here; lives as long as this.
  VerifiedStore& verified() { return verified_; }

 private:
  struct Kept {  // One event of the evidence.
    std::string id;
    std::size_t bytes = 0;
  };

  RocksdbStore(const StoreOptions& options, StateLock lock, Database database);

  Status drop_damaged();
  // Compares the records with their seal, which then stands for exactly these.
  Status check_seal();
  // Reads what save_evidence() and append_audit() go on from.
  Status load_indexes();
  // Synced, and sealed: these are few and must not go back (seal.h).
  Status save_rare(std::span<const RecordWrite> records) REQUIRES(mutex_);
  Status save_rare(const RecordWrite& record);
  void remember_evidence(std::uint64_t sequence, std::string_view id, std::size_t bytes)
      REQUIRES(mutex_);
  void drop_evidence(std::uint64_t sequence) REQUIRES(mutex_);

  const StoreOptions options_;
  const StateLock lock_;  // Before the database: released after it is closed.
  CheckpointReader reader_;
  VerifiedRecords verified_{reader_.database_};
  std::vector<std::string> dropped_;  // By open() alone.

  Mutex mutex_;
  std::map<std::uint64_t, Kept> evidence_ GUARDED_BY(mutex_);  // By sequence.
  std::map<std::string, std::uint64_t, std::less<>> evidence_sequence_ GUARDED_BY(mutex_);
  std::size_t evidence_bytes_ GUARDED_BY(mutex_) = 0;
  std::uint64_t evidence_next_ GUARDED_BY(mutex_) = 1;
  std::uint64_t audit_first_ GUARDED_BY(mutex_) = 1;
  std::uint64_t audit_next_ GUARDED_BY(mutex_) = 1;
  std::uint64_t told_first_ GUARDED_BY(mutex_) = 1;
  std::uint64_t told_next_ GUARDED_BY(mutex_) = 1;
  Fingerprint sealed_ GUARDED_BY(mutex_);  // Of all rare records.
};

}  // namespace lockstep
