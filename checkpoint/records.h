// Records: what the checkpoint keeps besides LaneIntent (pipeline/ports).
//
// codec.h turns each into bytes, rocksdb_store.h stores them, FORMAT.md says how.  All of it is
// ours alone: losing it costs time, never rows.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "pipeline/model/snapshot.h"

namespace lockstep {

// Whose state directory it is.  An empty field is not known (yet): it matches anything.
struct MigrationIdentity {
  std::string migration;
  std::string source_system;  // system_identifier of the source cluster.
  std::string target_system;  // The same of the target.
  std::string stream_kind;    // "direct" or "debezium".
  std::string stream_name;    // The slot, or the topic prefix.

  friend bool operator==(const MigrationIdentity&, const MigrationIdentity&) = default;
};

// What the running incarnation began with; the base of its lanes' intents (unseen.h).
struct Incarnation {
  std::uint64_t epoch = 0;
  Xid floor = 0;            // Visibility's floor.
  std::vector<Xid> unseen;  // The U it inherited.

  friend bool operator==(const Incarnation&, const Incarnation&) = default;
};

// One command of an operator.  Holds no values of columns and no secrets.
struct AuditEntry {
  std::int64_t at_us = 0;
  std::string actor;  // "uid 1000 (anna)"
  std::string verb;   // "pause", "set", "quarantine drop"
  std::string details;

  friend bool operator==(const AuditEntry&, const AuditEntry&) = default;
};

// Something that operators were told (pipeline/ports/events.h).
struct ToldEvent {
  std::uint64_t id = 0;  // Of its key: rises by one with each, over restarts.
  std::int64_t at_us = 0;
  std::string level;
  std::string message;
  std::vector<std::pair<std::string, std::string>> fields;

  friend bool operator==(const ToldEvent&, const ToldEvent&) = default;
};

// A setting changed while running.
struct StoredSetting {
  std::string value;
  std::string actor;
  std::int64_t at_us = 0;

  friend bool operator==(const StoredSetting&, const StoredSetting&) = default;
};

// The raw bytes of an event that became a debt or a stop.
struct Evidence {
  std::uint64_t sequence = 0;     // Order of arrival; the oldest goes first.
  std::uint64_t event_bytes = 0;  // Of the whole event; larger than bytes.size() when cut.
  std::string bytes;

  friend bool operator==(const Evidence&, const Evidence&) = default;
};

}  // namespace lockstep
