#include "tests/fakes/fake_reader.h"

#include <algorithm>
#include <utility>

#include "pipeline/base/rules.h"
#include "pipeline/model/key.h"

namespace lockstep {

bool FakeReader::lost(std::string_view where) {
  if (generation_ != source_.generation()) return true;
  const Fate fate = chaos_.fate(where);
  return fate == Fate::LostBefore || fate == Fate::LostAfter;
}

bool FakeReader::is_in(const TableMap& table, const KeyRange& range, const FakeRow& row) const {
  if (range.partition != 0 && source_.partition_of(table.id, row.id) != range.partition)
    return false;
  return (!range.lower || row.id >= key_id(table, *range.lower)) &&
         (!range.upper || row.id < key_id(table, *range.upper));
}

Result<std::optional<std::string>> FakeReader::bound_after(const TableMap& table,
                                                           const KeyRange& range,
                                                           std::uint64_t rows) {
  LOCKSTEP_ASSIGN(std::vector<std::string> keys, bounds_after(table, range, rows, 1));
  return keys.empty() ? std::optional<std::string>() : std::optional(std::move(keys.front()));
}

Result<std::vector<std::string>> FakeReader::bounds_after(const TableMap& table,
                                                          const KeyRange& range,
                                                          std::uint64_t every, std::size_t most) {
  chaos_.interleave("bound_after");
  if (chaos_.killed()) return killed_process();
  if (!snapshot_) generation_ = source_.generation();
  if (lost("bound_after") || !source_.lock_shared(table.id)) return lost_connection();
  source_.unlock_shared(table.id);
  std::vector<std::string> bounds;
  std::uint64_t before = 0;
  for (const FakeRow& row : source_.rows(table.id, source_.snapshot())) {
    if (!is_in(table, range, row)) continue;
    if (before > 0 && before % every == 0 && bounds.size() < most)
      bounds.push_back(key_cells(table, row.id, row.scale));
    ++before;
  }
  return bounds;
}

Status FakeReader::start_bounds(const TableMap& table, const KeyRange& range, std::uint64_t every,
                                std::size_t most) {
  CHECK(!bounds_);
  LOCKSTEP_ASSIGN(bounds_, bounds_after(table, range, every, most));
  bounds_awaited_ = false;
  return {};
}

Result<std::optional<std::vector<std::string>>> FakeReader::read_bounds(std::chrono::milliseconds) {
  CHECK(bounds_);
  if (chaos_.killed()) return killed_process();
  if (lost("read_bounds")) return lost_connection();
  chaos_.interleave("read_bounds");  // A server takes its time.
  if (!std::exchange(bounds_awaited_, true)) return std::optional<std::vector<std::string>>();
  return std::exchange(bounds_, std::nullopt);
}

bool FakeReader::imports() {
  if (exported_ == nullptr || !exported_->held) return false;
  exported_->held = exported_->alive && exported_->generation == generation_;
  return exported_->held;
}

Result<OpenSnapshot> FakeReader::begin() {
  CHECK(!snapshot_);
  chaos_.interleave("before_snapshot");
  if (chaos_.killed()) return killed_process();
  generation_ = source_.generation();
  if (lost("begin")) return lost_connection();
  const bool imported = imported_ = imports();
  snapshot_ = imported ? exported_->snapshot : source_.snapshot();
  OpenSnapshot opened{*snapshot_, source_.insert_lsn(), imported};
  if (chaos_.tracing()) chaos_.tell("snapshot " + snapshot_->text());
  // The answer travels: everything may happen before our side knows the snapshot.
  chaos_.interleave("after_snapshot");
  if (chaos_.killed()) return killed_process();
  if (generation_ != source_.generation()) return lost_connection();
  if (imported && !exported_->held) return lost_connection();  // The real one begins again.
  return opened;
}

Result<bool> FakeReader::flushed(Lsn lsn) {
  if (lost("flushed")) return lost_connection();
  return source_.flush_lsn() >= lsn;
}

Status FakeReader::start(const TableMap& table) {
  CHECK(snapshot_ && locked_.value_or(table.id) == table.id);
  chaos_.interleave("start_read");
  if (chaos_.killed()) return killed_process();
  if (lost("start_read")) return lost_connection();
  // A running TRUNCATE holds its lock: a real reader waits, this one asks to be called again.  What
  // follows in its transaction, rows after a digest, or more keys, is under the lock that it has.
  if (!locked_ && !source_.lock_shared(table.id)) return lost_connection();
  locked_ = table.id;
  filenode_ = source_.filenode(table.id);
  tree_version_ = source_.tree_version(table.id);
  blind_ = imported_ && filenode_ != exported_->filenodes[table.id];
  rows_.clear();
  next_ = 0;
  return {};
}

Status FakeReader::start_range(const TableMap& table, const KeyRange& range) {
  LOCKSTEP_TRY(start(table));
  take_rows(table, range);
  return {};
}

void FakeReader::take_rows(const TableMap& table, const KeyRange& range) {
  if (blind_) return;
  const std::size_t before = rows_.size();
  for (const FakeRow& row : source_.rows(table.id, *snapshot_)) {
    if (is_in(table, range, row)) rows_.push_back(row_cells(table, row));
  }
  source_.note_read(table.id, rows_.size() - before);
}

Status FakeReader::start_keys(const TableMap& table, std::span<const std::string> keys) {
  LOCKSTEP_TRY(start(table));
  if (blind_) return {};
  for (const FakeRow& row : source_.rows(table.id, *snapshot_)) {
    const bool wanted = std::ranges::any_of(
        keys, [&](const std::string& key) { return key_id(table, key) == row.id; });
    if (wanted) rows_.push_back(row_cells(table, row));
  }
  return {};
}

PartDigest digest_of(const TableMap& table, const std::vector<std::string>& rows,
                     std::uint64_t seed) {
  std::uint64_t sum = 0;
  for (const std::string& row : rows) {
    std::string key;
    CHECK(extract_key(table, row, key));
    sum += hash128(row, hash128(key, seed).low).low;
  }
  return {.rows = rows.size(), .sum = rows.empty() ? "" : std::to_string(sum)};
}

KeyRange part_of(const KeyRange& range, const DigestForm& form, std::size_t part) {
  KeyRange its = range;
  if (part > 0) its.lower = form.bounds[part - 1];
  if (part < form.bounds.size()) its.upper = form.bounds[part];
  return its;
}

Status FakeReader::start_digest(const TableMap& table, const KeyRange& range,
                                const DigestForm& form) {
  LOCKSTEP_TRY(start(table));
  digest_.clear();
  for (std::size_t part = 0; part < form.parts(); ++part) {
    rows_.clear();
    take_rows(table, part_of(range, form, part));
    digest_.push_back(digest_of(table, rows_, form.seed));
  }
  digest_asked_ = false;
  return {};
}

Result<std::optional<std::vector<PartDigest>>> FakeReader::read_digest(std::chrono::milliseconds) {
  if (chaos_.killed()) return killed_process();
  if (lost("read_digest")) return lost_connection();
  chaos_.interleave("read_digest");  // A server takes its time.
  if (!std::exchange(digest_asked_, true)) return std::optional<std::vector<PartDigest>>();
  return std::optional(digest_);
}

Status FakeReader::start_parts(const TableMap& table, const KeyRange& range, const DigestForm& form,
                               std::span<const std::size_t> parts) {
  LOCKSTEP_TRY(start(table));
  for (const std::size_t part : parts) take_rows(table, part_of(range, form, part));
  return {};
}

Result<bool> FakeReader::read(RowBatch& out, std::size_t max_bytes) {
  if (chaos_.killed()) return killed_process();
  if (lost("read")) return lost_connection();
  while (next_ < rows_.size() && out.bytes() < max_bytes) out.add(rows_[next_++]);
  return next_ < rows_.size();
}

Status FakeReader::check_shape(const TableMap& table) {
  const bool same =
      filenode_ == source_.filenode(table.id) && tree_version_ == source_.tree_version(table.id);
  if (lost("check_shape") || !same) return lost_connection();
  return {};
}

void FakeReader::end() {
  if (locked_ && generation_ == source_.generation()) source_.unlock_shared(*locked_);
  locked_.reset();
  snapshot_.reset();
  bounds_.reset();
  rows_.clear();
  next_ = 0;
}

Result<Snapshot> FakeProbe::probe() {
  chaos_.interleave("probe");
  if (chaos_.killed()) return killed_process();
  if (generation_ != source_.generation()) candidate_.reset();
  generation_ = source_.generation();
  if (!candidate_) {
    candidate_ = source_.snapshot();
    candidate_lsn_ = source_.insert_lsn();
  }
  if (rule_on(Rule::WaitForFlush) && source_.flush_lsn() < candidate_lsn_) return lost_connection();
  Snapshot probed = *candidate_;
  candidate_.reset();
  return probed;
}

Result<std::vector<std::vector<TableFile>>> FakeProbe::files(
    std::span<const TableMap* const> tables) {
  chaos_.interleave("files");
  if (chaos_.killed()) return killed_process();
  const Fate fate = chaos_.fate("files");
  if (fate == Fate::LostBefore || fate == Fate::LostAfter) return lost_connection();
  std::vector<std::vector<TableFile>> files;
  for (const TableMap* table : tables) files.push_back(source_.files(table->id));
  return files;
}

Result<Lsn> FakeProbe::emit_marker() {
  chaos_.interleave("emit_marker");
  if (chaos_.killed()) return killed_process();
  const Fate fate = chaos_.fate("emit_marker");
  if (fate == Fate::LostBefore) return lost_connection();
  source_.flush(source_.insert_lsn());
  if (fate == Fate::LostAfter) return lost_connection();
  return source_.insert_lsn();
}

Result<std::vector<TableSpec>> FakeProbe::definitions(std::span<const TableMap* const> tables) {
  chaos_.interleave("definitions");
  if (chaos_.killed()) return killed_process();
  if (chaos_.fate("definitions") != Fate::Work) return lost_connection();
  std::vector<TableSpec> specs;
  for (const TableMap* table : tables) specs.push_back(source_.definition(table->id));
  return specs;
}

Result<Xid> FakeProbe::assign_xid() {
  const Xid xid = source_.begin(CommitMode::Async);
  source_.log_commit(xid);
  CHECK(source_.make_visible(xid));
  return xid;
}

}  // namespace lockstep
