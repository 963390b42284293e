#include "connectors/postgres/target/target_tables.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <set>
#include <utility>

#include "connectors/postgres/target/sql_guard.h"

namespace lockstep {
namespace {

// The operators that the key's index itself uses: the only ones that mean "the same row".
constexpr const char* kKeyOperators = R"(
SELECT k.name, format('OPERATOR(%I.%s)', n.nspname, o.oprname)
  FROM (SELECT i.* FROM pg_index i
         WHERE i.indrelid = $1::regclass AND i.indisunique AND i.indimmediate
           AND i.indpred IS NULL AND i.indexprs IS NULL
           AND (SELECT array_agg(a.attname::text ORDER BY a.attname::text COLLATE "C")
                  FROM generate_series(0, i.indnkeyatts - 1) AS g(at)
                  JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = i.indkey[g.at])
               = (SELECT array_agg(w.name ORDER BY w.name COLLATE "C")
                    FROM unnest($2::text[]) AS w(name))
         ORDER BY i.indisprimary DESC LIMIT 1) AS i
 CROSS JOIN LATERAL generate_series(0, i.indnkeyatts - 1) AS g(at)
 CROSS JOIN LATERAL (SELECT attname::text AS name FROM pg_attribute
                      WHERE attrelid = i.indrelid AND attnum = i.indkey[g.at]) AS k
  JOIN pg_opclass c ON c.oid = i.indclass[g.at]
  JOIN pg_amop a ON a.amopfamily = c.opcfamily AND a.amoplefttype = c.opcintype
                AND a.amoprighttype = c.opcintype AND a.amopstrategy = 3
  JOIN pg_operator o ON o.oid = a.amopopr
  JOIN pg_namespace n ON n.oid = o.oprnamespace)";

constexpr const char* kRowType = R"(
SELECT t.oid, t.typarray, a.atttypid
  FROM pg_type t
  JOIN pg_attribute a ON a.attrelid = t.typrelid
 WHERE t.oid = $1::regtype
 ORDER BY a.attnum)";

// An object of pg_temp takes a lock when its session ends: a composite type three (itself, its
// array, its relation).  A sixteenth of all that the server has room for to each of our sessions,
// which may end at once; what it has by default is enough for a dozen of them with the least.
constexpr const char* kTypesMax = R"(
SELECT greatest(128, current_setting('max_locks_per_transaction')::int8
       * (current_setting('max_connections')::int8
          + current_setting('max_prepared_transactions')::int8) / 16 / 3))";

std::uint32_t oid_field(const PgResult& result, int row, int column) {
  const std::string_view text = field(result, row, column);
  std::uint32_t oid = 0;
  std::from_chars(text.data(), text.data() + text.size(), oid);
  return oid;
}

// The OID of the type that a column's bytes are of, on the target.  A cast from a type of the
// source's own travels as text (table_map.cc), so the source's OID is one of PostgreSQL's own.
std::uint32_t staged_oid(const TableMap& map, std::size_t column) {
  const ColumnMap& mapped = map.columns[column];
  if (mapped.plane == Plane::Text) return kTextOid;
  return mapped.cast ? map.source_column(column).type.base_oid
                     : map.target_column(column).type.base_oid;
}

const char* kind_name(StatementKind kind) {
  switch (kind) {
    case StatementKind::Upsert:
      return "upsert";
    case StatementKind::Replace:
      return "replace";
    case StatementKind::Update:
      return "update";
    case StatementKind::Delete:
      return "delete";
    case StatementKind::Find:
      return "find";
  }
  return "";
}

// A statement takes the rows, and an update what a debt of each would hold.
std::vector<std::uint32_t> parameter_oids(StatementKind kind, const PreparedTable& table) {
  if (kind == StatementKind::Delete || kind == StatementKind::Find) return {table.key.array_oid};
  if (kind != StatementKind::Update) return {table.row.array_oid};
  return {table.row.array_oid, kByteaArrayOid, kByteaArrayOid, kXid8ArrayOid, kInt8ArrayOid};
}

// "{1,2}".
std::vector<std::uint32_t> parse_oid_array(std::string_view text) {
  std::vector<std::uint32_t> oids;
  for (const char* at = text.data() + 1; at < text.data() + text.size();) {
    std::uint32_t oid = 0;
    at = std::from_chars(at, text.data() + text.size(), oid).ptr + 1;
    oids.push_back(oid);
  }
  return oids;
}

