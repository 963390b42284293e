#include "checkpoint/codec.h"

#include <fmt/format.h>

#include <vector>

#include "pipeline/model/row.h"

namespace lockstep {
namespace {

constexpr std::size_t kChecksumBytes = 8;

std::uint64_t checksum(std::string_view key, std::string_view body) {
  return hash128(body, hash128(key, 0).low).low;
}

// A number, seven bits per byte, least significant first; the high bit says that more follow.
void append_varint(std::string& out, std::uint64_t value) {
  for (; value >= 0x80; value >>= 7) out.push_back(static_cast<char>(value | 0x80));
  out.push_back(static_cast<char>(value));
}

// Signed numbers near 0 stay short: 0, -1, 1, -2 become 0, 1, 2, 3.
std::uint64_t zigzag(std::int64_t value) {
  return (static_cast<std::uint64_t>(value) << 1) ^ static_cast<std::uint64_t>(value >> 63);
}
std::int64_t unzigzag(std::uint64_t value) {
  return static_cast<std::int64_t>((value >> 1) ^ (~(value & 1) + 1));
}

class Writer {
 public:
  explicit Writer(std::string_view key) : key_(key) {
    value_.push_back(static_cast<char>(kCodecVersion));
  }
  Writer& number(std::uint64_t value) {
    append_varint(value_, value);
    return *this;
  }
  Writer& signed_number(std::int64_t value) { return number(zigzag(value)); }
  Writer& text(std::string_view bytes) {
    number(bytes.size());
    value_.append(bytes);
    return *this;
  }
  // Transaction ids lie close together: each is stored as its distance from the one before.
  Writer& xids(const std::vector<Xid>& xids) {
    number(xids.size());
    Xid before = 0;
    for (const Xid xid : xids) {
      signed_number(static_cast<std::int64_t>(xid - before));
      before = xid;
    }
    return *this;
  }
  std::string finish() {
    append_be64(value_, checksum(key_, value_));
    return std::move(value_);
  }

 private:
  std::string_view key_;
  std::string value_;
};

// Reads fields in the order they were written; after the first error every field is empty, and
// finish() answers that error.
class Reader {
 public:
  Reader(std::string_view key, std::string_view value) : key_(key), rest_(value) {
    if (const std::string why = take_frame(value); !why.empty()) break_off(why);
  }

  std::uint64_t number() {
    std::uint64_t value = 0;
    for (unsigned shift = 0; shift < 64 && !rest_.empty(); shift += 7) {
      const auto byte = static_cast<std::uint8_t>(rest_.front());
      rest_.remove_prefix(1);
      if (shift == 63 && byte > 1) break;
      value |= static_cast<std::uint64_t>(byte & 0x7F) << shift;
      if (byte < 0x80) return value;
    }
    break_off("a number in it is malformed");
    return 0;
  }
  std::int64_t signed_number() { return unzigzag(number()); }
  std::uint64_t number_up_to(std::uint64_t most) {
    const std::uint64_t value = number();
    if (value <= most) return value;
    break_off("a number in it is too large");
    return 0;
  }
  bool broken() const { return !error_.empty(); }
  bool at_end() const { return rest_.empty(); }
  std::string_view text() {
    const std::uint64_t size = number();
    if (size > rest_.size()) {
      break_off("a text in it is longer than the record");
      return {};
    }
    const std::string_view bytes = rest_.substr(0, size);
    rest_.remove_prefix(size);
    return bytes;
  }
  std::vector<Xid> xids() {
    const std::uint64_t count = number();
    // One byte each at least, so that a wrong count cannot ask for memory without end.
    if (count > rest_.size()) {
      break_off("a list in it is longer than the record");
      return {};
    }
    std::vector<Xid> xids;
    xids.reserve(count);
    Xid before = 0;
    for (std::uint64_t i = 0; i < count; ++i) {
      before += static_cast<Xid>(signed_number());
      xids.push_back(before);
    }
    return xids;
  }
  Status finish() {
    if (error_.empty() && !rest_.empty()) break_off("bytes follow its last field");
    if (error_.empty()) return {};
    return fail(Reaction::Halt,
                fmt::format("checkpoint record {} is damaged: {}", key_text(key_), error_));
  }

 private:
  // Takes version and checksum off; returns what is wrong with them.
  std::string take_frame(std::string_view value) {
    if (value.size() < 1 + kChecksumBytes) return "it is cut short";
    rest_.remove_suffix(kChecksumBytes);
    if (read_be64(value.substr(rest_.size())) != checksum(key_, rest_))
      return "its checksum is wrong";
    const auto version = static_cast<std::uint8_t>(rest_.front());
    rest_.remove_prefix(1);
    if (version == kCodecVersion) return "";
    return fmt::format("its version {} is not one this lockstep reads ({})", version,
                       kCodecVersion);
  }

