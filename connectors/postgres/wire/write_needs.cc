#include "connectors/postgres/wire/write_needs.h"

#include <algorithm>

#include "connectors/postgres/wire/catalog.h"

namespace lockstep {
namespace {

// Our statements name the type below a domain, not the domain.  Privileges of an array are those of
// its element.  Input functions, operator classes and triggers ask nobody for EXECUTE.
constexpr const char* kLacking = R"(
WITH RECURSIVE tables AS (
  SELECT w.place, w.schema, w.name, c.oid, l.relid
  FROM unnest($1::text[], $2::text[]) WITH ORDINALITY w(schema, name, place)
  JOIN pg_namespace n ON n.nspname = w.schema
  JOIN pg_class c ON c.relnamespace = n.oid AND c.relname = w.name
  CROSS JOIN LATERAL (SELECT c.oid AS relid UNION SELECT relid FROM pg_partition_tree(c.oid)) l
), columns AS (
  SELECT t.place, t.relid = t.oid AS own, a.attrelid, a.attnum, a.attname, a.atttypid,
         a.attgenerated <> '' AS generated, a.atthasdef, u.name IS NOT NULL AS unfed
  FROM tables t JOIN pg_attribute a ON a.attrelid = t.relid AND a.attnum > 0
  LEFT JOIN unnest($3::text[], $4::text[], $5::text[]) u(schema, name, attname)
    ON u.schema = t.schema AND u.name = t.name AND u.attname = a.attname
  WHERE NOT a.attisdropped
), named(place, attname, oid) AS (
  SELECT place, attname, atttypid FROM columns WHERE own AND NOT unfed AND NOT generated
  UNION
  SELECT n.place, n.attname, t.typbasetype FROM named n
  JOIN pg_type t ON t.oid = n.oid AND t.typtype = 'd'
), held(place, oid) AS (
  SELECT place, atttypid FROM columns WHERE own
  UNION
  SELECT h.place, x.oid FROM held h JOIN pg_type t ON t.oid = h.oid
  LEFT JOIN pg_range r ON r.rngtypid = t.oid
  LEFT JOIN pg_attribute a ON t.typtype = 'c' AND a.attrelid = t.typrelid AND a.attnum > 0
  CROSS JOIN LATERAL (VALUES (t.typbasetype), (t.typelem), (r.rngsubtype), (a.atttypid)) x(oid)
  WHERE x.oid <> 0
), calls(place, catalog, oid, what) AS (
  SELECT t.place, 'pg_class'::regclass, i.indexrelid, 'index ' || i.indexrelid::regclass
  FROM tables t JOIN pg_index i ON i.indrelid = t.relid
  UNION SELECT t.place, 'pg_constraint'::regclass, k.oid,
         'check constraint ' || quote_ident(k.conname)
  FROM tables t JOIN pg_constraint k ON k.conrelid = t.relid AND k.contype = 'c'
  UNION SELECT c.place, 'pg_attrdef'::regclass, d.oid,
         CASE WHEN c.generated THEN 'generated column ' ELSE 'the default of column ' END
         || quote_ident(c.attname)
  FROM columns c JOIN pg_attrdef d ON d.adrelid = c.attrelid AND d.adnum = c.attnum
  WHERE c.generated OR c.unfed
  UNION SELECT c.place, 'pg_type'::regclass, t.oid, 'the default of domain ' || t.oid::regtype
  FROM columns c JOIN pg_type t ON t.oid = c.atttypid AND t.typtype = 'd'
  WHERE c.unfed AND NOT c.atthasdef
  UNION SELECT h.place, 'pg_constraint'::regclass, k.oid, 'domain ' || h.oid::regtype
  FROM held h JOIN pg_constraint k ON k.contypid = h.oid
), functions(place, oid, what) AS (
  SELECT c.place, coalesce(o.oprcode::oid, d.refobjid), c.what FROM calls c
  JOIN pg_depend d ON d.classid = c.catalog AND d.objid = c.oid
    AND d.refclassid IN ('pg_proc'::regclass, 'pg_operator'::regclass)
  LEFT JOIN pg_operator o ON d.refclassid = 'pg_operator'::regclass AND o.oid = d.refobjid
  UNION SELECT t.place, o.oprcode, 'the comparison of keys'
  FROM tables t JOIN pg_index i ON i.indrelid = t.oid AND t.relid = t.oid AND i.indisprimary
  CROSS JOIN LATERAL generate_series(0, i.indnkeyatts - 1) g(at)
  JOIN pg_opclass c ON c.oid = i.indclass[g.at]
  JOIN pg_amop a ON a.amopfamily = c.opcfamily AND a.amoplefttype = c.opcintype
    AND a.amoprighttype = c.opcintype AND a.amopstrategy = 3
  JOIN pg_operator o ON o.oid = a.amopopr
), lacking(place, privilege, kind, object, owner, why) AS (
  SELECT n.place, 'USAGE', 'type', t.oid::regtype::text, t.typowner,
         format('column %I holds values of it', n.attname)
  FROM named n JOIN pg_type x ON x.oid = n.oid AND x.typtype <> 'd'
  LEFT JOIN pg_type e ON e.oid = x.typelem AND e.typarray = x.oid
  JOIN pg_type t ON t.oid = coalesce(e.oid, x.oid)
  WHERE NOT has_type_privilege(t.oid, 'USAGE')
  UNION SELECT f.place, 'EXECUTE', 'function', p.oid::regprocedure::text, p.proowner,
         f.what || ' calls it'
  FROM functions f JOIN pg_proc p ON p.oid = f.oid
  WHERE NOT has_function_privilege(p.oid, 'EXECUTE')
  UNION SELECT c.place, 'USAGE', 'sequence', s.oid::regclass::text, s.relowner,
         c.what || ' takes its values from it'
  FROM calls c JOIN pg_depend d ON d.classid = c.catalog AND d.objid = c.oid
    AND d.refclassid = 'pg_class'::regclass
  JOIN pg_class s ON s.oid = d.refobjid
  WHERE CASE WHEN s.relkind = 'S' THEN NOT has_sequence_privilege(s.oid, 'USAGE, UPDATE') END)
SELECT t.schema, t.name, l.privilege, l.kind || ' ' || l.object,
       format('GRANT %s ON %s %s', l.privilege, upper(l.kind), l.object),
       pg_get_userbyid(l.owner), l.why
FROM lacking l JOIN tables t ON t.place = l.place AND t.relid = t.oid ORDER BY l.place, 4, 7)";

constexpr const char* kGuardLanguage = R"(
SELECT has_language_privilege(oid, 'USAGE'), pg_get_userbyid(lanowner) FROM pg_language
WHERE lanname = 'plpgsql')";

}  // namespace

