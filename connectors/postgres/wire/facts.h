// Facts about a server, a publication, a slot and our grants: what `validate` judges, and what the
// reader and the probe pin (P3, I16).
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "connectors/postgres/wire/connection.h"
#include "pipeline/base/result.h"
#include "pipeline/model/snapshot.h"
#include "pipeline/model/table.h"

namespace lockstep {

// Which history of which cluster a server is on.
struct SourceIdentity {
  std::string system_identifier;
  std::uint32_t timeline = 0;
  friend bool operator==(const SourceIdentity&, const SourceIdentity&) = default;
};

// Halt (I16) when `found` is not `pinned`; names both.
Status same_identity(const SourceIdentity& pinned, const SourceIdentity& found);

// Returns the identity of the server connected to, by a replication connection, too.  Retry when it
// is a standby: the connection is closed, since the next one may lead to the primary.
// REQUIRES: the connection is open.
Result<SourceIdentity> read_identity(PostgresConnection& connection);

// Of the source: Halt (I16) when the connection led to another cluster or timeline than `pinned`.
// Retry: to a standby of that cluster, as read_identity().  REQUIRES: the connection is open.
Status same_source(PostgresConnection& connection, const SourceIdentity& pinned);

// Connects if not connected, and then makes sure of same_source().
Status open_source(PostgresConnection& connection, const SourceIdentity& pinned);

// Of the target: Halt, with exit code Temporary, when it is another server or on another timeline
// than `pinned`, and so may lack what was committed.  Retry: a standby, as read_identity().
// REQUIRES: the connection is open.
Status same_history(PostgresConnection& connection, const SourceIdentity& pinned);

struct RoleFacts {
  std::string name;
  bool superuser = false;
  bool replication = false;
  bool bypass_rls = false;
  bool create_role = false;
  bool create_database = false;
  bool create_in_database = false;    // CREATE on the current database.
  bool set_replication_role = false;  // May SET session_replication_role.
  int connections_max = -1;           // CONNECTION LIMIT; -1: none.  Not for superusers.
  int connections_used = 0;
};

// The encoding of a database that takes any bytes for text.
inline constexpr std::string_view kNoEncoding = "SQL_ASCII";

struct ServerFacts {
  int version = 0;  // server_version_num: 150020.
  bool in_recovery = false;
  std::string system_identifier;
  std::uint32_t timeline = 0;  // 0 in recovery.
  std::string database;
  std::string encoding;  // "UTF8"
  std::int64_t database_bytes = 0;
  std::string wal_level;
  std::int64_t wal_segment_bytes = 0;
  int replication_slots_max = 0;
  int replication_slots_used = 0;
  int wal_senders_max = 0;
  int wal_senders_used = 0;
  int connections_max = 0;
  int connections_used = 0;
  int database_connections_max = -1;  // CONNECTION LIMIT; -1: none.  Not for superusers.
  int database_connections_used = 0;
  int prepared_transactions_max = 0;
  std::int64_t slot_wal_keep_mb = -1;  // max_slot_wal_keep_size; -1: unlimited.
  std::string synchronous_standby_names;
  std::string synchronous_commit;
  RoleFacts role;
};

// Whether the target's encoding can hold every text of the source.
inline bool can_hold_text(const ServerFacts& source, const ServerFacts& target) {
  return target.encoding == "UTF8" ||
         (target.encoding == source.encoding && target.encoding != kNoEncoding);
}

// Needs no privilege beyond CONNECT.  Connects if not connected.
Result<ServerFacts> read_server(PostgresConnection& connection);

struct PublicationFacts {
  bool exists = false;
  bool all_tables = false;
  bool whole_schemas = false;  // FOR TABLES IN SCHEMA.
  bool via_root = false;
  bool inserts = false;
  bool updates = false;
  bool deletes = false;
  bool truncates = false;
  std::vector<TableName> filtered;  // Of those asked for: published with a row filter.
  std::vector<TableName> narrowed;  // ... with a column list.
  std::vector<TableName> missing;   // ... not published, or not as a whole.
  // Of all that it publishes, with partitions: no replica identity, so that PostgreSQL refuses the
  // application's updates and deletes.
  std::vector<TableName> unidentified;
};

// What of the publication would have PostgreSQL refuse statements of the application, now or with
// the next table that it makes; nothing when nothing does.  Follows the publication's name.
std::optional<std::string> publication_fault(const PublicationFacts& facts);

// Facts of publication `name`, as far as `tables` are concerned.  Connects if not connected.
Result<PublicationFacts> read_publication(PostgresConnection& connection, const std::string& name,
                                          const std::vector<TableName>& tables);

struct SlotFacts {
  bool exists = false;
  std::string plugin;  // "" for a physical slot.
  std::string database;
  bool active = false;
  int active_pid = 0;
  bool temporary = false;
  bool two_phase = false;
  std::optional<Lsn> restart_lsn;
  std::optional<Lsn> confirmed_flush_lsn;
  std::string wal_status;  // reserved, extended, unreserved, lost.
};

// Connects if not connected.
Result<SlotFacts> read_slot(PostgresConnection& connection, const std::string& name);

// What the current role may do with a table.
struct TablePrivileges {
  TableName name;
  bool usage = false;   // Of the schema.
  bool select = false;  // Of the table, or of each of its columns.
  bool insert = false;
  bool update = false;
  bool remove = false;
  bool truncate = false;
};

// Privileges on those of `tables` that exist, in their order.  Connects if not connected.
Result<std::vector<TablePrivileges>> read_privileges(PostgresConnection& connection,
                                                     const std::vector<TableName>& tables);

}  // namespace lockstep
