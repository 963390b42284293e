// Bookkeeping: the target's own record of a migration, over the control-plane connection.
//
// A run begins here: create() the tables, claim() the migration (which shuts out every older
// process), and read where things stand.  After that lanes and scanners write most rows themselves,
// in the transactions those rows describe (target/target); status and `quarantine` read and edit
// them here.  The tables and their columns: target/bookkeeping_schema.cc.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "connectors/postgres/target/sql.h"
#include "connectors/postgres/wire/connection.h"
#include "connectors/postgres/wire/facts.h"
#include "pipeline/ports/ledger.h"
#include "pipeline/ports/target.h"

namespace lockstep {

struct BookkeepingOptions {
  PostgresOptions connection;
  BookkeepingName name;
  // How long claim() lets the transactions of an older process end by themselves, and then, after
  // their server processes were told to end, how long it waits for the lock.
  std::chrono::milliseconds patience{5000};
  std::chrono::milliseconds claim_max{30000};
  std::uint64_t epoch = 0;  // Of a claim that was made elsewhere; 0: claim() makes one.
  std::optional<SourceIdentity> server{};  // As in TargetSessionOptions.
};

// Halt: a server that came back lacks commits that it has answered, `what` (I13).
std::unexpected<Error> target_lost(std::string_view what);

// What was true when the migration began; a different answer later halts or refuses (I16, I13).
struct StartFacts {
  std::string source_system;
  std::uint32_t source_timeline = 0;
  std::string target_system;
  std::uint32_t target_timeline = 0;
  std::string stream_kind;  // "direct", "debezium".
  std::string stream_name;  // Slot, or topic prefix.
  Xid start_xid = 0;        // Assigned at P0: snapshots need xmin above it (P1).
  std::uint32_t lanes = 0;
  friend bool operator==(const StartFacts&, const StartFacts&) = default;
};

struct StoredMapping {
  TableName source;
  std::string fingerprint;
  std::string state = "active";  // active, copied, stopped.
  std::string reason;
  Position horizon;
  std::string files;      // As files_text() writes them: what all chunks were read from (I15).
  bool compared = false;  // Its rows are compared, and none is copied.  To be written only.
};

struct StoredProgress {
  ProgressRow row;
  std::uint64_t epoch = 0;  // Of the transaction that wrote it, with its number:
  std::uint64_t batch = 0;  // what LaneIntent is compared with.
};

struct StoredChunk {
  TableName source;
  ChunkMark mark;  // Its table id is 0.
};

struct StoredDebts {
  TableName source;
  std::uint64_t open = 0;
  std::uint64_t quarantined = 0;
  std::uint64_t dropped = 0;          // Differences that an operator has accepted.
  std::int64_t oldest_commit_us = 0;  // Of the open ones; 0 when none.
  std::uint64_t all() const { return open + quarantined + dropped; }
};

// Everything that is known when a run begins.
struct Claim {
  std::uint64_t epoch = 0;
  std::optional<StartFacts> start;  // Nothing: the migration has not begun.
  std::vector<StoredMapping> mappings;
  std::vector<StoredProgress> progress;
  std::vector<StoredChunk> chunks;
  std::vector<StoredDebts> debts;  // For TableCounts: add(all()).
};

// One row that is owed or set aside, for `quarantine` and `explain-row`.
struct QuarantinedRow {
  std::string id;  // Hex of the key's hash.
  TableName source;
  std::string key;  // Key cells; shown only on request.
  Xid xid = 0;
  std::int64_t commit_us = 0;
  std::string reason;
  std::string state;  // quarantined, dropped; of find_debt() also open.
  std::uint32_t attempts = 0;
  std::string detail;
  std::string holder;  // The key of the row in its way; shown only on request.
};

// Rows that are set aside and have a reason in common.
struct QuarantineGroup {
  TableName source;
  std::string state;
  std::string reason;
  std::string detail;
  std::uint64_t rows = 0;
  std::string first_id;  // The least.
};

// What is set aside, as far as it is listed.
struct Quarantined {
  std::vector<QuarantinedRow> rows;
  std::uint64_t total = 0;              // Of all rows, listed or not.
  std::vector<QuarantineGroup> groups;  // Likewise; the largest kGroupsMax.
  static constexpr std::size_t kGroupsMax = 1000;
};

// One thread.
class Bookkeeping {
 public:
  explicit Bookkeeping(BookkeepingOptions options);