void add_unfed_columns(const TableMap& map, std::vector<UnfedColumn>& all) {
  for (std::size_t i = 0; i < map.target.columns.size(); ++i) {
    const bool fed = std::ranges::find(map.columns, i, &ColumnMap::target) != map.columns.end() ||
                     std::ranges::find(map.constants, i, &Constant::target) != map.constants.end();
    const Column& column = map.target.columns[i];
    if (!fed && !column.generated) all.push_back({map.target.name, column.name});
  }
}

Result<std::vector<WriteNeed>> lacking_for_writes(PostgresConnection& connection,
                                                  const std::vector<TableName>& tables,
                                                  const std::vector<UnfedColumn>& unfed) {
  LOCKSTEP_TRY(connection.open());
  const NameArrays names(tables);
  std::vector<TableName> unfed_tables;
  std::vector<std::string> columns;
  for (const UnfedColumn& each : unfed) {
    unfed_tables.push_back(each.table);
    columns.push_back(each.column);
  }
  const NameArrays unfed_names(unfed_tables);
  const std::string unfed_columns = text_array(columns);
  LOCKSTEP_ASSIGN(const PgResult rows, connection.ask(kLacking, {{.value = names.schemas},
                                                                 {.value = names.tables},
                                                                 {.value = unfed_names.schemas},
                                                                 {.value = unfed_names.tables},
                                                                 {.value = unfed_columns}}));
  std::vector<WriteNeed> needs;
  for (int i = 0; i < PQntuples(rows.get()); ++i)
    needs.push_back({{text_field(rows, i, 0), text_field(rows, i, 1)},
                     text_field(rows, i, 2),
                     text_field(rows, i, 3),
                     text_field(rows, i, 4),
                     text_field(rows, i, 5),
                     text_field(rows, i, 6)});
  return needs;
}

Result<GuardLanguage> read_guard_language(PostgresConnection& connection) {
  LOCKSTEP_TRY(connection.open());
  LOCKSTEP_ASSIGN(const PgResult row, connection.ask(kGuardLanguage));
  if (PQntuples(row.get()) == 0) return GuardLanguage();
  return GuardLanguage{true, bool_field(row, 0, 0), text_field(row, 0, 1)};
}

}  // namespace lockstep
