#include "connectors/postgres/source/reader.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <utility>

#include "connectors/postgres/wire/catalog.h"
#include "connectors/postgres/wire/spec.h"
#include "pipeline/model/row.h"

namespace lockstep {
namespace {

// Plans are pinned.  A range of a composite key looks to the planner like what its first column
// alone would select, so it must not choose: a wrong sequential scan per chunk reads the table as
// often as it has chunks.  One worker per scan; the runner decides how many scans there are.
constexpr const char* kPlans =
    "SET enable_seqscan = off; SET enable_sort = off; SET enable_hashjoin = off;"
    "SET enable_mergejoin = off; SET jit = off; SET max_parallel_workers_per_gather = 0;"
    "SET lock_timeout = '10s'";

// Where the comparison operators of a type's default order live.
constexpr const char* kOperatorSchemas = R"(
SELECT string_agg(DISTINCT quote_ident(n.nspname), ', ')
FROM pg_opclass c JOIN pg_am m ON m.oid = c.opcmethod AND m.amname = 'btree'
JOIN pg_amop a ON a.amopfamily = c.opcfamily AND a.amoplefttype = c.opcintype
JOIN pg_operator o ON o.oid = a.amopopr JOIN pg_namespace n ON n.oid = o.oprnamespace
WHERE c.opcdefault AND c.opcintype = ANY($1::oid[]) AND n.nspname <> 'pg_catalog')";

// Functions, not catalog tables: SQL on catalogs sees the transaction's snapshot, these functions
// see what is there now.
// What the log does not have comes second: that may change only together with the file.
constexpr const char* kFilenode = R"(
SELECT pg_relation_filenode($1::oid),
       (SELECT relname FROM pg_class WHERE oid = $1::oid AND relpersistence = 'u'))";
constexpr const char* kLeafFilenodes = R"(
SELECT string_agg(relid::oid || ' ' || pg_relation_filenode(relid), ',' ORDER BY relid::oid),
       string_agg(c.relname, ', ' ORDER BY c.relname)
         FILTER (WHERE c.relpersistence = 'u' OR c.relkind = 'f')
FROM pg_partition_tree($1::oid) LEFT JOIN pg_class c ON c.oid = relid WHERE isleaf)";

// Through the root, since a role may read a root and none of its partitions.  The first condition
// says which rows; with the second, where PostgreSQL can tell others apart by it, they are not
// read. A partition that has gone has neither bounds nor rows.
constexpr const char* kOfPartition = R"(
SELECT format('t.tableoid = %s AND (%s)', $1::oid,
              coalesce(pg_get_partition_constraintdef($1::oid), 'true')))";

// The format of a parameter, or of a result.
constexpr int kText = 0;
constexpr int kBinary = 1;

// The fixed start of binary COPY: signature, flags, length of an extension.
constexpr std::size_t kCopyHeaderBytes = 19;
constexpr std::size_t kCopyExtensionAt = 15;
constexpr std::uint16_t kCopyTrailer = 0xFFFF;

constexpr Lsn kPageHeaderBytes = 24;     // SizeOfXLogShortPHD
constexpr Lsn kSegmentHeaderBytes = 40;  // SizeOfXLogLongPHD

std::unexpected<Error> changed(const TableMap& table, const std::string& what, const char* code) {
  return fail(
      Error{Reaction::StopTable,
            fmt::format("source table {} changed while it was read: {}", table.text(), what),
            ExitCode::BadData, code});
}

// A value that its type refuses was never stored of this table, or its type had it then, as a label
// that was renamed.
Error bound_error(Error error) {
  if (error.reaction == Reaction::Reject) error.code = kBrokenBound;
  return for_table(std::move(error));
}

}  // namespace

Lsn flush_goal(Lsn insert, const LogGeometry& log) {
  const Lsn in_page = insert % log.page_bytes;
  const bool first_page = insert % log.segment_bytes < log.page_bytes;
  return in_page == (first_page ? kSegmentHeaderBytes : kPageHeaderBytes) ? insert - in_page
                                                                          : insert;
}

PostgresReader::PostgresReader(Options options)
    : identity_(std::move(options.identity)),
      exported_(std::move(options.exported)),
      streamed_(options.streamed),
      connection_(with_setup(std::move(options.connection), kPlans)) {}

// Connects, unless a transaction is open: its snapshot died with its connection.
Status PostgresReader::ready() {
  if (connection_.is_open()) return {};
  if (open_) return fail(Reaction::Retry, "source: the connection was lost in mid-transaction");
  return connect();
}

