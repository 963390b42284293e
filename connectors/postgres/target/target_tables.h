// TargetTables: what one session of the target has prepared for each table.
//
// Staging a table means two composite types in pg_temp, for whole rows and for keys, made from what
// the target's catalog says, and the statements that take arrays of them.  All of it belongs to the
// session: a new connection begins anew.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <tuple>
#include <vector>

#include "connectors/postgres/target/sql.h"
#include "connectors/postgres/target/target_session.h"
#include "connectors/postgres/wire/rows.h"
#include "pipeline/tables/translate.h"

namespace lockstep {

// One composite type and how its values are encoded.
struct RowType {
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
};

enum class StatementKind : std::uint8_t { Upsert, Replace, Update, Delete };

// Not thread-safe; belongs to one session.
class TargetTables {
 public:
  // Borrows `session`.
  TargetTables(TargetSession& session, BookkeepingName bookkeeping)
      : session_(session), bookkeeping_(std::move(bookkeeping)) {}

  // Returns the staged table.  StopTable: the target lacks a column's type or the key's index, or
  // we may not create temporary types.  REQUIRES: the session is open, no transaction is open.
  Result<const PreparedTable*> table(const TableMap& map);

  // Returns the name of a prepared statement.  `mask` is empty unless kind is Update.
  // StopTable: a column is gone, a grant is missing.  REQUIRES: as above.
  Result<std::string> statement(const TableMap& map, StatementKind kind, const ColumnMask& mask);

  // Of a statement that statement() has prepared in this session.
  const std::string& prepared(const TableMap& map, StatementKind kind,
                              const ColumnMask& mask) const;

  // Whether so many masks were seen that the session should be closed to forget them.
  bool full() const { return statements_.size() >= kStatementsMax; }

 private:
  static constexpr std::size_t kStatementsMax = 512;
  using Key = std::tuple<TableId, StatementKind, ColumnMask>;

  void forget_old_session();
  Result<StagedTable> stage(const TableMap& map);
  Result<std::vector<std::string>> key_operators(const TableMap& map);
  Result<RowType> create_type(const std::string& name, const std::vector<std::string>& types);

  TargetSession& session_;
  const BookkeepingName bookkeeping_;
  std::uint64_t generation_ = 0;
  std::map<TableId, std::unique_ptr<PreparedTable>> tables_;
  std::map<Key, std::string> statements_;
};

}  // namespace lockstep