  void break_off(std::string why) {
    if (error_.empty()) error_ = std::move(why);
    rest_ = {};
  }

  std::string_view key_;
  std::string_view rest_;
  std::string error_;
};

Status bad_key(std::string_view key) {
  return fail(Reaction::Halt, "checkpoint key is not one of ours: " + key_text(key));
}

bool is_kind(std::string_view key, RecordKind kind) {
  return !key.empty() && key.front() == static_cast<char>(kind);
}

}  // namespace

std::string encode(std::string_view key, const MigrationIdentity& record) {
  return Writer(key)
      .text(record.migration)
      .text(record.source_system)
      .text(record.target_system)
      .text(record.stream_kind)
      .text(record.stream_name)
      .finish();
}

std::string encode(std::string_view key, const Incarnation& record) {
  return Writer(key).number(record.epoch).number(record.floor).xids(record.unseen).finish();
}

std::string encode(std::string_view key, const LaneIntent& record) {
  return Writer(key).number(record.epoch).number(record.batch).xids(record.unseen).finish();
}

std::string encode(std::string_view key, const AuditEntry& record) {
  return Writer(key)
      .signed_number(record.at_us)
      .text(record.actor)
      .text(record.verb)
      .text(record.details)
      .finish();
}

std::string encode(std::string_view key, const Evidence& record) {
  return Writer(key).number(record.sequence).number(record.event_bytes).text(record.bytes).finish();
}

std::string encode(std::string_view key, const StoredSetting& record) {
  return Writer(key).text(record.value).text(record.actor).signed_number(record.at_us).finish();
}

std::string encode(std::string_view key, const ToldEvent& record) {
  Writer writer(key);
  writer.signed_number(record.at_us)
      .text(record.level)
      .text(record.message)
      .number(record.fields.size());
  for (const auto& [name, value] : record.fields) writer.text(name).text(value);
  return writer.finish();
}

std::string encode(std::string_view key, const Finding& record) {
  Writer writer(key);
  writer.number(record.id)
      .number(static_cast<std::uint64_t>(record.kind))
      .number(static_cast<std::uint64_t>(record.state))
      .signed_number(record.first_seen_us)
      .signed_number(record.last_seen_us)
      .number(record.position)
      .text(record.key)
      .text(record.cause)
      .text(record.source_row)
      .text(record.target_row)
      .number(record.columns.size());
  for (const std::string& column : record.columns) writer.text(column);
  if (record.state_since_us == 0 && record.writer.xid == 0) return writer.finish();
  writer.signed_number(record.state_since_us);
  writer.number(record.writer.xid).text(record.writer.foreign);
  return writer.finish();
}

std::string encode(std::string_view key, const VerifiedRange& record) {
  Writer writer(key);
  writer.signed_number(record.at_us).number(record.position).number(record.rows);
  writer.number(record.range.upper ? 1 : 0).text(record.range.upper.value_or(""));
  return writer.finish();
}

std::string encode(std::string_view key, std::string_view text) {
  return Writer(key).text(text).finish();
}

Status decode(std::string_view key, std::string_view value, MigrationIdentity& record) {
  if (key != record_key(RecordKind::Identity)) return bad_key(key);
  Reader reader(key, value);
  record.migration = reader.text();
  record.source_system = reader.text();
  record.target_system = reader.text();
  record.stream_kind = reader.text();
  record.stream_name = reader.text();
  return reader.finish();
}

Status decode(std::string_view key, std::string_view value, Incarnation& record) {
  if (key != record_key(RecordKind::Incarnation)) return bad_key(key);
  Reader reader(key, value);
  record.epoch = reader.number();
  record.floor = reader.number();
  record.unseen = reader.xids();
  return reader.finish();
}

Status decode(std::string_view key, std::string_view value, LaneIntent& record) {
  if (!is_kind(key, RecordKind::Intent) || key.size() != 5) return bad_key(key);
  Reader reader(key, value);
  record.lane = read_be32(key_name(key));
  record.epoch = reader.number();
  record.batch = reader.number();
  record.unseen = reader.xids();
  return reader.finish();
}

Status decode(std::string_view key, std::string_view value, AuditEntry& record) {
  if (!is_kind(key, RecordKind::Audit) || key.size() != 9) return bad_key(key);
  Reader reader(key, value);
  record.at_us = reader.signed_number();
  record.actor = reader.text();
  record.verb = reader.text();
  record.details = reader.text();
  return reader.finish();
}

Status decode(std::string_view key, std::string_view value, Evidence& record) {
  if (!is_kind(key, RecordKind::Evidence)) return bad_key(key);
  Reader reader(key, value);
  record.sequence = reader.number();
  record.event_bytes = reader.number();
  record.bytes = reader.text();
  return reader.finish();
}

Status decode(std::string_view key, std::string_view value, StoredSetting& record) {
  if (!is_kind(key, RecordKind::Setting)) return bad_key(key);
  Reader reader(key, value);
  record.value = reader.text();
  record.actor = reader.text();
  record.at_us = reader.signed_number();
  return reader.finish();
}

Status decode(std::string_view key, std::string_view value, ToldEvent& record) {
  if (!is_kind(key, RecordKind::Told) || key.size() != 9) return bad_key(key);
  record.id = read_be64(key_name(key));
  Reader reader(key, value);
  record.at_us = reader.signed_number();
  record.level = reader.text();
  record.message = reader.text();
  record.fields.clear();
  for (std::uint64_t left = reader.number(); left > 0 && !reader.broken(); --left) {
    const std::string name(reader.text());
    record.fields.emplace_back(name, reader.text());
  }
  return reader.finish();
}

Status decode(std::string_view key, std::string_view value, Finding& record) {
  const auto parts = is_kind(key, RecordKind::Finding) ? table_key(key) : std::nullopt;
  if (!parts || parts->rest.size() != 16) return bad_key(key);
  record.table = parts->table;
  record.key_hash = {read_be64(parts->rest.substr(8)), read_be64(parts->rest)};
  Reader reader(key, value);
  record.id = reader.number();
  record.kind = static_cast<FindingKind>(reader.number_up_to(2));
  record.state = static_cast<FindingState>(reader.number_up_to(4));
  record.first_seen_us = reader.signed_number();
  record.last_seen_us = reader.signed_number();
  record.position = reader.number();
  record.key = reader.text();
  record.cause = reader.text();
  record.source_row = reader.text();
  record.target_row = reader.text();
  record.columns.clear();
  for (std::uint64_t left = reader.number(); left > 0 && !reader.broken(); --left)
    record.columns.emplace_back(reader.text());
  record.state_since_us = 0;
  record.writer = {};
  if (reader.at_end()) return reader.finish();
  record.state_since_us = reader.signed_number();
  record.writer.xid = reader.number();
  record.writer.foreign = reader.text();
  return reader.finish();
}

Status decode(std::string_view key, std::string_view value, VerifiedRange& record) {
  const auto parts = is_kind(key, RecordKind::Range) ? table_key(key) : std::nullopt;
  if (!parts || parts->rest.empty() || parts->rest.front() > '\1') return bad_key(key);
  record.range.lower.reset();
  if (parts->rest.front() == '\1') record.range.lower = parts->rest.substr(1);
  Reader reader(key, value);
  record.at_us = reader.signed_number();
  record.position = reader.number();
  record.rows = reader.number();
  const bool bounded = reader.number_up_to(1) == 1;
  const std::string_view upper = reader.text();
  record.range.upper.reset();
  if (bounded) record.range.upper = upper;
  return reader.finish();
}

Status decode(std::string_view key, std::string_view value, std::string& text) {
  if (!is_kind(key, RecordKind::Note) && !is_kind(key, RecordKind::Shape) &&
      !is_kind(key, RecordKind::Heal) && !is_kind(key, RecordKind::Copy) &&
      !is_kind(key, RecordKind::TargetEnd))
    return bad_key(key);
  Reader reader(key, value);
  text = reader.text();
  return reader.finish();
}

bool is_forgettable(std::string_view key) {
  return is_kind(key, RecordKind::Finding) || is_kind(key, RecordKind::Range) ||
         is_kind(key, RecordKind::Shape) || is_kind(key, RecordKind::Heal) ||
         is_kind(key, RecordKind::Copy) || is_kind(key, RecordKind::TargetEnd) ||
         is_kind(key, RecordKind::Told);
}

namespace {

template <typename Record>
Status check_as(std::string_view key, std::string_view value) {
  Record record;
  return decode(key, value, record);
}

}  // namespace

Status check_record(std::string_view key, std::string_view value) {
  if (key.empty()) return bad_key(key);
  switch (static_cast<RecordKind>(key.front())) {
    case RecordKind::Audit:
      return check_as<AuditEntry>(key, value);
    case RecordKind::Evidence:
      return check_as<Evidence>(key, value);
    case RecordKind::Finding:
      return check_as<Finding>(key, value);
    case RecordKind::Incarnation:
      return check_as<Incarnation>(key, value);
    case RecordKind::Identity:
      return check_as<MigrationIdentity>(key, value);
    case RecordKind::Intent:
      return check_as<LaneIntent>(key, value);
    case RecordKind::Copy:
    case RecordKind::Heal:
    case RecordKind::Note:
    case RecordKind::Shape:
    case RecordKind::TargetEnd:
      return check_as<std::string>(key, value);
    case RecordKind::Range:
      return check_as<VerifiedRange>(key, value);
    case RecordKind::Setting:
      return check_as<StoredSetting>(key, value);
    case RecordKind::Told:
      return check_as<ToldEvent>(key, value);
  }
  return bad_key(key);
}

}  // namespace lockstep