Status PostgresReader::connect() {
  LOCKSTEP_TRY(connection_.open());
  path_.clear();
  auto known = know_server();
  if (!known.has_value()) connection_.close();
  return known;
}

Status PostgresReader::is_known() {
  if (identity_)
    return streamed_ ? same_source(connection_, *identity_) : same_history(connection_, *identity_);
  LOCKSTEP_TRY(read_identity(connection_));
  return {};
}

// On each connect, not on each chunk: a server changes its timeline only by a restart.
Status PostgresReader::know_server() {
  LOCKSTEP_TRY(is_known());
  LOCKSTEP_ASSIGN(const PgResult sizes,
                  connection_.ask("SELECT current_setting('wal_block_size'),"
                                  " pg_size_bytes(current_setting('wal_segment_size'))"));
  log_ = {.page_bytes = number_field<Lsn>(sizes, 0, 0),
          .segment_bytes = number_field<Lsn>(sizes, 0, 1)};
  return {};
}

Result<std::string> PostgresReader::operator_path(const TableMap& table) {
  const std::vector<std::uint32_t> types = foreign_operator_types(table);
  if (types.empty()) return std::string();
  if (const auto known = operator_paths_.find(table.id); known != operator_paths_.end())
    return known->second;
  const std::string oids = oid_array(types);
  LOCKSTEP_ASSIGN(const PgResult row, connection_.ask(kOperatorSchemas, {{.value = oids}}));
  // pg_catalog first, so that no operator of a user's schema shadows a built-in one.
  std::string path = "pg_catalog";
  if (!is_null(row, 0, 0)) path += ", " + text_field(row, 0, 0);
  operator_paths_[table.id] = path;
  return path;
}

// Sets what the comparisons of this table's key need.
Status PostgresReader::prepare_session(const TableMap& table) {
  LOCKSTEP_ASSIGN(std::string path, operator_path(table));
  if (path != path_) {
    LOCKSTEP_TRY(connection_.run("SET search_path = " + (path.empty() ? "''" : path)));
    path_ = std::move(path);
  }
  return {};
}

Result<KeyLiterals> PostgresReader::literals(const TableMap& table,
                                             const std::optional<std::string>& key) {
  if (!key.has_value()) return KeyLiterals();
  if (!well_formed_cells(*key, table.key.size()))
    return fail(Error{Reaction::Halt,
                      table.text() + ": a stored key bound does not fit the table's key",
                      ExitCode::BadData, kBrokenBound});
  std::vector<PgParam> params;
  params.reserve(table.key.size());
  CellReader cells(*key);
  for (std::size_t i = 0; i < table.key.size(); ++i)
    params.push_back(
        {.value = cells.next().bytes, .binary = true, .type = key_parameter_type(table, i)});
  // Not ask(): what a message quotes may be the key.
  const auto row = connection_.run(literals_query(params.size()), params);
  if (!row) return fail(bound_error(row.error()));
  KeyLiterals quoted_values;
  for (int i = 0; i < PQnfields(row->get()); ++i) quoted_values.push_back(text_field(*row, 0, i));
  return quoted_values;
}

Result<LiteralRange> PostgresReader::literal_range(const TableMap& table, const KeyRange& range) {
  LiteralRange literal;
  LOCKSTEP_ASSIGN(literal.lower, literals(table, range.lower));
  LOCKSTEP_ASSIGN(literal.upper, literals(table, range.upper));
  if (range.partition == 0) return literal;
  const std::string oid = std::to_string(range.partition);
  LOCKSTEP_ASSIGN(const PgResult row, connection_.ask(kOfPartition, {{.value = oid}}));
  literal.condition = text_field(row, 0, 0);
  return literal;
}

// A result's row as cells.
void PostgresReader::append_row(std::string& out, const PgResult& result, int row) {
  for (int i = 0; i < PQnfields(result.get()); ++i) {
    if (is_null(result, row, i))
      append_null(out);
    else
      append_value(out, field(result, row, i));
  }
}

Result<std::optional<std::string>> PostgresReader::bound_after(const TableMap& table,
                                                               const KeyRange& range,
                                                               std::uint64_t rows) {
  LOCKSTEP_ASSIGN(const LiteralRange literal, plan_range(table, range));
  const auto found = connection_.run(bound_query(table, literal, rows), {}, true);
  if (!found) return fail(for_table(found.error()).during("while planning " + table.text()));
  if (PQntuples(found->get()) == 0) return std::optional<std::string>();
  std::string key;
  append_row(key, *found, 0);
  return std::optional(std::move(key));
}

