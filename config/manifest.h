// Manifest: one YAML file, one migration.  Its keys are a public contract.
//
// load_manifest checks what the file alone can tell and reports every problem at once; values keep
// their place, so that `validate` can point at them when a server disagrees.
#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "config/fields.h"
#include "config/name_pattern.h"
#include "config/problem.h"
#include "config/secret.h"
#include "connectors/postgres/source/wal_limit.h"
#include "pipeline/tables/table_map.h"

namespace lockstep {

enum class ReferenceKind : std::uint8_t { Literal, File, Credential, Env };

// One keyword of `connect` or property of `kafka`, resolved.
struct Setting {
  std::string name;
  Secret value;
  ReferenceKind reference = ReferenceKind::Literal;
  std::string referred;  // The file's path, or the credential's or variable's name.
  Where where;
  std::string file{};  // What a file or credential is read from; else "".
  // Why the reference leads to nothing, where that was not asked for yet (Secrets::WhenUsed).
  std::string missing{};
};

// How to reach a server.
struct Connect {
  std::vector<Setting> keywords;  // In the manifest's order, sslmode added where it is the default.
  Where where;
  bool sound = false;  // It is there and nothing in it is an error: it can be tried.
  bool known = false;  // The server let an earlier run in: one that refuses us may do so again.

  const Setting* find(std::string_view name) const;
  // For PostgresOptions::keywords.  Never print them.
  std::vector<std::pair<std::string, std::string>> revealed() const;
  // Those whose value comes from a file, as it is now: a password that was rotated counts from the
  // next connection on.  Retry where the file cannot be read.
  Result<std::vector<std::pair<std::string, std::string>>> read_anew() const;
  // "db1:5432/shop" for people.
  std::string display() const;
  // Whether every host is a socket directory or a loopback address.
  bool is_local() const;
  // Whether the bytes may travel unencrypted to another machine.
  bool is_plain_text() const;
};

struct DebeziumSection {
  Where where;
  At<std::string> topic_prefix;
  std::vector<Setting> kafka;
  bool kafka_sound = false;  // It is there and nothing in it is an error.
  std::optional<At<std::string>> connect_url;
  At<std::string> connector;                        // With connect_url.
  bool restart_failed = false;                      // Through connect_url.
  bool reread_snapshot_events = false;              // I16.
  bool connect_in_utc = true;                       // The time zone of Connect's JVM is UTC.
  std::map<std::string, At<std::string>> settings;  // Accepted overrides of connector-config.
};

struct SourceSection {
  Where where;
  Connect connect;
  At<StreamKind> stream;
  At<std::string> slot;
  At<std::string> publication;
  WalLimit wal_limit;                       // Of a direct stream.
  std::optional<DebeziumSection> debezium;  // Set exactly with StreamKind::Debezium.
};

struct TargetSection {
  Where where;
  Connect connect;
  At<std::uint64_t> lanes;
  At<std::string> schema;
};

// Which snapshots tables are copied under.
enum class SnapshotMode : std::uint8_t {
  Merge,     // Many short ones, beside the stream.
  Exported,  // That of a new slot; the stream is held back meanwhile.
};

struct BackfillSection {
  std::uint64_t workers = 2;
  std::uint64_t chunk_rows = 50'000;
  std::uint64_t rate_limit_rows_per_second = 0;  // 0: no limit.
  std::uint64_t rate_limit_bytes_per_second = 0;
  std::vector<At<NamePattern>> order;  // Tables to copy first.
  At<SnapshotMode> snapshot;
};

enum class ReconcileMode : std::uint8_t {
  Continuous,  // Each range again and again.
  Once,        // Each range once by itself.
  Off,         // Only when somebody asks for it.
};
// What becomes of a finding.
enum class RepairPolicy : std::uint8_t { Off, Confirm, Auto };

struct ReconcileSection {
  At<ReconcileMode> mode;
  std::uint64_t rows_per_second = 0;   // 0: no limit but a share of the time.
  std::uint64_t bytes_per_second = 0;  // Likewise, of both sides.
  std::chrono::seconds every{86'400};  // Between two comparisons of a range.
  At<RepairPolicy> repair;
  std::uint64_t repairs_per_minute = 6000;  // 0: no limit.
  std::uint64_t range_rows = 100'000;       // Compared under one pair of snapshots, about.
  bool digests = true;                      // By the servers, where both do it alike.
  std::uint64_t sample = 10;                // Changed keys compared per second; 0: none.
};

// A statement of the operator's own that says how much a server bears: one row with one number.
struct ThrottleQuery {
  bool on_source = false;
  std::string sql;
  std::uint64_t at_most = 0;
};

// What the copy and the comparison yield to; 0: it is not looked at.
struct ThrottleSection {
  std::uint64_t lag_seconds = 5;
  std::uint64_t replica_lag_seconds = 0;
  std::uint64_t active_sessions = 0;  // Of the target.
  std::uint64_t transaction_ms = 0;
  std::uint64_t retained_wal_mb = 0;
  std::optional<ThrottleQuery> query;
};

// More rows than this within ten minutes hold every write to the target; 0: no limit.
struct BreakersSection {
  std::uint64_t quarantined_rows = 0;
  std::uint64_t unequal_rows = 0;   // Found by the comparison.
  std::uint64_t refused_tries = 0;  // Of one part of the run, by a server that answers.
};

// Where /metrics, /livez and /readyz are shown over TCP, without a password.
struct ListenSection {
  Where where;
  std::string address = "127.0.0.1";
  std::uint16_t port = 0;          // 0: nowhere.
  std::vector<std::string> hosts;  // Names that it may be asked by, besides addresses.
  bool page = false;               // The web page, too, with the status that it shows.
};

// A pair of statements whose one rows are to be equal.
struct ManifestAggregate {
  Where where;
  At<std::string> name;
  At<std::string> source;  // SQL, without the semicolon that may end it.
  At<std::string> target;
  std::string tolerance;  // Of each column that is a number; "": none.
  std::chrono::seconds every{3600};
};

enum class KeylessPolicy : std::uint8_t { Refuse, Exact };
enum class ExistingPolicy : std::uint8_t { Refuse, Upsert, Heal };

// One entry of `tables`.
struct ManifestRule {
  Where where;
  At<NamePattern> source;
  bool skip = false;
  std::optional<At<NamePattern>> target;  // Its table part may be `*`: the source's name.
  TableRule table;
  std::map<std::pair<RulePart, std::string>, Where> places;  // Of each name in `table`.

