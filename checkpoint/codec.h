// Codec: the checkpoint's records as keys and values of bytes; FORMAT.md describes them.
//
//   value = version (1 byte) | fields | checksum (8 bytes, over the key and all before it)
//
// The checksum covers the key, so a value that ended up under another key is noticed as well as one
// that changed.  Every decode checks lengths and names the key in its error (Halt, exit BadData).
// Pure; used by the stores, their reader and the tests only.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "checkpoint/records.h"
#include "pipeline/base/result.h"
#include "pipeline/ports/checkpoint.h"
#include "pipeline/ports/verified.h"

namespace lockstep {

inline constexpr std::uint8_t kCodecVersion = 1;

// The first byte of a key.
enum class RecordKind : char {
  Audit = 'a',     // + sequence (8 bytes)
  Copy = 'c',      // + table
  Evidence = 'e',  // + id
  Finding = 'f',   // + table, 0, hash of the row's key (16 bytes)
  Incarnation = 'g',
  Heal = 'h',  // + table
  Identity = 'i',
  Intent = 'l',   // + lane (4 bytes)
  Note = 'n',     // + name
  Range = 'r',    // + table, 0, lower bound: 0 for none, or 1 and the key's cells
  Setting = 's',  // + name
  Told = 't',     // + id (8 bytes)
  Shape = 'v',    // + table
  TargetEnd = 'w',
};

// Keys.  Numbers are big-endian, so that RocksDB's byte order is theirs.
std::string record_key(RecordKind kind);
std::string record_key(RecordKind kind, std::string_view name);
std::string intent_key(std::uint32_t lane);
std::string audit_key(std::uint64_t sequence);
std::string told_key(std::uint64_t id);
// Of all findings, or all ranges, of a table.
std::string table_prefix(RecordKind kind, std::string_view table);
std::string finding_key(std::string_view table, const Hash128& row);
std::string range_key(std::string_view table, const std::optional<std::string>& lower);

// The key for people: "setting 'rate_limit'", "intent of lane 3".
std::string key_text(std::string_view key);
// What follows the kind's byte.  REQUIRES: `key` is not empty.
std::string_view key_name(std::string_view key);
// What table_prefix() wrote, and what follows it; nothing of any other key.
struct TableKey {
  std::string_view table;
  std::string_view rest;
};
std::optional<TableKey> table_key(std::string_view key);

// Returns the value of a record under `key`.  What the key says (lane, name) is not repeated.
std::string encode(std::string_view key, const MigrationIdentity& record);
std::string encode(std::string_view key, const Incarnation& record);
std::string encode(std::string_view key, const LaneIntent& record);
std::string encode(std::string_view key, const AuditEntry& record);
std::string encode(std::string_view key, const Evidence& record);
std::string encode(std::string_view key, const StoredSetting& record);
std::string encode(std::string_view key, const ToldEvent& record);
std::string encode(std::string_view key, const Finding& record);
std::string encode(std::string_view key, const VerifiedRange& record);
std::string encode(std::string_view key, std::string_view text);  // Of all other kinds.

// Fills `record` from what is stored under `key`; on an error it is left half filled.
Status decode(std::string_view key, std::string_view value, MigrationIdentity& record);
Status decode(std::string_view key, std::string_view value, Incarnation& record);
Status decode(std::string_view key, std::string_view value, LaneIntent& record);
Status decode(std::string_view key, std::string_view value, AuditEntry& record);
Status decode(std::string_view key, std::string_view value, Evidence& record);
Status decode(std::string_view key, std::string_view value, StoredSetting& record);
Status decode(std::string_view key, std::string_view value, ToldEvent& record);
Status decode(std::string_view key, std::string_view value, Finding& record);
Status decode(std::string_view key, std::string_view value, VerifiedRange& record);
Status decode(std::string_view key, std::string_view value, std::string& text);

// Whether the record that `key` names may be thrown away: what it said is compared anew, or was
// only told.
bool is_forgettable(std::string_view key);

// Checks that `value` is a whole record of the kind that `key` names.
Status check_record(std::string_view key, std::string_view value);

}  // namespace lockstep
