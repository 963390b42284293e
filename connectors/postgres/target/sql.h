// Statement texts of the target, built from a table's mapping.  Pure: no server, no state.
//
// Every name is quoted, every operator and type schema-qualified: the session's search_path is
// empty, and an unqualified `=` on an extension's type (citext) would silently mean another
// operator.  target/target runs these; tests/unit/postgres_sql_test.cc reads them.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "pipeline/model/table.h"

namespace lockstep {

// "a, b".
std::string joined(const std::vector<std::string>& parts, std::string_view separator);

// Where the bookkeeping lives, and whose rows are meant.
struct BookkeepingName {
  std::string schema;
  std::string migration;
};

// "lockstep"."debt".
std::string bookkeeping_table(const BookkeepingName& name, const std::string& table);
// The condition of rows of the migration there, and of one table of it.
std::string of_migration(const BookkeepingName& name);
std::string of_table(const BookkeepingName& name, const TableName& source);

// Classifies key of the two advisory locks' class: "lock" in ASCII.
inline constexpr std::int32_t kAdvisoryClass = 0x6c6f636b;

// How one column is staged: both types as the target server names them, without a modifier, so that
// a value too long for its column is refused on assignment instead of being cut when it is staged.
struct StagedColumn {
  std::string staged;  // Type of the composite's attribute.
  std::string target;  // Base type of the target's column.
};

struct StagedTable {
  const TableMap* map = nullptr;
  std::vector<StagedColumn> columns;    // One per TableMap::columns.
  std::vector<std::string> key_equals;  // One per key column: "OPERATOR(pg_catalog.=)".
};

// Which cells of a partial row are available, one per TableMap::columns.
using ColumnMask = std::vector<bool>;

// t.<key> = <staged key>; keys staged alone lie in key order, in a row they keep their place.
enum class KeyPlace { Alone, InRow };
std::string key_match(const StagedTable& table, KeyPlace place);

// Which rows t replace_sql() deletes for the staged rows r; "" where there can be none.
std::string replaced_match(const StagedTable& table);

// CREATE TYPE pg_temp."<name>" AS (c0 type, c1 type, ...).
std::string create_row_type_sql(const std::string& name, const std::vector<std::string>& types);

// $1: rows.  Inserts every mapped column and every constant into `relation`.
std::string insert_sql(const StagedTable& table, const std::string& relation);

// $1: rows.  insert_sql() into the target; a row whose key exists is updated.
std::string upsert_sql(const StagedTable& table);

// $1: rows.  Deletes rows whose GENERATED ALWAYS identity column, other than the key, has another
// value: it cannot be updated, so the upsert behind this statement inserts the row anew.
// Returns nothing for the tables, nearly all, that have no such column.
std::optional<std::string> replace_sql(const StagedTable& table);

// $1: rows, $2: key hashes (bytea[]), $3: keys (bytea[]), $4: xids (xid8[]), $5: commit times
// (int8[]).  Updates the columns in `mask`; opens a missing_row debt for each row that does not
// exist and returns its key hash.
std::string update_sql(const BookkeepingName& name, const StagedTable& table,
                       const ColumnMask& mask);

// $1: keys.
std::string delete_sql(const StagedTable& table);
// The same, one row if any of them exists.
std::string find_sql(const StagedTable& table);

// A BEFORE trigger that answers NULL and a rule DO INSTEAD make a statement hit fewer rows than
// were meant, without an error.
//
// $1: relation.  Returns the oids of it and its partitions, and whether any of them has such a
// trigger or rule that fires in our sessions.
std::string swallowers_sql();
// $1: oids (oid[]) of relations that had none.  Raises if one has now: the locks that the
// transaction's writes took keep further ones from being made.
std::string no_swallowers_sql();

// COPY ... FROM STDIN (FORMAT binary): the mapped columns, then the constants.
std::string copy_sql(const TableMap& table);

// Selects the constants' values; empty when there are none.
std::string constants_sql(const TableMap& table);

std::string truncate_sql(const TableMap& table);
std::string delete_all_sql(const TableMap& table);

// $1: source schema, $2: source table, $3: key hashes (bytea[]).
std::string clear_debts_sql(const BookkeepingName& name);
// The same, of debts that a snapshot sees.  $4: pg_snapshot, $5 (bool): debts without an xid too.
std::string clear_visible_debts_sql(const BookkeepingName& name);

// $1: source schema, $2: source table, $3: key hashes, $4: keys, $5: xids, $6: commit times,
// $7: reasons (text[]), $8: details (text[]), $9: holders (text[], "" for none; quarantines),
// $10: attempts (int4[]), $11 (bool): a debt that exists stays as it is, but for its reason (a
// settlement that failed): it has one attempt more, and is quarantined when it has $12 (int4) of
// them.  Else a key that has a debt keeps the greater xid (0, unknown, counts as the greatest) and
// the earlier commit time.
std::string open_debts_sql(const BookkeepingName& name);

// The open debts of a table, at most `limit`: those that failed before come last, so that they
// cannot keep the others waiting.  In the order of the index that bookkeeping_index_sql() makes.
std::string next_debts_sql(const BookkeepingName& name, const TableName& table, std::size_t limit);

// $1: streams (text[]), $2: lanes (int4[]), $3, $4: positions (int8[]), $5, $6: last and largest
// xid (xid8[]), $7: epoch (int8), $8: batch (int8).
// Neither a position nor a largest xid is ever lowered.
std::string progress_sql(const BookkeepingName& name);

// $1: streams (text[]), $2: lanes (int4[]).  Their rows go.
std::string end_progress_sql(const BookkeepingName& name);

// $1: epoch (int8), $2: pg_backend_pid() of the session's first transaction, or 0 (int4).
// Raises in the server unless the epoch is ours and the backend is the same: an empty answer would
// not stop a pipelined transaction.  Returns the backend's pid.
std::string fence_sql(const BookkeepingName& name);
inline constexpr std::string_view kFencedMark = "lockstep fenced";
inline constexpr std::string_view kPooledMark = "lockstep pooled";

// SELECT pg_advisory_xact_lock_shared(...), the first statement of every writing transaction; the
// new owner takes the same lock exclusively.
std::string shared_lock_sql(const BookkeepingName& name);
std::string exclusive_lock_sql(const BookkeepingName& name);

// $1: source schema, $2: source table, $3, $4: first and last chunk (int8), $5, $6: bounds (bytea),
// $7: rows (int8).  Marks that the new one covers go.
std::string mark_chunk_sql(const BookkeepingName& name);

}  // namespace lockstep