  // Creates schema and tables where they are missing.  Halt when we may not, or when a newer
  // lockstep made them.
  Status create();

  // Takes the migration over: waits for the running transactions of older processes, ends those
  // that do not end, raises the epoch and reads everything.  From its return on no older process
  // can write.  REQUIRES: create() succeeded.  Waits at most patience + claim_max.
  Result<Claim> claim();

  // Reads the same without taking over: for status.  REQUIRES: the tables exist.
  Result<Claim> read();
  // Whether the migration has ever been claimed on this target; false also without any tables.
  Result<bool> exists();

  // Records the start, its tables and first positions in one transaction.  Safe twice.
  // Halt when another start is recorded.  REQUIRES: claim().
  Status save_start(const StartFacts& facts, std::span<const StoredMapping> mappings,
                    std::span<const ProgressRow> progress);
  // The same in place of what is known of an earlier start, which is forgotten but for its epoch.
  Status replace_start(const StartFacts& facts, std::span<const StoredMapping> mappings,
                       std::span<const ProgressRow> progress);
  // Adds tables, and rows of progress, that a later run brought in; leaves existing ones as they
  // are.
  // In place of what is known of `forgotten`, each with its own progress, as forget_table() has it:
  // either both are known or what was before.
  Status add_mappings(std::span<const StoredMapping> mappings,
                      std::span<const ProgressRow> progress,
                      std::span<const std::pair<TableName, std::string>> forgotten = {});
  Status set_table_state(const TableName& source, const std::string& state,
                         const std::string& reason);
  // Accepts a changed mapping of a table.
  Status set_fingerprint(const TableName& source, const std::string& fingerprint);

  Status set_files(const TableName& source, const std::string& files);

  // Forgets a table's chunks, so that it is copied again.
  Status forget_chunks(const TableName& source);

  // Forgets a table, and its own progress on a shared stream: its changes were not read meanwhile.
  // A row of the fingerprint `mark` says in the same transaction that it was here.
  Status forget_table(const TableName& source, const std::string& own_stream,
                      const std::string& mark);

  // Changes the number of lanes; of each stream all go on where the one stands that is the furthest
  // behind (I13).  REQUIRES: claim(), save_start().
  Status change_lanes(std::uint32_t lanes);

  // Puts every lane's position of `own`, a table's part of the stream `whole` or the whole of it,
  // to the least of all: then it does not matter which lane a key of the table takes.
  Status level_lanes(const std::string& whole, const std::string& own);

  Result<std::vector<StoredDebts>> count_debts();

  // Ledger::still_has(): by where the server's log ends, each time, and by the progress once per
  // connection, since no server loses anything while one lasts.
  Status still_has(const std::function<std::vector<ProgressRow>()>& committed);

  // Ledger::lock_holders().
  Result<std::vector<std::string>> lock_holders();

  // Those of `tables` whose target, or a mapped column of it, is another one of the same name now,
  // or none.
  Result<std::vector<TableId>> replaced_targets(std::span<const TableMap* const> tables);

  // Of the target's tables those whose definition was changed since the last call; at first all.
  Result<std::vector<TableSpec>> altered_targets(std::span<const TableMap* const> tables);

  // Lists `most` rows; with `ids` those that have one of them, and neither counts nor groups.
  Result<Quarantined> quarantined(std::span<const std::string> ids, std::size_t most);
  // The debt of one key, whatever its state; nothing where it has none.
  Result<std::optional<QuarantinedRow>> find_debt(const TableName& source, const Hash128& key);
  // Opens the rows of a table again that were quarantined since the target refused them.
  Status retry_refused(const TableName& source);
  // Opens quarantined or dropped rows again, or accepts their difference.  No ids: all.
  // Returns how many rows that were.
  Result<std::uint64_t> retry_quarantined(std::span<const std::string> ids);
  Result<std::uint64_t> drop_quarantined(std::span<const std::string> ids);

