#include "connectors/postgres/target/target_tables.h"

#include <fmt/format.h>

#include <charconv>

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
  }
  return "";
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
  statements_.clear();
}

Result<const PreparedTable*> TargetTables::table(const TableMap& map) {
  forget_old_session();
  if (const auto found = tables_.find(map.id); found != tables_.end()) return found->second.get();
  auto prepared = std::make_unique<PreparedTable>(map);
  LOCKSTEP_ASSIGN(prepared->sql, stage(map));
  std::vector<std::string> row_types;
  std::vector<std::string> key_types;
  for (const StagedColumn& column : prepared->sql.columns) row_types.push_back(column.staged);
  for (const std::size_t column : map.key) key_types.push_back(row_types[column]);
  LOCKSTEP_ASSIGN(prepared->row, create_type(fmt::format("lockstep_row_{}", map.id), row_types));
  LOCKSTEP_ASSIGN(prepared->key, create_type(fmt::format("lockstep_key_{}", map.id), key_types));
  return tables_.emplace(map.id, std::move(prepared)).first->second.get();
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
        "while creating a temporary type on the target (needs GRANT TEMPORARY ON DATABASE)"));
  const std::string type = "pg_temp." + quote_identifier(name);
  LOCKSTEP_ASSIGN(const PgResult rows,
                  session_.connection().run(kRowType, {{type, false, kTextOid}}));
  RowType row_type{oid_field(rows, 0, 0), oid_field(rows, 0, 1), {}};
  for (int row = 0; row < PQntuples(rows.get()); ++row)
    row_type.column_oids.push_back(oid_field(rows, row, 2));
  return row_type;
}

Result<std::string> TargetTables::statement(const TableMap& map, StatementKind kind,
                                            const ColumnMask& mask) {
  LOCKSTEP_ASSIGN(const PreparedTable* prepared, table(map));
  const Key key{map.id, kind, mask};
  if (const auto found = statements_.find(key); found != statements_.end()) return found->second;
  std::string sql;
  std::vector<std::uint32_t> types{prepared->row.array_oid};
  switch (kind) {
    case StatementKind::Upsert:
      sql = upsert_sql(prepared->sql);
      break;
    case StatementKind::Replace: {
      const auto replace = replace_sql(prepared->sql);
      if (!replace) return statements_.emplace(key, "").first->second;
      sql = *replace;
      break;
    }
    case StatementKind::Update:
      sql = update_sql(bookkeeping_, prepared->sql, mask);
      types.insert(types.end(), {kByteaArrayOid, kByteaArrayOid, kXid8ArrayOid, kInt8ArrayOid});
      break;
    case StatementKind::Delete:
      sql = delete_sql(prepared->sql);
      types = {prepared->key.array_oid};
      break;
  }
  const std::string name = fmt::format("{}_{}_{}", kind_name(kind), map.id, statements_.size());
  LOCKSTEP_TRY(session_.prepare(name, sql, types));
  return statements_.emplace(key, name).first->second;
}

const std::string& TargetTables::prepared(const TableMap& map, StatementKind kind,
                                          const ColumnMask& mask) const {
  const auto found = statements_.find(Key{map.id, kind, mask});
  CHECK(found != statements_.end());
  return found->second;
}

}  // namespace lockstep