std::string binary_array(const std::vector<std::string>& values) {
  ArrayBuilder array(kTextOid);
  for (const std::string& value : values) array.add(value);
  return std::string(array.bytes());
}

}  // namespace

void TargetTables::forget_old_session() {
  if (generation_ == session_.generation()) return;
  generation_ = session_.generation();
  tables_.clear();
  types_.clear();
  statements_.clear();
  by_key_.clear();
  weight_ = guards_ = types_max_ = 0;
}

Result<const PreparedTable*> TargetTables::table(const TableMap& map) {
  forget_old_session();
  if (const auto found = tables_.find(map.id); found != tables_.end()) {
    found->second->used = ++uses_;
    return found->second.get();
  }
  LOCKSTEP_TRY(know_types_max());
  auto prepared = std::make_unique<PreparedTable>(map);
  prepared->used = ++uses_;
  LOCKSTEP_ASSIGN(prepared->sql, stage(map));
  LOCKSTEP_TRY(read_swallowers(*prepared));
  std::vector<std::uint32_t> row_oids;
  std::vector<std::uint32_t> key_oids;
  std::vector<std::string> row_types;
  std::vector<std::string> key_types;
  for (std::size_t i = 0; i < map.columns.size(); ++i) {
    row_oids.push_back(staged_oid(map, i));
    row_types.push_back(prepared->sql.columns[i].staged);
  }
  for (const std::size_t column : map.key) {
    key_oids.push_back(row_oids[column]);
    key_types.push_back(row_types[column]);
  }
  LOCKSTEP_ASSIGN(prepared->row, shared_type(row_oids, row_types));
  LOCKSTEP_ASSIGN(prepared->key, shared_type(key_oids, key_types));
  // Together, so that each use is one of a table that is staged.
  ++types_.at(row_oids).users;
  ++types_.at(key_oids).users;
  return tables_.emplace(map.id, std::move(prepared)).first->second.get();
}

Status TargetTables::know_types_max() {
  if (types_max_ != 0) return {};
  types_max_ = types_wanted_;
  if (types_max_ != 0) return {};
  LOCKSTEP_ASSIGN(const PgResult most, session_.connection().run(kTypesMax));
  types_max_ = number_field<std::size_t>(most, 0, 0);
  return {};
}

Result<RowType> TargetTables::shared_type(const std::vector<std::uint32_t>& oids,
                                          const std::vector<std::string>& types) {
  if (const auto found = types_.find(oids); found != types_.end()) return found->second.type;
  LOCKSTEP_ASSIGN(RowType type, create_type(fmt::format("lockstep_row_{}", ++named_), types));
  return types_.emplace(oids, SharedType{std::move(type), 0}).first->second.type;
}

Result<StagedTable> TargetTables::stage(const TableMap& map) {
  ArrayBuilder oids(kInt8Oid);
  for (std::size_t i = 0; i < map.columns.size(); ++i) {
    oids.add_int8(staged_oid(map, i));
    oids.add_int8(map.target_column(i).type.base_oid);
  }
  LOCKSTEP_ASSIGN(const PgResult names,
                  session_.connection().run("SELECT format_type(w.type::oid, -1)"
                                            " FROM unnest($1::int8[]) WITH ORDINALITY AS w(type, n)"
                                            " ORDER BY w.n",
                                            {{oids.bytes(), true, kInt8ArrayOid}}));
  StagedTable staged;
  staged.map = &map;
  for (std::size_t i = 0; i < map.columns.size(); ++i) {
    const int at = static_cast<int>(2 * i);
    staged.columns.push_back(
        {std::string(field(names, at, 0)), std::string(field(names, at + 1, 0))});
  }
  LOCKSTEP_ASSIGN(staged.key_equals, key_operators(map));
  return staged;
}

Result<std::vector<std::string>> TargetTables::key_operators(const TableMap& map) {
  std::vector<std::string> names;
  for (const std::size_t column : map.key) names.push_back(map.target_column(column).name);
  const std::string array = binary_array(names);
  const std::string relation = quoted(map.target.name);
  LOCKSTEP_ASSIGN(const PgResult rows,
                  session_.connection().run(
                      kKeyOperators, {{relation, false, kTextOid}, {array, true, kTextArrayOid}}));
  std::vector<std::string> operators(names.size());
  for (int row = 0; row < PQntuples(rows.get()); ++row)
    for (std::size_t i = 0; i < names.size(); ++i)
      if (field(rows, row, 0) == names[i]) operators[i] = field(rows, row, 1);
  for (std::size_t i = 0; i < names.size(); ++i) {
    if (!operators[i].empty()) continue;
    return fail(Reaction::StopTable,
                fmt::format("target table {} has no immediate unique index on its key any more "
                            "(column {})",
                            map.target.name.text(), names[i]));
  }
  return operators;
}

