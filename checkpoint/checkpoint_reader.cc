#include "checkpoint/checkpoint_reader.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <deque>
#include <iterator>
#include <utility>

#include "checkpoint/codec.h"
#include "checkpoint/seal.h"
#include "checkpoint/state_lock.h"

namespace lockstep {

Error damaged(const std::string& directory, Error error) {
  error.message = fmt::format("state directory {}: {}; {}", directory, error.message, kMoveAway);
  return error;
}

Error foreign(const std::string& directory, const std::string& differences) {
  return {
      Reaction::Halt,
      fmt::format("state directory {} belongs to {}; give this migration a state_dir of its own, "
                  "or move the directory away: lockstep rebuilds it from the target",
                  directory, differences),
      ExitCode::BadData,
      {}};
}

std::string identity_differences(const MigrationIdentity& stored, const MigrationIdentity& wanted) {
  struct Field {
    std::string_view name;
    const std::string& stored;
    const std::string& wanted;
  };
  const std::array<Field, 5> fields{{
      {"migration", stored.migration, wanted.migration},
      {"source system identifier", stored.source_system, wanted.source_system},
      {"target system identifier", stored.target_system, wanted.target_system},
      {"stream", stored.stream_kind, wanted.stream_kind},
      {stored.stream_kind == "debezium" ? "topic prefix" : "slot", stored.stream_name,
       wanted.stream_name},
  }};
  std::string differences;
  for (const Field& field : fields) {
    if (field.stored.empty() || field.wanted.empty() || field.stored == field.wanted) continue;
    differences += fmt::format("{}{} '{}', not '{}'", differences.empty() ? "" : ", ", field.name,
                               field.stored, field.wanted);
  }
  return differences;
}

Result<std::string> CheckpointReader::migration_of(const std::string& directory) {
  if (!Database::exists(directory)) return std::string();
  LOCKSTEP_ASSIGN(Database database, Database::open_read_only(directory));
  auto stored = CheckpointReader(std::move(database)).identity();
  if (!stored) return fail(damaged(directory, std::move(stored).error()));
  return stored->migration;
}

Result<std::optional<CheckpointReader>> CheckpointReader::open(const std::string& directory,
                                                               const std::string& migration) {
  if (!Database::exists(directory)) return std::optional<CheckpointReader>();
  LOCKSTEP_ASSIGN(Database database, Database::open_read_only(directory));
  CheckpointReader reader(std::move(database));
  if (Status status = reader.verify(); !status)
    return fail(damaged(directory, std::move(status).error()));
  if (Status status = reader.check_seal(directory); !status) {
    // Records and seal are read one after the other: beside an owner they may not fit together.
    LOCKSTEP_ASSIGN(const std::optional<LockOwner> owner, read_lock_owner(directory));
    if (!owner) return fail(damaged(directory, std::move(status).error()));
  }
  LOCKSTEP_ASSIGN(const MigrationIdentity stored, reader.identity());
  MigrationIdentity wanted;
  wanted.migration = migration;
  if (const std::string differences = identity_differences(stored, wanted); !differences.empty())
    return fail(foreign(directory, differences));
  return std::optional<CheckpointReader>(std::move(reader));
}

Result<MigrationIdentity> CheckpointReader::identity() const {
  const std::string key = record_key(RecordKind::Identity);
  LOCKSTEP_ASSIGN(const std::optional<std::string> value, database_.get(key));
  if (!value) return fail(Reaction::Halt, "checkpoint record identity is missing");
  MigrationIdentity identity;
  LOCKSTEP_TRY(decode(key, *value, identity));
  return identity;
}

Result<std::optional<Incarnation>> CheckpointReader::load_incarnation() const {
  const std::string key = record_key(RecordKind::Incarnation);
  LOCKSTEP_ASSIGN(const std::optional<std::string> value, database_.get(key));
  if (!value) return std::optional<Incarnation>();
  Incarnation incarnation;
  LOCKSTEP_TRY(decode(key, *value, incarnation));
  return std::optional<Incarnation>(std::move(incarnation));
}

Result<std::vector<LaneIntent>> CheckpointReader::load_intents() const {
  std::vector<LaneIntent> intents;
  LOCKSTEP_TRY(database_.scan(record_key(RecordKind::Intent), [&](auto key, auto value) {
    return decode(key, value, intents.emplace_back());
  }));
  return intents;
}

Result<std::vector<AuditEntry>> CheckpointReader::load_audit(std::size_t limit) const {
  std::deque<AuditEntry> newest;
  const auto add = [&](std::string_view key, std::string_view value) -> Status {
    LOCKSTEP_TRY(decode(key, value, newest.emplace_back()));
    if (newest.size() > limit) newest.pop_front();
    return {};
  };
  LOCKSTEP_TRY(database_.scan(record_key(RecordKind::Audit), add));
  return std::vector<AuditEntry>(newest.begin(), newest.end());
}

Result<std::vector<ToldEvent>> CheckpointReader::load_told(std::uint64_t after,
                                                           std::size_t limit) const {
  std::deque<ToldEvent> newest;
  const auto add = [&](std::string_view key, std::string_view value) -> Status {
    ToldEvent event;
    LOCKSTEP_TRY(decode(key, value, event));
    if (event.id <= after) return {};
    newest.push_back(std::move(event));
    if (newest.size() > limit) newest.pop_front();
    return {};
  };
  LOCKSTEP_TRY(database_.scan(record_key(RecordKind::Told), add));
  return std::vector<ToldEvent>(std::make_move_iterator(newest.begin()),
                                std::make_move_iterator(newest.end()));
}

Result<std::vector<EvidenceInfo>> CheckpointReader::list_evidence() const {
  std::vector<EvidenceInfo> list;
  const auto add = [&](std::string_view key, std::string_view value) -> Status {
    Evidence evidence;
    LOCKSTEP_TRY(decode(key, value, evidence));
    list.push_back({std::string(key_name(key)), evidence.sequence, evidence.event_bytes,
                    evidence.bytes.size()});
    return {};
  };
  LOCKSTEP_TRY(database_.scan(record_key(RecordKind::Evidence), add));
  std::sort(list.begin(), list.end(),
            [](const EvidenceInfo& a, const EvidenceInfo& b) { return a.sequence < b.sequence; });
  return list;
}

Result<std::optional<Evidence>> CheckpointReader::load_evidence(std::string_view id) const {
  const std::string key = record_key(RecordKind::Evidence, id);
  LOCKSTEP_ASSIGN(const std::optional<std::string> value, database_.get(key));
  if (!value) return std::optional<Evidence>();
  Evidence evidence;
  LOCKSTEP_TRY(decode(key, *value, evidence));
  return std::optional<Evidence>(std::move(evidence));
}

Result<std::map<std::string, StoredSetting>> CheckpointReader::load_settings() const {
  std::map<std::string, StoredSetting> settings;
  LOCKSTEP_TRY(database_.scan(record_key(RecordKind::Setting), [&](auto key, auto value) {
    return decode(key, value, settings[std::string(key_name(key))]);
  }));
  return settings;
}

Result<std::optional<std::string>> CheckpointReader::load_note(std::string_view name) const {
  const std::string key = record_key(RecordKind::Note, name);
  LOCKSTEP_ASSIGN(const std::optional<std::string> value, database_.get(key));
  if (!value) return std::optional<std::string>();
  std::string note;
  LOCKSTEP_TRY(decode(key, *value, note));
  return std::optional<std::string>(std::move(note));
}

Status CheckpointReader::check_seal(const std::string& directory) const {
  LOCKSTEP_ASSIGN(const Seal seal, read_seal(directory));
  LOCKSTEP_ASSIGN(const Fingerprint records, fingerprint_of(database_));
  if (seal.matches(records)) return {};
  return fail(Reaction::Halt, "records were lost: what is stored is not what was sealed");
}

Status CheckpointReader::verify() const {
  LOCKSTEP_TRY(database_.verify_checksums());
  LOCKSTEP_TRY(database_.scan("", [](auto key, auto value) -> Status {
    return is_forgettable(key) ? Status() : check_record(key, value);
  }));
  if (Result<MigrationIdentity> present = identity(); !present)
    return fail(std::move(present).error());
  return {};
}

}  // namespace lockstep