  // Removes every row of the migration.  Other migrations' rows stay, and the tables and their
  // schema as long as there are some.
  Status forget_migration();

 private:
  Result<std::vector<std::string>> missing_tables();
  Status lock_exclusively();
  Status end_old_sessions();
  Status add_index();
  Result<std::uint64_t> raise_epoch();
  Status check_format();
  // Begins a transaction: shared lock, and the fence once claimed.
  Status begin();
  // Runs `body` between begin() and COMMIT; rolls back when it fails.
  Status transact(const std::function<Status()>& body);
  Status read_start(Claim& claim);
  Status read_mappings(Claim& claim);
  Status read_progress(Claim& claim);
  Status read_chunks(Claim& claim);
  Status read_all(Claim& claim);
  Status delete_table(const TableName& source, const std::string& own_stream);
  Status insert_start(const StartFacts& facts);
  Status insert_mappings(std::span<const StoredMapping> mappings);
  Status insert_progress(std::span<const ProgressRow> progress);
  Result<std::vector<QuarantinedRow>> read_debts(const std::string& condition, std::size_t most,
                                                 const std::vector<PgParam>& params = {});
  Result<std::vector<QuarantineGroup>> quarantine_groups();
  Result<std::uint64_t> set_debt_state(const std::string& to, std::span<const std::string> ids);
  Result<PgResult> run(const std::string& sql, const std::vector<PgParam>& params = {});
  std::string table(const std::string& name) const {
    return bookkeeping_table(options_.name, name);
  }

  const BookkeepingOptions options_;
  PostgresConnection connection_;
  std::uint64_t epoch_;                // 0: not claimed.
  std::uint64_t sessions_ = 0;         // Connections so far.
  std::uint64_t checked_session_ = 0;  // The last one that still_has() has compared progress in.
  Lsn flushed_ = 0;                    // How far still_has() saw the server's log on its disk.
  // By the target's oid, as definition_versions_sql() said when altered_targets() looked last.
  std::map<std::uint32_t, std::uint64_t> versions_;
};

// The Ledger port over a connection of its own.  Supervisor thread only.
class PostgresLedger final : public Ledger {
 public:
  // Borrows `tables` (by TableId).
  PostgresLedger(BookkeepingOptions options, const std::vector<const TableMap*>& tables)
      : bookkeeping_(std::move(options)), tables_(tables) {}
  Result<std::vector<DebtCount>> count_debts() override;
  Status still_has(const std::function<std::vector<ProgressRow>()>& committed) override {
    return bookkeeping_.still_has(committed);
  }
  Status save_files(TableId table, const std::string& files) override {
    return bookkeeping_.set_files(tables_[table]->source.name, files);
  }
  Status save_stop(TableId table, const std::string& reason) override {
    return bookkeeping_.set_table_state(tables_[table]->source.name, "stopped", reason);
  }
  Status forget_chunks(TableId table) override {
    return bookkeeping_.forget_chunks(tables_[table]->source.name);
  }
  Result<std::vector<TableId>> replaced_targets() override {
    return bookkeeping_.replaced_targets(tables_);
  }
  Result<std::vector<TargetChange>> target_changes() override;
  Result<std::vector<std::string>> lock_holders() override { return bookkeeping_.lock_holders(); }

 private:
  void compare(const TableMap& table, const TableSpec& now, std::vector<TargetChange>& changes);

  Bookkeeping bookkeeping_;
  const std::vector<const TableMap*>& tables_;
  std::map<TableId, std::set<std::string>> said_;      // What target_changes() said of each.
  std::map<TableId, std::set<TableName>> partitions_;  // Of the target, as it saw them.
  std::set<TableId> retry_;  // Got a partition: what was refused may find its place now.
};

}  // namespace lockstep