Result<RowType> TargetTables::create_type(const std::string& name,
                                          const std::vector<std::string>& types) {
  if (auto created = session_.connection().run(create_row_type_sql(name, types));
      !created.has_value())
    return fail(std::move(created).error().during(
        "while creating a temporary type on the target, which needs TEMPORARY on the database, and "
        "USAGE on the types of the columns and on their schemas (`lockstep validate` names what "
        "lacks)"));
  const std::string type = "pg_temp." + quote_identifier(name);
  LOCKSTEP_ASSIGN(const PgResult rows,
                  session_.connection().run(kRowType, {{type, false, kTextOid}}));
  RowType row_type{type, oid_field(rows, 0, 0), oid_field(rows, 0, 1), {}};
  for (int row = 0; row < PQntuples(rows.get()); ++row)
    row_type.column_oids.push_back(oid_field(rows, row, 2));
  return row_type;
}

Status TargetTables::read_swallowers(PreparedTable& table) {
  const std::string relation = quoted(table.sql.map->target.name);
  LOCKSTEP_ASSIGN(const PgResult found,
                  session_.connection().run(swallowers_sql(), {{relation, false, kTextOid}}));
  table.relations = parse_oid_array(field(found, 0, 0));
  table.may_swallow = bool_field(found, 0, 1);
  return {};
}

Status TargetTables::look_for_swallowers(const TableMap& map) {
  LOCKSTEP_TRY(table(map));
  PreparedTable& known = *tables_.at(map.id);
  const bool did = known.may_swallow;
  LOCKSTEP_TRY(read_swallowers(known));
  for (auto at = statements_.begin(); did != known.may_swallow && at != statements_.end();) {
    const auto statement = at++;
    if (std::get<TableId>(statement->key) == map.id) LOCKSTEP_TRY(deallocate(statement, at));
  }
  return {};
}

// "": the table does not need it.
std::string TargetTables::plain_sql(const StatementSpec& spec, const PreparedTable& table) const {
  switch (spec.kind) {
    case StatementKind::Upsert:
      return upsert_sql(table.sql);
    case StatementKind::Replace:
      return replace_sql(table.sql).value_or("");
    case StatementKind::Update:
      return update_sql(bookkeeping_, table.sql, spec.mask);
    case StatementKind::Delete:
      return delete_sql(table.sql);
    case StatementKind::Find:
      return find_sql(table.sql);
  }
  return {};
}

Status TargetTables::prepare(const StatementSpec& spec) {
  LOCKSTEP_ASSIGN(const PreparedTable* table, this->table(spec.map));
  const std::uint64_t rows = counts_.rows(spec.map.id);
  const Key key = key_of(spec);
  if (const auto found = by_key_.find(key); found != by_key_.end()) {
    const auto statement = found->second;
    statements_.splice(statements_.begin(), statements_, statement);
    if (!outgrown(statement->planned_at, rows)) return {};
    LOCKSTEP_TRY(deallocate(statement, std::next(statement)));
  }
  Statement statement{key, "", rows, weight_of(spec.kind, *table)};
  std::string sql = plain_sql(spec, *table);
  if (!sql.empty()) {
    statement.name = fmt::format("{}_{}_{}", kind_name(spec.kind), spec.map.id, ++named_);
    const std::vector<std::uint32_t> types = parameter_oids(spec.kind, *table);
    if (spec.mode == StatementMode::Guarded) {
      LOCKSTEP_TRY(create_guard(spec, *table, statement.name));
      sql = guarded_sql(statement.name, types.size());
    }
    LOCKSTEP_TRY(session_.prepare(statement.name, sql, types));
  }
  weight_ += statement.weight;
  guards_ += statement.is_guard() ? 1 : 0;
  statements_.push_front(std::move(statement));
  by_key_[key] = statements_.begin();
  return {};
}

