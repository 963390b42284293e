// PostgresReader: reads the source's tables, range by range or key by key, under one snapshot.
//
//   planner --bound_after()--> PostgresReader <--begin(), start_range(), read()-- scanner
//                                   |
//                          source (COPY ... TO STDOUT, binary)
//
// A tuple of binary COPY is a 16-bit count and the cells of row.h, so rows pass through without a
// look at their values.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "connectors/postgres/source/digest_sql.h"
#include "connectors/postgres/source/exported_snapshot.h"
#include "connectors/postgres/source/scan_sql.h"
#include "connectors/postgres/wire/connection.h"
#include "connectors/postgres/wire/facts.h"
#include "pipeline/ports/digests.h"

namespace lockstep {

// The page geometry of a server's log.
struct LogGeometry {
  Lsn page_bytes = 8192;
  Lsn segment_bytes = 16 << 20;
};

// Returns the LSN that the flush position reaches once everything before `insert` is flushed.  An
// insert position at the start of a page lies behind that page's header already, while the flush
// position stays at the page boundary until the next record: compared as they are, an idle server
// would look unflushed for ever (seen after every pg_switch_wal()).
Lsn flush_goal(Lsn insert, const LogGeometry& log);

// Not thread-safe.  Needs LOGIN and SELECT on the tables, nothing else.
//
// Invariant: while a transaction is open the connection is never replaced, so that all rows of a
// chunk come from one snapshot; a lost connection answers Retry until end().
class PostgresReader : public DigestReader {
 public:
  struct Options {
    PostgresOptions connection;
    std::optional<SourceIdentity> identity;  // Pinned (P3): another server or timeline is a Halt.
    std::shared_ptr<ExportedSnapshot> exported;  // Read under it while it is held; may be null.
    bool streamed = true;  // Every row read must have its changes in the stream; not the target's.
  };

  explicit PostgresReader(Options options);

  // May also be called without begin(): it then sees what is committed now.
  // REQUIRES: no read is under way.
  Result<std::optional<std::string>> bound_after(const TableMap& table, const KeyRange& range,
                                                 std::uint64_t rows) override;
  Result<OpenSnapshot> begin() override;
  // On an otherwise idle server with an open writing transaction this may stay false until the
  // server's next running-xacts record (15 s); SourceProbe::emit_marker() ends that at once.
  Result<bool> flushed(Lsn lsn) override;
  // Waits at most 10 s for a lock on the table (then Retry).
  Status start_range(const TableMap& table, const KeyRange& range) override;
  // A key given twice is read twice.
  Status start_keys(const TableMap& table, std::span<const std::string> keys) override;
  // Holds one row beyond `max_bytes` at most.
  Result<bool> read(RowBatch& out, std::size_t max_bytes) override;
  // Error::code says what changed: "columns", "partitions" or "dropped".  Retry with code
  // "filenode" when the table was rewritten or truncated since its last good read: this read is
  // void.
  Status check_shape(const TableMap& table) override;
  // A digest, or bounds, that the server still works at are cancelled.
  void end() override;

  // reader_digest.cc.  Needs PostgreSQL 14.
  Result<std::string> digest_probe() override;
  Status start_bounds(const TableMap& table, const KeyRange& range, std::uint64_t every,
                      std::size_t most) override;
  Result<std::optional<std::vector<std::string>>> read_bounds(
      std::chrono::milliseconds wait) override;
  Status start_digest(const TableMap& table, const KeyRange& range,
                      const DigestForm& form) override;
  Result<std::optional<std::vector<PartDigest>>> read_digest(
      std::chrono::milliseconds wait) override;
  Status start_parts(const TableMap& table, const KeyRange& range, const DigestForm& form,
                     std::span<const std::size_t> parts) override;

  // Of single rows, for people.  REQUIRES: no read is under way.
  //
  // The key whose columns have these texts, as cells.  Halt, exit Usage: one of them is no value of
  // its column.
  Result<std::string> parse_key(const TableMap& table, std::span<const std::string> texts);
  // Nothing where there is no such row.
  Result<std::optional<RowWriter>> writer_of(const TableMap& table, const std::string& key);
  // In the order of ranges.
  Result<bool> is_before(const TableMap& table, const std::string& key, const std::string& other);

 protected:
  PostgresConnection& connection() { return connection_; }

 private:
  Result<std::string> parse_value(const TableMap& table, std::size_t i, const std::string& text);
  Result<PgResult> ask_of_keys(const TableMap& table, const std::string& sql,
                               std::span<const std::string> keys);
  enum class Reading { Nothing, Range, Keys, Digest, Bounds };
  enum class Answer { Text, Binary, RowByRow };  // The last is binary, too.

  static void append_row(std::string& out, const PgResult& result, int row);
  Status ready();
  Result<OpenSnapshot> begin_transaction(const std::string& import);
  Status connect();
  Status know_server();
  Status is_known();
  Status prepare_session(const TableMap& table);
  Result<std::string> operator_path(const TableMap& table);
  Result<KeyLiterals> literals(const TableMap& table, const std::optional<std::string>& key);
  Result<LiteralRange> literal_range(const TableMap& table, const KeyRange& range);
  Result<LiteralRange> plan_range(const TableMap& table, const KeyRange& range);
  Status send_with_keys(const TableMap& table, const std::string& sql,
                        std::span<const std::string> keys, Answer answer);
  Status read_with_keys(const TableMap& table, const std::string& sql,
                        std::span<const std::string> keys);
  Status set_seqscan(bool on);
  Result<LiteralRange> begin_range(const TableMap& table, const KeyRange& range);
  Status copy_range(const TableMap& table, const LiteralRange& range);
  Result<std::vector<HashedColumn>> hashed_columns(const TableMap& table);
  bool answer_is_there(std::chrono::milliseconds wait);
  Result<std::optional<PgResult>> read_answer(std::chrono::milliseconds wait,
                                              std::string_view doing);
  Result<bool> read_range(RowBatch& out, std::size_t max_bytes);
  Result<bool> read_keys(RowBatch& out, std::size_t max_bytes);
  void give_up_answer();
  void discard_rest();
  Status check_columns(const TableMap& table);
  Result<std::string> filenodes(const TableMap& table);

  const std::optional<SourceIdentity> identity_;
  const std::shared_ptr<ExportedSnapshot> exported_;
  const bool streamed_;
  PostgresConnection connection_;
  LogGeometry log_;
  std::map<TableId, std::string> operator_paths_;
  std::string filenodes_;  // Of the table being read, from before its first row.
  std::string path_;       // The session's search_path.
  bool seqscan_ = false;   // The transaction's enable_seqscan.
  bool open_ = false;      // Between begin() and end().
  Reading reading_ = Reading::Nothing;
  bool header_read_ = false;   // Of the COPY.
  std::size_t columns_ = 0;    // Of the rows being read.
  std::size_t parts_ = 0;      // Of the digest being read.
  std::string reading_table_;  // For messages.
};

}  // namespace lockstep
