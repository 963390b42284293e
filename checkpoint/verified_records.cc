#include "checkpoint/verified_records.h"

#include <algorithm>
#include <limits>
#include <utility>

#include "checkpoint/codec.h"
#include "pipeline/base/number.h"

namespace lockstep {

Result<std::vector<VerifiedRange>> load_ranges(const Database& database, std::string_view table) {
  std::vector<VerifiedRange> ranges;
  LOCKSTEP_TRY(database.scan(table_prefix(RecordKind::Range, table), [&](auto key, auto value) {
    return decode(key, value, ranges.emplace_back());
  }));
  return ranges;
}

Status VerifiedRecords::save_ranges(std::string_view table, std::span<const VerifiedRange> put,
                                    std::span<const std::optional<std::string>> gone) {
  std::vector<RecordWrite> writes;
  for (const auto& lower : gone) writes.push_back({range_key(table, lower), std::nullopt});
  for (const VerifiedRange& range : put) {
    const std::string key = range_key(table, range.range.lower);
    writes.push_back({key, encode(key, range)});
  }
  return database_.write(writes, Durability::Unsynced);
}

Status VerifiedRecords::add_removals(RecordKind kind, std::string_view table,
                                     std::vector<RecordWrite>& writes) {
  return database_.scan(table_prefix(kind, table), [&](auto key, auto) -> Status {
    writes.push_back({std::string(key), std::nullopt});
    return {};
  });
}

Status VerifiedRecords::forget_ranges(std::string_view table) {
  std::vector<RecordWrite> writes;
  LOCKSTEP_TRY(add_removals(RecordKind::Range, table, writes));
  return database_.write(writes, Durability::Unsynced);
}

// "" where there is none.
Result<std::string> VerifiedRecords::load_text(const std::string& key) const {
  LOCKSTEP_ASSIGN(const std::optional<std::string> value, database_.get(key));
  std::string text;
  if (value) LOCKSTEP_TRY(decode(key, *value, text));
  return text;
}

Status VerifiedRecords::save_text(std::string key, std::string_view text) {
  RecordWrite write{std::move(key), std::nullopt};
  if (!text.empty()) write.value = encode(write.key, text);
  return database_.write({&write, 1}, Durability::Unsynced);
}

Result<std::string> VerifiedRecords::load_heal(std::string_view table) {
  return load_text(record_key(RecordKind::Heal, table));
}

Status VerifiedRecords::save_heal(std::string_view table, std::string_view missed) {
  return save_text(record_key(RecordKind::Heal, table), missed);
}

Result<std::string> VerifiedRecords::load_shape(std::string_view table) {
  return load_text(record_key(RecordKind::Shape, table));
}

Status VerifiedRecords::begin_shape(std::string_view table, std::string_view shape) {
  std::vector<RecordWrite> writes;
  LOCKSTEP_TRY(add_removals(RecordKind::Range, table, writes));
  LOCKSTEP_TRY(add_removals(RecordKind::Finding, table, writes));
  const std::string key = record_key(RecordKind::Shape, table);
  writes.push_back({key, encode(key, shape)});
  return database_.write(writes, Durability::Unsynced);
}

Result<std::string> VerifiedRecords::load_copy(std::string_view table) {
  return load_text(record_key(RecordKind::Copy, table));
}

Status VerifiedRecords::save_copy(std::string_view table, std::string_view copy) {
  return save_text(record_key(RecordKind::Copy, table), copy);
}

Result<Lsn> VerifiedRecords::load_target_end() {
  LOCKSTEP_ASSIGN(const std::string text, load_text(record_key(RecordKind::TargetEnd)));
  Lsn end = 0;
  return text.empty() || !parse_number(text, end) ? Lsn{0} : end;
}

Status VerifiedRecords::save_target_end(Lsn end) {
  return save_text(record_key(RecordKind::TargetEnd), std::to_string(end));
}

// Without its copy a table's findings are looked at by who loads them.
Status VerifiedRecords::forget_compared() {
  std::vector<RecordWrite> writes;
  for (const RecordKind kind :
       {RecordKind::Range, RecordKind::Heal, RecordKind::Copy, RecordKind::TargetEnd})
    LOCKSTEP_TRY(database_.scan(record_key(kind), [&](auto key, auto) -> Status {
      writes.push_back({std::string(key), std::nullopt});
      return {};
    }));
  LOCKSTEP_TRY(add_closed(std::numeric_limits<std::int64_t>::max(), writes));
  return database_.write(writes, Durability::Synced);
}

Result<std::optional<Finding>> find_finding(const Database& database, std::string_view table,
                                            const Hash128& key_hash) {
  const std::string key = finding_key(table, key_hash);
  LOCKSTEP_ASSIGN(const std::optional<std::string> value, database.get(key));
  if (!value) return std::optional<Finding>();
  Finding finding;
  LOCKSTEP_TRY(decode(key, *value, finding));
  return std::optional<Finding>(std::move(finding));
}

Result<std::optional<Finding>> VerifiedRecords::find(std::uint64_t id) {
  std::optional<Finding> found;
  LOCKSTEP_TRY(for_each_finding(database_, [&](const Finding& finding) -> Status {
    if (finding.id == id) found = finding;
    return {};
  }));
  return found;
}

Result<std::uint64_t> VerifiedRecords::new_id() {
  if (last_id_ == 0)
    LOCKSTEP_TRY(for_each_finding(database_, [this](const Finding& finding) -> Status {
      last_id_ = std::max(last_id_, finding.id);
      return {};
    }));
  return ++last_id_;
}

Result<std::uint64_t> VerifiedRecords::save_finding(const Finding& finding) {
  Finding saved = finding;
  if (saved.id == 0) {
    LOCKSTEP_ASSIGN(saved.id, new_id());
  }
  const std::string key = finding_key(saved.table, saved.key_hash);
  const RecordWrite write{key, encode(key, saved)};
  LOCKSTEP_TRY(database_.write({&write, 1}, Durability::Unsynced));
  return saved.id;
}

Result<std::uint64_t> VerifiedRecords::count_open(std::string_view table) {
  std::uint64_t count = 0;
  const auto add = [&](std::string_view key, std::string_view value) -> Status {
    Finding finding;
    LOCKSTEP_TRY(decode(key, value, finding));
    count += is_open(finding.state) ? 1 : 0;
    return {};
  };
  LOCKSTEP_TRY(database_.scan(table_prefix(RecordKind::Finding, table), add));
  return count;
}

Result<std::vector<Finding>> VerifiedRecords::open_findings(std::string_view table,
                                                            std::size_t limit) {
  std::vector<Finding> open;
  const auto add = [&](std::string_view key, std::string_view value) -> Status {
    if (open.size() >= limit) return {};
    Finding finding;
    LOCKSTEP_TRY(decode(key, value, finding));
    finding.source_row = finding.target_row = {};  // They may be large, and many.
    if (is_open(finding.state)) open.push_back(std::move(finding));
    return {};
  };
  LOCKSTEP_TRY(database_.scan(table_prefix(RecordKind::Finding, table), add));
  return open;
}

// The one with the greatest number stays, or another process would give that number again.
Status VerifiedRecords::add_closed(std::int64_t before_us, std::vector<RecordWrite>& writes) const {
  std::uint64_t newest = 0;
  LOCKSTEP_TRY(for_each_finding(database_, [&](const Finding& finding) -> Status {
    newest = std::max(newest, finding.id);
    return {};
  }));
  return for_each_finding(database_, [&](const Finding& finding) -> Status {
    if (!is_open(finding.state) && finding.last_seen_us < before_us && finding.id != newest)
      writes.push_back({finding_key(finding.table, finding.key_hash), std::nullopt});
    return {};
  });
}

// Their times first: there may be very many.
Status VerifiedRecords::prune(std::int64_t before_us, std::size_t most) {
  std::vector<std::int64_t> times;
  LOCKSTEP_TRY(for_each_finding(database_, [&](const Finding& finding) -> Status {
    if (!is_open(finding.state)) times.push_back(finding.last_seen_us);
    return {};
  }));
  if (times.size() > most) {
    const auto oldest_kept = times.end() - static_cast<std::ptrdiff_t>(most);
    std::ranges::nth_element(times, oldest_kept);
    before_us =
        std::max(before_us, most == 0 ? std::numeric_limits<std::int64_t>::max() : *oldest_kept);
  }
  std::vector<RecordWrite> writes;
  LOCKSTEP_TRY(add_closed(before_us, writes));
  return writes.empty() ? Status() : database_.write(writes, Durability::Unsynced);
}

Status for_each_finding(const Database& database, const VisitFinding& visit) {
  return database.scan(record_key(RecordKind::Finding), [&](auto key, auto value) -> Status {
    Finding finding;
    if (const Status read = decode(key, value, finding); !read) return {};
    return visit(finding);
  });
}

}  // namespace lockstep
