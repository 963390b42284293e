#include "checkpoint/rocksdb_store.h"

#include <fmt/format.h>
#include <sys/stat.h>

#include <algorithm>
#include <utility>
#include <vector>

#include "checkpoint/codec.h"
#include "pipeline/model/row.h"

namespace lockstep {
namespace {

// What is known of either; `wanted` wins, which matters only for fields that are equal.
MigrationIdentity merged(const MigrationIdentity& stored, const MigrationIdentity& wanted) {
  const auto known = [](const std::string& first, const std::string& second) {
    return first.empty() ? second : first;
  };
  return {
      known(wanted.migration, stored.migration), known(wanted.source_system, stored.source_system),
      known(wanted.target_system, stored.target_system),
      known(wanted.stream_kind, stored.stream_kind), known(wanted.stream_name, stored.stream_name)};
}

// Makes the database and its seal.  The database gets its name last: where it exists, so does all.
Status make(const StoreOptions& options) {
  const std::string key = record_key(RecordKind::Identity);
  const std::string value = encode(key, options.identity);
  LOCKSTEP_TRY(Database::create(options.directory, {key, value}));
  Fingerprint fingerprint;
  fingerprint.toggle(key, value);
  LOCKSTEP_TRY(write_seal(options.directory, {fingerprint.hash(), fingerprint.hash()}));
  return Database::publish(options.directory);
}

}  // namespace

RocksdbStore::RocksdbStore(const StoreOptions& options, StateLock lock, Database database)
    : options_(options), lock_(std::move(lock)), reader_(std::move(database)) {}

Result<std::unique_ptr<RocksdbStore>> RocksdbStore::open(const StoreOptions& options) {
  CHECK(!options.identity.migration.empty());
  LOCKSTEP_ASSIGN(StateLock lock, StateLock::acquire(options.directory, options.socket,
                                                     options.identity.migration));
  ::umask(0077);
  if (!Database::exists(options.directory)) LOCKSTEP_TRY(make(options));
  LOCKSTEP_ASSIGN(Database database, Database::open(options.directory));
  std::unique_ptr<RocksdbStore> store(
      new RocksdbStore(options, std::move(lock), std::move(database)));
  LOCKSTEP_TRY(store->drop_damaged());
  if (Status status = store->reader_.verify(); !status)
    return fail(damaged(options.directory, std::move(status).error()));
  LOCKSTEP_TRY(store->check_seal());
  LOCKSTEP_TRY(store->confirm(options.identity));
  LOCKSTEP_TRY(store->load_indexes());
  return store;
}

Status RocksdbStore::drop_damaged() {
  std::vector<RecordWrite> writes;
  const auto check = [&](std::string_view key, std::string_view value) -> Status {
    if (!is_forgettable(key)) return {};
    const Status whole = check_record(key, value);
    if (whole) return {};
    dropped_.push_back(whole.error().message);
    writes.push_back({std::string(key), std::nullopt});
    return {};
  };
  if (Status scanned = reader_.database_.scan("", check); !scanned)
    return fail(damaged(options_.directory, std::move(scanned).error()));
  return writes.empty() ? Status() : reader_.database_.write(writes, Durability::Unsynced);
}

Status RocksdbStore::confirm(const MigrationIdentity& identity) {
  LOCKSTEP_ASSIGN(const MigrationIdentity stored, reader_.identity());
  if (const std::string differences = identity_differences(stored, identity); !differences.empty())
    return fail(foreign(options_.directory, differences));
  const MigrationIdentity known = merged(stored, identity);
  if (known == stored) return {};
  const std::string key = record_key(RecordKind::Identity);
  return save_rare({key, encode(key, known)});
}

Status RocksdbStore::begin_anew(const MigrationIdentity& identity) {
  std::vector<RecordWrite> gone;
  const auto add = [&](std::string_view key, std::string_view) -> Status {
    gone.push_back({std::string(key), std::nullopt});
    return {};
  };
  for (const RecordKind kind :
       {RecordKind::Intent, RecordKind::Range, RecordKind::Finding, RecordKind::Evidence,
        RecordKind::Heal, RecordKind::Copy, RecordKind::TargetEnd})
    LOCKSTEP_TRY(reader_.database_.scan(record_key(kind), add));
  LOCKSTEP_TRY(reader_.database_.write(gone, Durability::Synced));
  const MutexLock guard(mutex_);
  evidence_.clear();
  evidence_sequence_.clear();
  evidence_bytes_ = 0;
  const std::string key = record_key(RecordKind::Identity);
  const std::vector<RecordWrite> rare{{record_key(RecordKind::Incarnation), std::nullopt},
                                      {key, encode(key, identity)}};
  return save_rare(rare);
}

Status RocksdbStore::begin_incarnation(const Incarnation& incarnation) {
  const std::string key = record_key(RecordKind::Incarnation);
  return save_rare({key, encode(key, incarnation)});
}

Status RocksdbStore::save_intent(const LaneIntent& intent) {
  const std::string key = intent_key(intent.lane);
  const RecordWrite record{key, encode(key, intent)};
  return reader_.database_.write({&record, 1}, Durability::Synced);
}

Status RocksdbStore::save_evidence(std::string_view id, std::string_view event) {
  const MutexLock guard(mutex_);
  std::vector<RecordWrite> writes;
  if (const auto same = evidence_sequence_.find(id); same != evidence_sequence_.end())
    drop_evidence(same->second);
  const std::string key = record_key(RecordKind::Evidence, id);
  const std::string_view kept = event.substr(0, options_.evidence_event_bytes_max);
  const std::uint64_t sequence = evidence_next_;
  remember_evidence(sequence, id, kept.size());
  while (evidence_.size() > 1 && (evidence_.size() > options_.evidence_events_max ||
                                  evidence_bytes_ > options_.evidence_bytes_max)) {
    const auto oldest = evidence_.begin();
    writes.push_back({record_key(RecordKind::Evidence, oldest->second.id), std::nullopt});
    drop_evidence(oldest->first);
  }
  const Evidence evidence{sequence, event.size(), std::string(kept)};
  writes.push_back({key, encode(key, evidence)});
  return reader_.database_.write(writes, Durability::Unsynced);
}

Status RocksdbStore::remove_evidence(std::string_view id) {
  const MutexLock guard(mutex_);
  const auto found = evidence_sequence_.find(id);
  if (found == evidence_sequence_.end()) return {};
  const RecordWrite record{record_key(RecordKind::Evidence, id), std::nullopt};
  drop_evidence(found->second);
  return reader_.database_.write({&record, 1}, Durability::Synced);
}

void RocksdbStore::remember_evidence(std::uint64_t sequence, std::string_view id,
                                     std::size_t bytes) {
  evidence_[sequence] = {std::string(id), bytes};
  evidence_sequence_[std::string(id)] = sequence;
  evidence_bytes_ += bytes;
  evidence_next_ = std::max(evidence_next_, sequence + 1);
}

void RocksdbStore::drop_evidence(std::uint64_t sequence) {
  const auto found = evidence_.find(sequence);
  evidence_bytes_ -= found->second.bytes;
  evidence_sequence_.erase(found->second.id);
  evidence_.erase(found);
}

Status RocksdbStore::append_audit(const AuditEntry& entry) {
  const MutexLock guard(mutex_);
  const std::string key = audit_key(audit_next_);
  std::vector<RecordWrite> writes{{key, encode(key, entry)}};
  const bool full = audit_next_ - audit_first_ >= options_.audit_entries_max;
  if (full) writes.push_back({audit_key(audit_first_), std::nullopt});
  LOCKSTEP_TRY(save_rare(writes));
  ++audit_next_;
  if (full) ++audit_first_;
  return {};
}

Result<std::uint64_t> RocksdbStore::append_told(ToldEvent event) {
  const MutexLock guard(mutex_);
  event.id = told_next_;
  const std::string key = told_key(event.id);
  std::vector<RecordWrite> writes{{key, encode(key, event)}};
  const bool full = told_next_ - told_first_ >= options_.told_events_max;
  if (full) writes.push_back({told_key(told_first_), std::nullopt});
  LOCKSTEP_TRY(reader_.database_.write(writes, Durability::Unsynced));
  ++told_next_;
  if (full) ++told_first_;
  return event.id;
}

Status RocksdbStore::save_setting(std::string_view name, const StoredSetting& setting) {
  const std::string key = record_key(RecordKind::Setting, name);
  return save_rare({key, encode(key, setting)});
}
Status RocksdbStore::remove_setting(std::string_view name) {
  return save_rare({record_key(RecordKind::Setting, name), std::nullopt});
}

Status RocksdbStore::save_note(std::string_view name, std::string_view text) {
  const std::string key = record_key(RecordKind::Note, name);
  return save_rare({key, encode(key, text)});
}
Status RocksdbStore::remove_note(std::string_view name) {
  return save_rare({record_key(RecordKind::Note, name), std::nullopt});
}

Status RocksdbStore::save_rare(const RecordWrite& record) {
  const MutexLock guard(mutex_);
  return save_rare({&record, 1});
}

Status RocksdbStore::save_rare(std::span<const RecordWrite> records) {
  Fingerprint after = sealed_;
  for (const RecordWrite& record : records) {
    LOCKSTEP_ASSIGN(const std::optional<std::string> old, reader_.database_.get(record.key));
    if (old) after.toggle(record.key, *old);
    if (record.value) after.toggle(record.key, *record.value);
  }
  LOCKSTEP_TRY(write_seal(options_.directory, {sealed_.hash(), after.hash()}));
  LOCKSTEP_TRY(reader_.database_.write(records, Durability::Synced));
  LOCKSTEP_TRY(write_seal(options_.directory, {after.hash(), after.hash()}));
  sealed_ = after;
  return {};
}

Status RocksdbStore::check_seal() {
  if (Status status = reader_.check_seal(options_.directory); !status)
    return fail(damaged(options_.directory, std::move(status).error()));
  LOCKSTEP_ASSIGN(const Fingerprint records, fingerprint_of(reader_.database_));
  const MutexLock guard(mutex_);
  sealed_ = records;
  return write_seal(options_.directory, {records.hash(), records.hash()});
}

Status RocksdbStore::load_indexes() {
  LOCKSTEP_ASSIGN(const std::vector<EvidenceInfo> evidence, reader_.list_evidence());
  // First and last number of the records of a kind.
  const auto numbers = [&](RecordKind kind, std::vector<std::uint64_t>& all) {
    return reader_.database_.scan(record_key(kind), [&](std::string_view key, auto) -> Status {
      all.push_back(read_be64(key_name(key)));
      return {};
    });
  };
  std::vector<std::uint64_t> audit;
  std::vector<std::uint64_t> told;
  LOCKSTEP_TRY(numbers(RecordKind::Audit, audit));
  LOCKSTEP_TRY(numbers(RecordKind::Told, told));
  const MutexLock guard(mutex_);
  for (const EvidenceInfo& event : evidence)
    remember_evidence(event.sequence, event.id, event.kept_bytes);
  if (!audit.empty()) audit_next_ = audit.back() + 1;
  audit_first_ = audit.empty() ? audit_next_ : audit.front();
  if (!told.empty()) told_next_ = told.back() + 1;
  told_first_ = told.empty() ? told_next_ : told.front();
  return {};
}

}  // namespace lockstep
