#include "pipeline/decode/pgoutput/pgoutput.h"

#include <fmt/format.h>

#include "pipeline/model/row.h"

namespace lockstep {
namespace {

constexpr std::uint8_t kInIdentity = 1;
constexpr std::uint8_t kCascade = 1;
constexpr std::uint8_t kRestartIdentity = 2;

// Takes values off the front of a message.  Once something was missing it gives zeros, and done()
// is false for ever: callers check once, at the end.
class Cursor {
 public:
  explicit Cursor(std::string_view message) : rest_(message) { u8(); }  // The kind.

  std::uint8_t u8() { return take(1) ? static_cast<std::uint8_t>(taken_[0]) : std::uint8_t{0}; }
  std::uint16_t u16() { return take(2) ? read_be16(taken_) : std::uint16_t{0}; }
  std::uint32_t u32() { return take(4) ? read_be32(taken_) : 0; }
  std::uint64_t u64() { return take(8) ? read_be64(taken_) : 0; }
  std::string_view bytes(std::size_t count) { return take(count) ? taken_ : std::string_view(); }
  // Up to a NUL byte.
  std::string_view text() {
    const std::size_t end = rest_.find('\0');
    if (end == std::string_view::npos) {
      good_ = false;
      return {};
    }
    const std::string_view text = bytes(end);
    u8();
    return text;
  }
  std::int64_t time_us() {
    return static_cast<std::int64_t>(u64() + static_cast<std::uint64_t>(kPostgresEpochUs));
  }

  void spoil() { good_ = false; }
  bool good() const { return good_; }
  std::size_t left() const { return rest_.size(); }
  bool done() const { return good_ && rest_.empty(); }

 private:
  bool take(std::size_t count) {
    if (!good_ || rest_.size() < count) {
      good_ = false;
      return false;
    }
    taken_ = rest_.substr(0, count);
    rest_.remove_prefix(count);
    return true;
  }

  std::string_view rest_;
  std::string_view taken_;
  bool good_ = true;
};

std::unexpected<Error> malformed(std::string_view message) {
  return fail(Reaction::Halt,
              fmt::format("a replication message '{}' of {} bytes is not as protocol version 1 of "
                          "pgoutput has it: something between lockstep and the source changes it",
                          message.empty() ? ' ' : message[0], message.size()));
}

void read_tuple(Cursor& cursor, WalTuple& tuple) {
  const std::uint16_t count = cursor.u16();
  tuple.clear();
  for (std::uint16_t i = 0; i < count && cursor.good(); ++i) {
    WalValue& value = tuple.emplace_back();
    value.form = static_cast<WalValue::Form>(cursor.u8());
    switch (value.form) {
      case WalValue::Form::Null:
      case WalValue::Form::Unchanged:
        break;
      case WalValue::Form::Text:
      case WalValue::Form::Binary:
        value.bytes = cursor.bytes(cursor.u32());
        break;
      default:
        cursor.spoil();
    }
  }
}

}  // namespace

Result<WalKind> wal_kind(std::string_view message) {
  constexpr std::string_view kKinds = "BCORYIUDTM";
  if (message.empty() || kKinds.find(message[0]) == std::string_view::npos)
    return malformed(message);
  return static_cast<WalKind>(message[0]);
}

Result<WalBegin> read_wal_begin(std::string_view message) {
  Cursor cursor(message);
  WalBegin begin;
  begin.final_lsn = cursor.u64();
  begin.commit_us = cursor.time_us();
  begin.xid = cursor.u32();
  if (!cursor.done()) return malformed(message);
  return begin;
}

Result<WalCommit> read_wal_commit(std::string_view message) {
  Cursor cursor(message);
  cursor.u8();  // Flags, unused.
  WalCommit commit;
  commit.commit_lsn = cursor.u64();
  commit.end_lsn = cursor.u64();
  commit.commit_us = cursor.time_us();
  if (!cursor.done()) return malformed(message);
  return commit;
}

Status read_wal_relation(std::string_view message, WalRelation& relation) {
  Cursor cursor(message);
  relation.oid = cursor.u32();
  relation.schema = cursor.text();
  if (relation.schema.empty()) relation.schema = "pg_catalog";
  relation.table = cursor.text();
  relation.identity = static_cast<char>(cursor.u8());
  relation.columns.clear();
  const std::uint16_t count = cursor.u16();
  for (std::uint16_t i = 0; i < count && cursor.good(); ++i) {
    WalColumn& column = relation.columns.emplace_back();
    column.in_identity = (cursor.u8() & kInIdentity) != 0;
    column.name = cursor.text();
    column.type = cursor.u32();
    column.typmod = static_cast<std::int32_t>(cursor.u32());
  }
  if (!cursor.done()) return malformed(message);
  return {};
}

Status read_wal_row(std::string_view message, WalRow& row) {
  Cursor cursor(message);
  const bool has_after = message[0] != static_cast<char>(WalKind::Delete);
  row.relation = cursor.u32();
  row.old_form = WalRow::Old::None;
  row.before.clear();
  row.after.clear();
  char tag = static_cast<char>(cursor.u8());
  if (tag == 'K' || tag == 'O') {
    if (message[0] == static_cast<char>(WalKind::Insert)) return malformed(message);
    row.old_form = static_cast<WalRow::Old>(tag);
    read_tuple(cursor, row.before);
    if (has_after) tag = static_cast<char>(cursor.u8());
  } else if (!has_after) {
    return malformed(message);
  }
  if (has_after) {
    if (tag != 'N') return malformed(message);
    read_tuple(cursor, row.after);
  }
  if (!cursor.done()) return malformed(message);
  return {};
}

Result<WalTruncate> read_wal_truncate(std::string_view message) {
  Cursor cursor(message);
  WalTruncate truncate;
  const std::uint32_t count = cursor.u32();
  const std::uint8_t options = cursor.u8();
  truncate.cascade = (options & kCascade) != 0;
  truncate.restart_identity = (options & kRestartIdentity) != 0;
  if (cursor.left() / sizeof(std::uint32_t) != count) return malformed(message);
  for (std::uint32_t i = 0; i < count; ++i) truncate.relations.push_back(cursor.u32());
  if (!cursor.done()) return malformed(message);
  return truncate;
}

}  // namespace lockstep
