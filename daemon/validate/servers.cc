// What a server itself says: version, role, limits; and whether it is the one the migration knows.
#include <fmt/format.h>

#include <algorithm>
#include <cstdint>
#include <string>

#include "connectors/postgres/source/slot.h"
#include "connectors/postgres/target/opposite.h"
#include "daemon/prepare_stream.h"
#include "daemon/validate/validate.h"

namespace lockstep {
namespace {

constexpr int kOldestVersion = 130000;
constexpr int kParameterGrants = 150000;
// Beside lanes and scans.  Source: probe, supervisor, proof or slot, resume watch, sweep.  Target:
// the direction's lock, ledger, resume watch, quarantine, sweep.
constexpr std::uint64_t kOtherSourceConnections = 5;
constexpr std::uint64_t kOtherTargetConnections = 5;
constexpr std::uint64_t kReservedConnections = 3;  // superuser_reserved_connections' default.

std::string version_text(int version) {
  return fmt::format("{}.{}", version / 10000, version % 10000);
}

// Something that bounds how many sessions there are.
struct ConnectionLimit {
  std::string name;
  std::int64_t most = -1;  // Below 0: there is none.
  std::int64_t used = 0;
  std::uint64_t needed = 0;
  std::string cure;
};

// One side's checks that are the same for both.
class ServerCheck {
 public:
  ServerCheck(Validation& validation, CheckedServer& server)
      : findings_(validation.findings),
        running_(validation.running),
        server_(server),
        side_(server.connection.options().side) {}

  void version() {
    if (facts().version >= kOldestVersion) return;
    findings_.error(server_.where,
                    fmt::format("the {} is PostgreSQL {}: lockstep needs 13 or later", side_,
                                version_text(facts().version)),
                    "upgrade it first");
  }

  void surplus() {
    const RoleFacts& role = facts().role;
    if (role.superuser) {
      findings_.warn(server_.where,
                     fmt::format("role {} is a superuser of the {}: far more than lockstep needs",
                                 role.name, side_),
                     "use a role with the grants that validate names");
      return;
    }
    if (!role.create_role && !role.create_database) return;
    findings_.warn(
        server_.where,
        fmt::format("role {} may create {} on the {}, which lockstep never does", role.name,
                    role.create_role ? "roles" : "databases", side_),
        fmt::format("ALTER ROLE {} NOCREATEROLE NOCREATEDB", quote_identifier(role.name)));
  }

  // `needed`: beside walsenders, which only a role's limit counts.
  void connections(std::uint64_t needed, std::uint64_t walsenders) {
    std::vector<ConnectionLimit> limits{{"max_connections", facts().connections_max,
                                         facts().connections_used, needed + kReservedConnections,
                                         "raise max_connections"}};
    if (!facts().role.superuser) {
      const std::string role = quote_identifier(facts().role.name);
      const std::string database = quote_identifier(facts().database);
      limits.push_back({"the CONNECTION LIMIT of role " + facts().role.name,
                        facts().role.connections_max, facts().role.connections_used,
                        needed + walsenders,
                        fmt::format("ALTER ROLE {} CONNECTION LIMIT -1, as a superuser", role)});
      limits.push_back(
          {"the CONNECTION LIMIT of database " + facts().database, facts().database_connections_max,
           facts().database_connections_used, needed,
           fmt::format("ALTER DATABASE {} CONNECTION LIMIT -1, as its owner", database)});
    }
    std::erase_if(limits, [](const ConnectionLimit& limit) { return limit.most < 0; });
    const auto least = std::ranges::min_element(limits, {}, [this](const ConnectionLimit& limit) {
      return limit.most - static_cast<std::int64_t>(limit.needed) - (running_ ? 0 : limit.used);
    });
    const auto needs = static_cast<std::int64_t>(least->needed);
    const std::string hint = "lower target.lanes or backfill.workers, or " + least->cure;
    if (needs > least->most) {
      findings_.error(server_.where,
                      fmt::format("lockstep needs {} connections to the {}, where {} is {}", needed,
                                  side_, least->name, least->most),
                      hint);
    } else if (!running_ && least->used + needs > least->most) {
      findings_.warn(server_.where,
                     fmt::format("lockstep needs {} connections to the {}, where {} is {} and {} "
                                 "are in use: it may have to wait for some",
                                 needed, side_, least->name, least->most, least->used),
                     hint);
    }
  }

