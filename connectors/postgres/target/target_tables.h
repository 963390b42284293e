// TargetTables: what one session of the target has prepared for each table.
//
// Staging a table means two composite types in pg_temp, for whole rows and for keys, made from what
// the target's catalog says, and the statements that take arrays of them.  Tables whose columns are
// of the same types share them.  All of it belongs to the session: a new connection begins anew.
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
  std::uint64_t used = 0;    // Rises: when it was asked for last.
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
//
// A session that ends takes a lock for each object of its pg_temp, all in one transaction.  With
// more than the server has room for it leaves them all behind, and whoever is the next to have its
// place among the sessions fails at them, for ever: so there are never many (trim()).
class TargetTables {
 public:
  // Borrows `session` and `counts`.  `types_max`: types after trim(); 0: as many as the server's
  // room for locks allows.
  TargetTables(TargetSession& session, BookkeepingName bookkeeping, const TableCounts& counts,
               std::size_t types_max = 0)
      : session_(session),
        bookkeeping_(std::move(bookkeeping)),
        counts_(counts),
        types_wanted_(types_max) {}

  // Returns the staged table.  StopTable: the target lacks a column's type or the key's index, or
  // we may not create temporary types.  REQUIRES: the session is open, no transaction is open.
  Result<const PreparedTable*> table(const TableMap& map);

  // Makes a statement ready, or plans it again.  StopTable: a column is gone, a grant is missing.
  // REQUIRES: as above.
  Status prepare(const StatementSpec& spec);

  // Returns the name of a statement that prepare() has made ready in this session; "" for one that
  // the table does not need.
  const std::string& prepared(const StatementSpec& spec) const;

  // Lets go of the tables and statements that were not used for longest, when there are too many,
  // or their plans too large.  REQUIRES: no transaction is open.
  Status trim();

  // Of a table that is staged.
  bool may_swallow(const TableMap& map) const { return tables_.at(map.id)->may_swallow; }
  // Asks the catalog again which triggers and rules a table has.  REQUIRES: as above.
  Status look_for_swallowers(const TableMap& map);

 private:
  // Of each the server keeps text and plan, some tens of kilobytes: a weight of 1.  What looks for
  // rows of a partitioned table has a plan of 4 kB for each of its partitions beside that.
  static constexpr std::size_t kWeightMax = 2048;
  static constexpr std::size_t kPartitionsOfWeight = 16;
  static constexpr std::size_t kAlwaysKept = 8;  // Statements, whatever they weigh.
  static constexpr std::size_t kGuardsMax = 256;

  using Key = std::tuple<TableId, StatementKind, StatementMode, ColumnMask>;
  struct Statement {
    Key key;
    std::string name;
    std::uint64_t planned_at = 0;  // TableCounts::rows() then.
    std::size_t weight = 1;
    bool is_guard() const { return std::get<StatementMode>(key) == StatementMode::Guarded; }
  };
  using Statements = std::list<Statement>;
  // A composite type, and how many tables need it, or need it twice.
  struct SharedType {
    RowType type;
    std::size_t users = 0;
  };
  using Types = std::map<std::vector<std::uint32_t>, SharedType>;  // By its columns' types.

  static Key key_of(const StatementSpec& spec) {
    return {spec.map.id, spec.kind, spec.mode, spec.mask};
  }
  void forget_old_session();
  Result<StagedTable> stage(const TableMap& map);
  Status read_swallowers(PreparedTable& table);
  Result<std::vector<std::string>> key_operators(const TableMap& map);
  Status know_types_max();
  Result<RowType> shared_type(const std::vector<std::uint32_t>& oids,
                              const std::vector<std::string>& types);
  Result<RowType> create_type(const std::string& name, const std::vector<std::string>& types);
  Status create_guard(const StatementSpec& spec, const PreparedTable& table,
                      const std::string& name);
  std::string plain_sql(const StatementSpec& spec, const PreparedTable& table) const;
  static std::size_t weight_of(StatementKind kind, const PreparedTable& table);
  // Each forgets, and returns the SQL that has the server do so, too.
  std::string forget(Statements::iterator statement);
  std::string forget(const RowType& type);
  Status deallocate(Statements::iterator first, Statements::iterator last);
  Status trim_tables();
  Status trim_statements();

  TargetSession& session_;
  const BookkeepingName bookkeeping_;
  const TableCounts& counts_;
  const std::size_t types_wanted_;
  std::size_t types_max_ = 0;  // Of this session; 0: not known yet.
  std::uint64_t generation_ = 0;
  std::uint64_t named_ = 0;  // Statements and types so far: names are not used again.
  std::uint64_t uses_ = 0;
  std::map<TableId, std::unique_ptr<PreparedTable>> tables_;
  Types types_;
  Statements statements_;  // The last one used comes first.
  std::map<Key, Statements::iterator> by_key_;
  std::size_t weight_ = 0;  // Of all statements.
  std::size_t guards_ = 0;  // Of them.
};

}  // namespace lockstep
