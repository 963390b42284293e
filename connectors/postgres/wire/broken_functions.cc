#include "connectors/postgres/wire/broken_functions.h"

#include <fmt/format.h>

#include "connectors/postgres/wire/catalog.h"

namespace lockstep {
namespace {

// A body in the SQL standard's form (14) was resolved when the function was made.  $3: with what
// only a statement that writes evaluates.
constexpr const char* kFunctions = R"(
WITH relations AS (
  SELECT w.place, w.schema, w.name, l.relid
  FROM unnest($1::text[], $2::text[]) WITH ORDINALITY w(schema, name, place)
  JOIN pg_namespace n ON n.nspname = w.schema
  JOIN pg_class c ON c.relnamespace = n.oid AND c.relname = w.name
  CROSS JOIN LATERAL (SELECT c.oid AS relid UNION SELECT relid FROM pg_partition_tree(c.oid)) l),
calls AS (
  SELECT r.*, 'pg_class'::regclass AS catalog, x.indexrelid AS oid,
         'index ' || x.indexrelid::regclass AS what,
         concat_ws(', ', pg_get_expr(x.indexprs, x.indrelid),
                   pg_get_expr(x.indpred, x.indrelid)) AS expressions
  FROM relations r JOIN pg_index x ON x.indrelid = r.relid
  UNION ALL SELECT r.*, 'pg_constraint'::regclass, k.oid,
         'check constraint ' || quote_ident(k.conname), pg_get_expr(k.conbin, k.conrelid)
  FROM relations r JOIN pg_constraint k ON k.conrelid = r.relid AND k.contype = 'c' WHERE $3
  UNION ALL SELECT r.*, 'pg_attrdef'::regclass, d.oid,
         'generated column ' || quote_ident(a.attname), pg_get_expr(d.adbin, d.adrelid)
  FROM relations r JOIN pg_attribute a ON a.attrelid = r.relid AND a.attgenerated <> ''
  JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum WHERE $3
  UNION ALL SELECT r.*, 'pg_constraint'::regclass, k.oid, 'domain ' || t.oid::regtype,
         format('CAST(NULL AS %s)', t.oid::regtype)
  FROM relations r JOIN pg_attribute a ON a.attrelid = r.relid AND NOT a.attisdropped
  JOIN pg_type t ON t.oid = a.atttypid JOIN pg_constraint k ON k.contypid = t.oid WHERE $3)
SELECT c.schema, c.name, c.what, c.relid::regclass, c.expressions, p.oid::regprocedure,
       format('ALTER FUNCTION %s SET search_path = %I, pg_temp', p.oid::regprocedure, f.nspname)
FROM calls c
JOIN pg_depend d ON d.classid = c.catalog AND d.objid = c.oid
  AND d.refclassid = 'pg_proc'::regclass
JOIN pg_proc p ON p.oid = d.refobjid
JOIN pg_namespace f ON f.oid = p.pronamespace
JOIN pg_language g ON g.oid = p.prolang
WHERE g.lanname NOT IN ('internal', 'c') AND to_jsonb(p)->>'prosqlbody' IS NULL
  AND NOT EXISTS (SELECT FROM unnest(p.proconfig) s WHERE s LIKE 'search_path=%')
ORDER BY c.place, 3, 6)";

// The expressions themselves over a row that is there, or over one of NULLs.
std::string probe_sql(const PgResult& rows, int row) {
  return fmt::format("SELECT {} FROM (SELECT) AS one LEFT JOIN ONLY {} ON true LIMIT 1",
                     field(rows, row, 4), field(rows, row, 3));
}

// A function, an operator, a relation or a type.  What we may not read, or call, is a matter of
// grants, and NULLs may make a function fail in other ways.
bool is_for_want_of_a_name(const Error& error) {
  return error.code == "42883" || error.code == "42P01" || error.code == "42704";
}

}  // namespace

Result<std::vector<BrokenFunction>> find_broken_functions(PostgresConnection& connection,
                                                          const std::vector<TableName>& tables,
                                                          FunctionFails known) {
  const NameArrays arrays(tables);
  const bool writes = connection.options().side == "target";
  LOCKSTEP_ASSIGN(const PgResult rows,
                  connection.ask(kFunctions, {{.value = arrays.schemas},
                                              {.value = arrays.tables},
                                              {.value = writes ? "true" : "false"}}));
  std::vector<BrokenFunction> broken;
  for (int i = 0; i < PQntuples(rows.get()); ++i) {
    std::string why;
    if (known == FunctionFails::Probe) {
      const auto probed = connection.run(probe_sql(rows, i));
      if (probed || !is_for_want_of_a_name(probed.error())) continue;
      why = fmt::format(" ({})", probed.error().message);
    }
    broken.push_back({{text_field(rows, i, 0), text_field(rows, i, 1)},
                      fmt::format("{} calls function {}, which fails under the empty "
                                  "search_path of lockstep's sessions{}",
                                  field(rows, i, 2), field(rows, i, 5), why),
                      text_field(rows, i, 6)});
  }
  return broken;
}

}  // namespace lockstep