  // The place of what a problem of plan_table is about.
  Where place_of(const MapProblem& problem) const;
};

struct Manifest {
  std::string path;  // As given, for messages.
  At<std::string> migration;
  At<std::filesystem::path> state_dir;  // Absolute.
  SourceSection source;
  TargetSection target;
  BackfillSection backfill;
  ReconcileSection reconcile;
  ThrottleSection throttle;
  BreakersSection breakers;
  ListenSection listen;
  At<KeylessPolicy> keyless;
  At<ExistingPolicy> existing;
  std::uint64_t debt_attempts = 5;
  std::vector<ManifestAggregate> aggregates;
  std::vector<ManifestRule> rules;
  Where tables;

  Problem problem(Where where, Severity severity, std::string text, std::string hint = {}) const {
    return {path, where, severity, std::move(text), std::move(hint)};
  }
};

struct Parsed {
  std::optional<Manifest> manifest;  // Set exactly when no problem is an error.
  // Otherwise what could be read nevertheless: for `validate`, which asks the servers all the same.
  std::optional<Manifest> draft;
  std::vector<Problem> problems;  // Sorted by place.
};

// Whether a reference that leads to nothing is a problem of the manifest, or one of whoever
// connects with it: what only asks a running daemon needs no secret, and its user may have none.
enum class Secrets : std::uint8_t { Needed, WhenUsed };

// Reads a manifest, resolves its references.
Parsed load_manifest(const std::string& path, Secrets secrets = Secrets::Needed);
// The same of a text that is to be written to `path`.
Parsed parse_manifest(const std::string& path, const std::string& text);

// What is valid by contract and not in this version yet.
std::vector<Problem> check_supported(const Manifest& manifest);

// $RUNTIME_DIRECTORY/<migration>.sock, else <state_dir>/control.sock.
std::filesystem::path control_socket_path(const std::string& migration,
                                          const std::filesystem::path& state_dir);
inline constexpr std::size_t kSocketPathMax = 107;

}  // namespace lockstep