Result<LiteralRange> PostgresReader::plan_range(const TableMap& table, const KeyRange& range) {
  CHECK(reading_ == Reading::Nothing);
  LOCKSTEP_TRY(ready());
  LOCKSTEP_TRY(prepare_session(table));
  return literal_range(table, range);
}

Result<OpenSnapshot> PostgresReader::begin() {
  CHECK(!open_);
  LOCKSTEP_TRY(ready());
  open_ = true;
  seqscan_ = false;
  if (exported_ != nullptr && exported_->held()) {
    auto imported = begin_transaction("SET TRANSACTION SNAPSHOT " + exported_->literal() + ";");
    // Asked again: the stream may have begun before the snapshot was ours.
    if (imported && exported_->held()) {
      imported->begins_stream = true;
      return imported;
    }
    if (!imported && !connection_.is_open()) return imported;
    // Which code a server refuses with depends on its version.
    if (!imported) exported_->end("its snapshot is lost: " + imported.error().message);
    LOCKSTEP_TRY(connection_.run("ROLLBACK"));
  }
  return begin_transaction("");
}

// One round trip.  The statement's snapshot, which becomes the transaction's unless one is
// imported, is taken before any of its functions runs: the insert position is read after S.
Result<OpenSnapshot> PostgresReader::begin_transaction(const std::string& import) {
  LOCKSTEP_ASSIGN(const PgResult row,
                  connection_.run("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY;" + import +
                                  "SELECT pg_current_snapshot(), pg_current_wal_insert_lsn()"));
  LOCKSTEP_ASSIGN(Snapshot snapshot, parse_snapshot(field(row, 0, 0)));
  LOCKSTEP_ASSIGN(const Lsn insert_lsn, parse_lsn(field(row, 0, 1)));
  return OpenSnapshot{std::move(snapshot), insert_lsn};
}

Result<bool> PostgresReader::flushed(Lsn lsn) {
  LOCKSTEP_TRY(ready());
  LOCKSTEP_ASSIGN(const PgResult row, connection_.ask("SELECT pg_current_wal_flush_lsn()"));
  LOCKSTEP_ASSIGN(const Lsn flush_lsn, parse_lsn(field(row, 0, 0)));
  return flush_lsn >= flush_goal(lsn, log_);
}

// Of the open transaction; asks the server only when it changes.
Status PostgresReader::set_seqscan(bool on) {
  if (std::exchange(seqscan_, on) == on) return {};
  LOCKSTEP_TRY(
      connection_.run(on ? "SET LOCAL enable_seqscan = on" : "SET LOCAL enable_seqscan = off"));
  return {};
}

// What every read of a range begins with.
Result<LiteralRange> PostgresReader::begin_range(const TableMap& table, const KeyRange& range) {
  CHECK(open_ && reading_ == Reading::Nothing);
  LOCKSTEP_TRY(ready());
  LOCKSTEP_TRY(prepare_session(table));
  LOCKSTEP_ASSIGN(filenodes_, filenodes(table));
  LOCKSTEP_ASSIGN(LiteralRange literal, literal_range(table, range));
  // A whole table is read in heap order; everything else by its key index.
  LOCKSTEP_TRY(set_seqscan(literal.lower.empty() && literal.upper.empty()));
  reading_table_ = table.text();
  return literal;
}

Status PostgresReader::copy_range(const TableMap& table, const LiteralRange& range) {
  auto started =
      connection_.run("COPY (" + range_query(table, range) + ") TO STDOUT (FORMAT binary)");
  if (!started.has_value())
    return fail(for_table(std::move(started).error()).during("while reading " + table.text()));
  reading_ = Reading::Range;
  header_read_ = false;
  columns_ = table.columns.size();
  return {};
}

Status PostgresReader::start_range(const TableMap& table, const KeyRange& range) {
  LOCKSTEP_ASSIGN(const LiteralRange literal, begin_range(table, range));
  return copy_range(table, literal);
}

Status PostgresReader::start_keys(const TableMap& table, std::span<const std::string> keys) {
  CHECK(open_ && reading_ == Reading::Nothing);
  CHECK(!keys.empty() && keys.size() * table.key.size() <= kKeyCellsMax);
  LOCKSTEP_TRY(ready());
  LOCKSTEP_TRY(prepare_session(table));
  LOCKSTEP_ASSIGN(filenodes_, filenodes(table));
  LOCKSTEP_TRY(set_seqscan(false));
  return read_with_keys(table, keys_query(table, keys.size()), keys);
}