Status TargetTables::create_guard(const StatementSpec& spec, const PreparedTable& table,
                                  const std::string& name) {
  const RowType& rows = spec.kind == StatementKind::Delete ? table.key : table.row;
  std::vector<std::string> arrays{rows.name + "[]"};
  std::string body;
  if (spec.kind == StatementKind::Update) {
    arrays.insert(arrays.end(), {"bytea[]", "bytea[]", "xid8[]", "int8[]"});
    body = guarded_update(plain_sql(spec, table));
  } else {
    body =
        spec.kind == StatementKind::Delete ? guarded_delete(table.sql) : guarded_upsert(table.sql);
  }
  auto created = session_.connection().run(create_guard_sql(name, arrays, body));
  if (created.has_value()) return {};
  return fail(for_table(std::move(created).error())
                  .during("while creating a temporary function in plpgsql on the target, which "
                          "sets refused rows aside"));
}

// INSERT finds a row's partition when it is executed; the others plan for each of them.
std::size_t TargetTables::weight_of(StatementKind kind, const PreparedTable& table) {
  return kind == StatementKind::Upsert ? 1 : 1 + table.relations.size() / kPartitionsOfWeight;
}

std::string TargetTables::forget(Statements::iterator statement) {
  std::string sql;
  if (!statement->name.empty()) sql += "DEALLOCATE " + statement->name + ";";
  if (!statement->name.empty() && statement->is_guard())
    sql += "DROP FUNCTION pg_temp." + statement->name + ";";
  weight_ -= statement->weight;
  guards_ -= statement->is_guard() ? 1 : 0;
  by_key_.erase(statement->key);
  statements_.erase(statement);
  return sql;
}

std::string TargetTables::forget(const RowType& type) {
  const auto shared = types_.find(type.column_oids);
  CHECK(shared != types_.end() && shared->second.users > 0);
  if (--shared->second.users > 0) return "";
  types_.erase(shared);
  return "DROP TYPE " + type.name + ";";
}

Status TargetTables::deallocate(Statements::iterator first, Statements::iterator last) {
  std::string sql;
  while (first != last) sql += forget(first++);
  if (sql.empty()) return {};
  LOCKSTEP_TRY(session_.connection().run(sql));
  return {};
}

Status TargetTables::trim() {
  forget_old_session();
  LOCKSTEP_TRY(trim_tables());
  return trim_statements();
}

// An eighth at once: one round trip for many.  Statements go before the types that they need.
Status TargetTables::trim_tables() {
  if (types_.size() <= types_max_) return {};
  std::vector<std::pair<std::uint64_t, TableId>> by_use;
  for (const auto& [id, table] : tables_) by_use.emplace_back(table->used, id);
  std::ranges::sort(by_use);
  std::set<TableId> gone;
  std::string types;
  for (auto at = types_.begin(); at != types_.end();) {
    const auto type = at++;
    if (type->second.users > 0) continue;  // Else its table could not be staged.
    types += "DROP TYPE " + type->second.type.name + ";";
    types_.erase(type);
  }
  for (const auto& [used, id] : by_use) {
    if (types_.size() <= types_max_ * 7 / 8) break;
    const auto table = tables_.find(id);
    types += forget(table->second->row) + forget(table->second->key);
    tables_.erase(table);
    gone.insert(id);
  }
  std::string sql;
  for (auto at = statements_.begin(); at != statements_.end();)
    if (const auto statement = at++; gone.contains(std::get<TableId>(statement->key)))
      sql += forget(statement);
  LOCKSTEP_TRY(session_.connection().run(sql + types));
  return {};
}

// Likewise.  Each guard is a function of pg_temp.
Status TargetTables::trim_statements() {
  std::string sql;
  const std::size_t guards = guards_ > kGuardsMax ? kGuardsMax * 7 / 8 : kGuardsMax;
  for (auto at = statements_.end(); guards_ > guards;) {
    const auto statement = --at;
    if (!statement->is_guard()) continue;
    ++at;
    sql += forget(statement);
  }
  const std::size_t weight = weight_ > kWeightMax ? kWeightMax * 7 / 8 : kWeightMax;
  while (weight_ > weight && statements_.size() > kAlwaysKept)
    sql += forget(std::prev(statements_.end()));
  if (sql.empty()) return {};
  LOCKSTEP_TRY(session_.connection().run(sql));
  return {};
}

const std::string& TargetTables::prepared(const StatementSpec& spec) const {
  const auto found = by_key_.find(key_of(spec));
  CHECK(found != by_key_.end());
  return found->second->name;
}

}  // namespace lockstep
