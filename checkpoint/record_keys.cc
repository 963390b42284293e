// Keys of records: what lies where in the database, and their names for people.
#include <fmt/format.h>

#include "checkpoint/codec.h"
#include "pipeline/model/row.h"

namespace lockstep {

std::string record_key(RecordKind kind) { return std::string(1, static_cast<char>(kind)); }

std::string record_key(RecordKind kind, std::string_view name) {
  return record_key(kind).append(name);
}

std::string intent_key(std::uint32_t lane) {
  std::string key = record_key(RecordKind::Intent);
  append_be32(key, lane);
  return key;
}

std::string audit_key(std::uint64_t sequence) {
  std::string key = record_key(RecordKind::Audit);
  append_be64(key, sequence);
  return key;
}

std::string told_key(std::uint64_t id) {
  std::string key = record_key(RecordKind::Told);
  append_be64(key, id);
  return key;
}

std::string table_prefix(RecordKind kind, std::string_view table) {
  std::string key = record_key(kind, table);
  key.push_back('\0');
  return key;
}

std::string finding_key(std::string_view table, const Hash128& row) {
  std::string key = table_prefix(RecordKind::Finding, table);
  append_be64(key, row.high);
  append_be64(key, row.low);
  return key;
}

std::string range_key(std::string_view table, const std::optional<std::string>& lower) {
  std::string key = table_prefix(RecordKind::Range, table);
  key.push_back(lower ? '\1' : '\0');
  return key.append(lower.value_or(""));
}

std::string_view key_name(std::string_view key) {
  CHECK(!key.empty());
  return key.substr(1);
}

std::string key_text(std::string_view key) {
  const std::string_view name = key.empty() ? key : key_name(key);
  switch (static_cast<RecordKind>(key.empty() ? '\0' : key.front())) {
    case RecordKind::Audit:
      if (name.size() == 8) return fmt::format("audit entry {}", read_be64(name));
      break;
    case RecordKind::Evidence:
      return fmt::format("evidence '{}'", name);
    case RecordKind::Finding:
    case RecordKind::Range:
      if (const auto parts = table_key(key))
        return fmt::format("{} of {}", key.front() == 'f' ? "finding" : "range", parts->table);
      break;
    case RecordKind::Incarnation:
      return "incarnation";
    case RecordKind::Identity:
      return "identity";
    case RecordKind::Intent:
      if (name.size() == 4) return fmt::format("intent of lane {}", read_be32(name));
      break;
    case RecordKind::Note:
      return fmt::format("note '{}'", name);
    case RecordKind::Setting:
      return fmt::format("setting '{}'", name);
    case RecordKind::Heal:
      return fmt::format("heal of {}", name);
    case RecordKind::Copy:
      return fmt::format("copy of {}", name);
    case RecordKind::TargetEnd:
      return "end of the target's log";
    case RecordKind::Shape:
      return fmt::format("shape of {}", name);
    case RecordKind::Told:
      if (name.size() == 8) return fmt::format("event {}", read_be64(name));
      break;
  }
  std::string hex;
  for (const char byte : key) hex += fmt::format("{:02x}", static_cast<std::uint8_t>(byte));
  return "0x" + hex;
}

std::optional<TableKey> table_key(std::string_view key) {
  const std::string_view name = key_name(key);
  const std::size_t end = name.find('\0');
  if (end == std::string_view::npos) return std::nullopt;
  return TableKey{name.substr(0, end), name.substr(end + 1)};
}

}  // namespace lockstep