// Sends a statement whose parameters are the cells of these keys.
Status PostgresReader::send_with_keys(const TableMap& table, const std::string& sql,
                                      std::span<const std::string> keys, Answer answer) {
  std::vector<Oid> types;
  std::vector<const char*> values;
  std::vector<int> lengths;
  for (const std::string& key : keys) {
    if (!well_formed_cells(key, table.key.size()))
      return fail(Reaction::Halt, table.text() + ": a stored key does not fit the table's key");
    CellReader cells(key);
    for (std::size_t i = 0; i < table.key.size(); ++i) {
      const Cell cell = cells.next();
      types.push_back(key_parameter_type(table, i));
      values.push_back(cell.bytes.data());
      lengths.push_back(static_cast<int>(cell.bytes.size()));
    }
  }
  const std::vector<int> formats(values.size(), kBinary);
  reading_table_ = table.text();
  PGconn* const connection = connection_.raw();
  const int sent = PQsendQueryParams(connection, sql.c_str(), static_cast<int>(values.size()),
                                     types.data(), values.data(), lengths.data(), formats.data(),
                                     answer == Answer::Text ? kText : kBinary);
  if (sent == 1 && (answer != Answer::RowByRow || PQsetSingleRowMode(connection) == 1)) return {};
  Error error = connection_.error_of(nullptr);
  connection_.close();
  return fail(std::move(error).during("while reading " + table.text()));
}

// Row by row: a few thousand rows of large values would not fit into memory.
Status PostgresReader::read_with_keys(const TableMap& table, const std::string& sql,
                                      std::span<const std::string> keys) {
  LOCKSTEP_TRY(send_with_keys(table, sql, keys, Answer::RowByRow));
  reading_ = Reading::Keys;
  columns_ = table.columns.size();
  return {};
}

Result<bool> PostgresReader::read(RowBatch& out, std::size_t max_bytes) {
  CHECK(reading_ != Reading::Nothing);
  auto more = reading_ == Reading::Range ? read_range(out, max_bytes) : read_keys(out, max_bytes);
  if (!more.has_value()) {
    reading_ = Reading::Nothing;
    return fail(for_table(std::move(more).error()).during("while reading " + reading_table_));
  }
  if (!*more) reading_ = Reading::Nothing;
  return more;
}

Result<bool> PostgresReader::read_range(RowBatch& out, std::size_t max_bytes) {
  while (out.bytes() < max_bytes) {
    LOCKSTEP_ASSIGN(const std::optional<std::string_view> piece, connection_.next_copy());
    if (!piece.has_value()) return false;
    std::string_view tuple = *piece;
    if (!header_read_) {
      // The server sends the header in front of the first tuple.
      if (tuple.size() < kCopyHeaderBytes) return fail(Reaction::Halt, "COPY without a header");
      tuple.remove_prefix(kCopyHeaderBytes);
      const std::uint32_t extension = read_be32(piece->substr(kCopyExtensionAt));
      tuple.remove_prefix(std::min<std::size_t>(extension, tuple.size()));
      header_read_ = true;
    }
    if (tuple.empty()) continue;
    if (tuple.size() < 2) return fail(Reaction::Halt, "COPY sent half a tuple");
    const std::uint16_t count = read_be16(tuple);
    if (count == kCopyTrailer) continue;
    if (count != columns_) return fail(Reaction::Halt, "COPY sent a tuple of another width");
    out.add(tuple.substr(2));
  }
  return true;
}

Result<bool> PostgresReader::read_keys(RowBatch& out, std::size_t max_bytes) {
  while (out.bytes() < max_bytes) {
    if (!connection_.is_open()) return fail(Reaction::Retry, "source: the connection was lost");
    PGresult* const next = connection_.waits(PQgetResult);
    if (next == nullptr) return false;
    LOCKSTEP_ASSIGN(const PgResult result, connection_.check(next));
    if (PQresultStatus(result.get()) != PGRES_SINGLE_TUPLE) continue;
    append_row(out.buffer(), result, 0);
    out.finish_row();
  }
  return true;
}

Status PostgresReader::check_shape(const TableMap& table) {
  CHECK(open_ && reading_ == Reading::Nothing);
  LOCKSTEP_TRY(ready());
  LOCKSTEP_TRY(check_columns(table));
  LOCKSTEP_ASSIGN(const std::string now, filenodes(table));
  if (now == filenodes_) return {};
  Error error = changed(table,
                        "it was rewritten or truncated, or a partition came or went; "
                        "it is read again",
                        "filenode")
                    .error();
  error.reaction = Reaction::Retry;
  return fail(std::move(error));
}

