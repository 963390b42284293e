// CheckpointReader: what the state directory holds, for restarts, `status` and the listing verbs.
#pragma once

#include <cstddef>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "checkpoint/database.h"
#include "checkpoint/records.h"
#include "checkpoint/verified_records.h"
#include "pipeline/base/result.h"
#include "pipeline/ports/checkpoint.h"
#include "pipeline/ports/target.h"

namespace lockstep {

struct EvidenceInfo {
  std::string id;
  std::uint64_t sequence = 0;     // Order of arrival.
  std::uint64_t event_bytes = 0;  // Of the whole event.
  std::uint64_t kept_bytes = 0;   // Of what was kept of it.
};

// Safe for concurrent use.  Every call reads the disk (or RocksDB's cache); an error is Halt with
// exit BadData when a record is damaged, and names it.
class CheckpointReader {
 public:
  // Opens without the lock: beside a running owner, or when none runs.  Verifies every record.
  // Returns nothing when the directory holds no checkpoint yet.  Halt, exit BadData: it is damaged,
  // or not of `migration`.
  static Result<std::optional<CheckpointReader>> open(const std::string& directory,
                                                      const std::string& migration);
  // Whose checkpoint the directory holds; "": it holds none yet.
  static Result<std::string> migration_of(const std::string& directory);

  explicit CheckpointReader(Database database) : database_(std::move(database)) {}

  Result<MigrationIdentity> identity() const;
  Result<std::optional<Incarnation>> load_incarnation() const;
  Result<std::vector<LaneIntent>> load_intents() const;                 // By lane.
  Result<std::vector<AuditEntry>> load_audit(std::size_t limit) const;  // The newest, oldest first.
  // Those behind `after`, the newest `limit` of them, oldest first.
  Result<std::vector<ToldEvent>> load_told(std::uint64_t after, std::size_t limit) const;
  Result<std::vector<EvidenceInfo>> list_evidence() const;  // Oldest first.
  Result<std::optional<Evidence>> load_evidence(std::string_view id) const;
  Result<std::map<std::string, StoredSetting>> load_settings() const;
  Result<std::optional<std::string>> load_note(std::string_view name) const;

  Result<std::vector<VerifiedRange>> load_ranges(std::string_view table) const {
    return lockstep::load_ranges(database_, table);
  }
  Result<std::optional<Finding>> find_finding(std::string_view table, const Hash128& key) const {
    return lockstep::find_finding(database_, table, key);
  }
  // In no order that means anything.
  Status for_each_finding(const VisitFinding& visit) const {
    return lockstep::for_each_finding(database_, visit);
  }

  // Reads everything; Halt with the key of the first record that is damaged, but for those that the
  // owner throws away.
  Status verify() const;

 private:
  friend class RocksdbStore;

  // Halt when the rare records are not those that were sealed (seal.h).
  Status check_seal(const std::string& directory) const;

  Database database_;
};

// Every difference between two identities as one sentence, "" when there is none; fields that
// either side does not know are not compared.
std::string identity_differences(const MigrationIdentity& stored, const MigrationIdentity& wanted);

// The error of a directory that is another migration's: what is stored, and what was wanted.
Error foreign(const std::string& directory, const std::string& differences);

// Adds to a damaged record's error what to do about the directory.
Error damaged(const std::string& directory, Error error);

}  // namespace lockstep
