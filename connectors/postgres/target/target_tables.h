// TargetTables: what one session of the target has prepared for each table.
//
// Staging a table means two composite types in pg_temp, for whole rows and for keys, made from what
// the target's catalog says, and the statements that take arrays of them.  All of it belongs to the
// session: a new connection begins anew.
#pragma once

#include <cstdint>
#include <list>
#include <map>
#include <memory>
#include <string>
#include <tuple>
#include <vector>

#include "connectors/postgres/target/sql.h"
#include "connectors/postgres/target/target_debts.h"
#include "connectors/postgres/target/target_session.h"
#include "connectors/postgres/wire/rows.h"
#include "pipeline/tables/translate.h"

namespace lockstep {

// One composite type and how its values are encoded.
struct RowType {
  std::string name;  // "pg_temp.lockstep_row_7".
  std::uint32_t oid = 0;
  std::uint32_t array_oid = 0;
  std::vector<std::uint32_t> column_oids;
};

struct PreparedTable {
  explicit PreparedTable(const TableMap& map) : translator(map) {}

  Translator translator;
  StagedTable sql;
  RowType row;
  RowType key;
  std::vector<std::uint32_t> relations;  // The table and its partitions.
  bool may_swallow = false;  // Has a trigger or rule that can swallow a write: write it guarded.
};

// Find: returns a row if any of the keys exists.
enum class StatementKind : std::uint8_t { Upsert, Replace, Update, Delete, Find };

// Guarded: finds refused and swallowed rows by itself (sql_guard.h); an upsert replaces first.
enum class StatementMode : std::uint8_t { Plain, Guarded };

struct StatementSpec {
  const TableMap& map;
  StatementKind kind = StatementKind::Upsert;
  StatementMode mode = StatementMode::Plain;
  ColumnMask mask;  // Empty unless kind is Update.
};

// Not thread-safe; belongs to one session.
//
// Invariant: a prepared statement's plan was made when its table had at least half of the rows that
// it has now, or few: a generic plan that was made for an empty table reads all of a large one.
class TargetTables {
 public:
  // Borrows `session` and `counts`.
  TargetTables(TargetSession& session, BookkeepingName bookkeeping, const TableCounts& counts)
      : session_(session), bookkeeping_(std::move(bookkeeping)), counts_(counts) {}

  // Returns the staged table.  StopTable: the target lacks a column's type or the key's index, or
  // we may not create temporary types.  REQUIRES: the session is open, no transaction is open.
  Result<const PreparedTable*> table(const TableMap& map);

  // Makes a statement ready, or plans it again.  StopTable: a column is gone, a grant is missing.
  // REQUIRES: as above.
  Status prepare(const StatementSpec& spec);

  // Returns the name of a statement that prepare() has made ready in this session; "" for one that
  // the table does not need.
  const std::string& prepared(const StatementSpec& spec) const;

  // Lets go of the statements that were not used for longest, when there are too many.
  // REQUIRES: no transaction is open.
  Status trim();

  // Of a table that is staged.
  bool may_swallow(const TableMap& map) const { return tables_.at(map.id)->may_swallow; }
  // Asks the catalog again which triggers and rules a table has.  REQUIRES: as above.
  Status look_for_swallowers(const TableMap& map);

 private:
  // Of each the server keeps text and plan, some tens of kilobytes.
  static constexpr std::size_t kStatementsMax = 2048;

  using Key = std::tuple<TableId, StatementKind, StatementMode, ColumnMask>;
  struct Statement {
    Key key;
    std::string name;
    std::uint64_t planned_at = 0;  // TableCounts::rows() then.
  };
  using Statements = std::list<Statement>;

  static Key key_of(const StatementSpec& spec) {
    return {spec.map.id, spec.kind, spec.mode, spec.mask};
  }
  void forget_old_session();
  Result<StagedTable> stage(const TableMap& map);
  Status read_swallowers(PreparedTable& table);
  Result<std::vector<std::string>> key_operators(const TableMap& map);
  Result<RowType> create_type(const std::string& name, const std::vector<std::string>& types);
  Status create_guard(const StatementSpec& spec, const PreparedTable& table,
                      const std::string& name);
  std::string plain_sql(const StatementSpec& spec, const PreparedTable& table) const;
  Status deallocate(Statements::iterator first, Statements::iterator last);

  TargetSession& session_;
  const BookkeepingName bookkeeping_;
  const TableCounts& counts_;
  std::uint64_t generation_ = 0;
  std::uint64_t named_ = 0;  // Statements so far: names are not used again.
  std::map<TableId, std::unique_ptr<PreparedTable>> tables_;
  Statements statements_;  // The last one used comes first.
  std::map<Key, Statements::iterator> by_key_;
};

}  // namespace lockstep