// A statement is parsed by the catalogs as they are now, whatever the transaction's snapshot, and
// describing it needs no privilege on columns that are not ours to read.
Status PostgresReader::check_columns(const TableMap& table) {
  LOCKSTEP_TRY(connection_.check(connection_.waits(
      [&](PGconn* raw) { return PQprepare(raw, "", shape_query(table).c_str(), 0, nullptr); })));
  LOCKSTEP_ASSIGN(const PgResult shape, connection_.check(connection_.waits([](PGconn* raw) {
    return PQdescribePrepared(raw, "");
  })));
  std::vector<ColumnShape> current;
  for (int i = 0; i < PQnfields(shape.get()); ++i) {
    if (PQftable(shape.get(), i) != table.source.oid)
      return changed(table, "it was dropped and created again", "dropped");
    current.push_back({.name = PQfname(shape.get(), i),
                       .attnum = static_cast<std::int16_t>(PQftablecol(shape.get(), i)),
                       .base_oid = PQftype(shape.get(), i),
                       .typmod = PQfmod(shape.get(), i)});
  }
  const std::optional<std::string> drift = column_drift(table.source, current);
  if (drift.has_value()) return changed(table, *drift, "columns");
  return {};
}

// The files a read takes its rows from, as one text.
Result<std::string> PostgresReader::filenodes(const TableMap& table) {
  const bool root = table.source.kind == RelationKind::PartitionedRoot;
  const std::string oid = std::to_string(table.source.oid);
  // The server locks each of the leaves for it: of thousands those that are not read are let go.
  if (root) LOCKSTEP_TRY(connection_.run("SAVEPOINT files"));
  LOCKSTEP_ASSIGN(const PgResult row,
                  connection_.run(root ? kLeafFilenodes : kFilenode, {{.value = oid}}));
  if (root) LOCKSTEP_TRY(connection_.run("ROLLBACK TO SAVEPOINT files; RELEASE SAVEPOINT files"));
  if (streamed_ && !is_null(row, 0, 1))
    return fail(Reaction::StopTable,
                fmt::format("source table {} has rows whose changes are in no stream, in {}: make "
                            "it LOGGED, or detach it if it is foreign; then empty {} on the target "
                            "and start again: it is copied anew",
                            table.text(), field(row, 0, 1), table.target.name.text()));
  return text_field(row, 0, 0);
}

// Ends a statement that answers only when it is done.
void PostgresReader::give_up_answer() {
  constexpr std::chrono::milliseconds kNearlyDone{200};
  constexpr std::chrono::seconds kCancelled{2};
  const auto is_over = [&](std::chrono::milliseconds wait) {
    const auto answer = read_answer(wait, "ending");
    return !answer || *answer;
  };
  // A cancelled statement is an error in the server's log.  A session that is merely closed works
  // on until it has something to send.
  if (!is_over(kNearlyDone)) {
    connection_.cancel();
    if (!is_over(kCancelled)) connection_.close();
  }
  reading_ = Reading::Nothing;
}

// Reads on and forgets what comes.  A server whose client goes away in mid-answer writes
// "connection to client lost" into its log as FATAL, which its operators take for a fault of
// theirs: that is for reads whose rest takes longer than a new connection is worth.
void PostgresReader::discard_rest() {
  constexpr std::size_t kPieceBytes = 1 << 20;
  constexpr std::chrono::seconds kDiscardMax{2};
  if (reading_ == Reading::Digest || reading_ == Reading::Bounds) give_up_answer();
  const auto until = std::chrono::steady_clock::now() + kDiscardMax;
  RowBatch rest;
  while (reading_ != Reading::Nothing && std::chrono::steady_clock::now() < until) {
    rest.clear();
    if (!read(rest, kPieceBytes)) break;
  }
  if (reading_ != Reading::Nothing) connection_.close();
  reading_ = Reading::Nothing;
}

void PostgresReader::end() {
  discard_rest();
  if (!std::exchange(open_, false) || !connection_.is_open()) return;
  // COMMIT of a failed transaction rolls it back, and with it a search_path set inside it.
  if (PQtransactionStatus(connection_.raw()) != PQTRANS_INTRANS) path_ = "?";
  if (!connection_.run("COMMIT").has_value()) connection_.close();
}

}  // namespace lockstep