  void proxy() {
    const auto database = read_database(server_.connection);
    if (!database) return findings_.failed(server_.where, database.error());
    if (!database->behind_proxy) return;
    findings_.warn(server_.where,
                   fmt::format("the {} seems to be reached through a pooling proxy: one that pools "
                               "transactions is refused while running",
                               side_),
                   "connect to the server itself; not every proxy can be seen");
  }

 private:
  const ServerFacts& facts() const { return server_.facts; }

  Findings& findings_;
  const bool running_;
  CheckedServer& server_;
  const std::string side_;
};

// The walsender that serves our stream would be waited for by every commit of the application.
void check_synchronous(Validation& validation) {
  const std::string& names = validation.source.facts.synchronous_standby_names;
  const std::string stream =
      validation.manifest.source.stream.value == StreamKind::Direct
          ? connection_options(validation.manifest, Side::Source, "stream").application_name
          : "Debezium Streaming";
  if (!is_synchronous(names, stream)) return;
  validation.findings.error(
      validation.source.where,
      fmt::format("synchronous_standby_names of the source is '{}': the stream would count as a "
                  "standby, and commits of the application would wait for it",
                  names),
      "name the standbys there, as a superuser: ALTER SYSTEM SET synchronous_standby_names");
}

void check_limits(Validation& validation) {
  const ServerFacts& facts = validation.source.facts;
  Findings& findings = validation.findings;
  const Where where = validation.source.where;
  if (facts.wal_level != "logical")
    findings.error(
        where, fmt::format("wal_level of the source is {}", facts.wal_level),
        "ALTER SYSTEM SET wal_level = 'logical' as a superuser, then restart the server");
  const bool slot_exists = validation.slot && validation.slot->exists;
  if (!slot_exists && facts.replication_slots_used >= facts.replication_slots_max)
    findings.error(where,
                   fmt::format("all {} replication slots of the source are in use",
                               facts.replication_slots_max),
                   "ALTER SYSTEM SET max_replication_slots to more as a superuser and restart the "
                   "server, or drop a slot that nobody needs");
  const bool streams = slot_exists && validation.slot->active;
  if (!streams && facts.wal_senders_used >= facts.wal_senders_max)
    findings.error(
        where, fmt::format("all {} WAL senders of the source are in use", facts.wal_senders_max),
        "ALTER SYSTEM SET max_wal_senders to more as a superuser and restart the server");
  if (facts.slot_wal_keep_mb >= 0)
    findings.warn(where,
                  fmt::format("max_slot_wal_keep_size of the source is {} MB: a stream that falls "
                              "further behind loses its slot, and the migration begins anew",
                              facts.slot_wal_keep_mb),
                  "-1 keeps the log, as long as the disk lasts");
  if (facts.encoding == kNoEncoding)
    findings.error(where, "the source's encoding is SQL_ASCII: nobody knows what its bytes mean",
                   "move it to a database in UTF8 first");
  else if (facts.encoding != "UTF8" && facts.encoding != "LATIN1")
    findings.warn(where,
                  fmt::format("the source's encoding is {}: one character without an equivalent in "
                              "UTF8, in a text of any table, ends the stream of all tables",
                              facts.encoding),
                  "look for such texts with convert(convert_to(column, '" + facts.encoding +
                      "'), '" + facts.encoding + "', 'UTF8') before you begin");
}

}  // namespace

void check_source_server(Validation& validation) {
  ServerCheck check(validation, validation.source);
  check.version();
  if (validation.source.facts.in_recovery)
    validation.findings.error(validation.source.where,
                              "the source is a standby: its snapshots call running transactions "
                              "visible",
                              "connect to the primary");
  check_limits(validation);
  check_synchronous(validation);
  check.surplus();
  const bool streams = validation.manifest.source.stream.value == StreamKind::Direct;
  check.connections(kOtherSourceConnections + validation.manifest.backfill.workers,
                    streams ? 1 : 0);
  check.proxy();
}

void check_target_server(Validation& validation) {
  ServerCheck check(validation, validation.target);
  const ServerFacts& facts = validation.target.facts;
  const Where where = validation.target.where;
  Findings& findings = validation.findings;
  check.version();
  if (facts.in_recovery)
    findings.error(where, "the target is a standby", "connect to a server that accepts writes");
  const bool asked_source = validation.source.answered;
  const ServerFacts& source = validation.source.facts;
  if (!can_hold_text(source, facts))
    findings.error(where,
                   fmt::format("the target's encoding is {}: it cannot hold every text of the "
                               "source",
                               facts.encoding),
                   "create the target database with ENCODING 'UTF8'");
  if (asked_source && source.system_identifier == facts.system_identifier &&
      source.database == facts.database)
    findings.error(where, "source and target are the same database", "a migration has two of them");
  if (!facts.role.set_replication_role) {
    const std::string role = quote_identifier(facts.role.name);
    findings.error(
        where,
        fmt::format("role {} may not set session_replication_role on the target: foreign keys and "
                    "triggers would act on every row",
                    facts.role.name),
        facts.version >= kParameterGrants
            ? fmt::format("GRANT SET ON PARAMETER session_replication_role TO {}; as a superuser "
                          "of the target",
                          role)
            : fmt::format("ALTER ROLE {} SUPERUSER; as a superuser of the target: before "
                          "PostgreSQL 15 it cannot be granted alone",
                          role));
  }
  check.surplus();
  check.connections(kOtherTargetConnections + validation.manifest.target.lanes.value +
                        validation.manifest.backfill.workers,
                    0);
  check.proxy();
}

void check_opposite(Validation& validation) {
  const auto opposite = find_opposite(validation.source.connection, validation.target.facts);
  if (!opposite) return validation.findings.failed(validation.source.where, opposite.error());
  if (*opposite)
    validation.findings.error(validation.source.where, opposite_text(**opposite), kOppositeHint);
}

// What the target remembers of the migration's beginning (I13, I16).
void check_start(Validation& validation) {
  if (!validation.claim || !validation.claim->start) return;
  const StartFacts& start = *validation.claim->start;
  const Manifest& manifest = validation.manifest;
  Findings& findings = validation.findings;
  const ServerFacts& source = validation.source.facts;
  if (validation.source.answered && !source.in_recovery) {
    const auto same = same_identity({start.source_system, start.source_timeline},
                                    {source.system_identifier, source.timeline});
    if (!same) findings.error(validation.source.where, same.error().message);
  }
  if (start.target_system != validation.target.facts.system_identifier)
    findings.error(validation.target.where,
                   fmt::format("the target is another server (system {}) than the one this "
                               "migration began with ({})",
                               validation.target.facts.system_identifier, start.target_system),
                   "connect to that one, or begin the migration anew");
  const bool known = manifest.source.debezium || manifest.source.stream.value == StreamKind::Direct;
  if (known &&
      (start.stream_kind != stream_kind(manifest) || start.stream_name != stream_name(manifest)))
    findings.error(manifest.source.debezium ? manifest.source.debezium->topic_prefix.where
                                            : manifest.source.slot.where,
                   fmt::format("this migration began with stream {} '{}'", start.stream_kind,
                               start.stream_name),
                   "put it back: the stream of a migration cannot change");
  if (start.lanes != manifest.target.lanes.value)
    findings.warn(manifest.target.lanes.where,
                  fmt::format("the migration began with {} lanes: their number can change only "
                              "after a drain",
                              start.lanes),
                  "stop it with SIGTERM before it starts with another number");
}

}  // namespace lockstep
