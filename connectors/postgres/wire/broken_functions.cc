#include "connectors/postgres/wire/broken_functions.h"

#include <fmt/format.h>

#include "connectors/postgres/wire/catalog.h"

namespace lockstep {
namespace {

// A body in the SQL standard's form (14) was resolved when the function was made.  $3: with what
// only a statement that writes evaluates.  The last column is the first name of a function, table
// or type, or an operator, that stands in the body without its schema and that PostgreSQL itself
// does not have.
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
  JOIN pg_type t ON t.oid = a.atttypid JOIN pg_constraint k ON k.contypid = t.oid WHERE $3),
names AS (
  SELECT oid, proname AS name, pronamespace AS schema, '[:alnum:]_$' AS part FROM pg_proc
  UNION ALL SELECT oid, relname, relnamespace, '[:alnum:]_$' FROM pg_class
  WHERE relkind IN ('r', 'p', 'v', 'm', 'f', 'S', 'c')
  UNION ALL SELECT oid, typname, typnamespace, '[:alnum:]_$' FROM pg_type
  WHERE typtype <> 'c' AND typelem = 0
  UNION ALL SELECT oid, oprname, oprnamespace, '+*/<>=~!@#%^&|`?-' FROM pg_operator),
words AS MATERIALIZED (
  SELECT n.oid, n.name::text,
         format('(^|[^.%s])["]?%s($|[^%s])', n.part,
                regexp_replace(n.name, '([^[:alnum:]_])', '\\\1', 'g'), n.part) AS pattern
  FROM names n JOIN pg_namespace s ON s.oid = n.schema
  WHERE s.nspname NOT IN ('pg_catalog', 'information_schema') AND s.nspname NOT LIKE 'pg\_t%'
  AND NOT EXISTS (SELECT FROM names o WHERE o.name = n.name
                  AND o.schema = 'pg_catalog'::regnamespace)),
texts AS MATERIALIZED (  -- Once a function, and no pattern of a name that is nowhere in it.
  SELECT p.oid, (SELECT min(w.name) FROM words w WHERE w.oid <> p.oid
                 AND strpos(lower(p.prosrc), lower(w.name)) > 0 AND p.prosrc ~* w.pattern) AS word
  FROM pg_proc p JOIN pg_language g ON g.oid = p.prolang
  WHERE $4 AND g.lanname NOT IN ('internal', 'c') AND p.oid IN (
    SELECT d.refobjid FROM calls c JOIN pg_depend d ON d.classid = c.catalog AND d.objid = c.oid
    WHERE d.refclassid = 'pg_proc'::regclass))
SELECT c.schema, c.name, c.what, c.relid::regclass, c.expressions, p.oid::regprocedure,
       format('ALTER FUNCTION %s SET search_path = %I, pg_temp', p.oid::regprocedure, f.nspname),
       coalesce(w.word, '')
FROM calls c
JOIN pg_depend d ON d.classid = c.catalog AND d.objid = c.oid
  AND d.refclassid = 'pg_proc'::regclass
JOIN pg_proc p ON p.oid = d.refobjid
JOIN pg_namespace f ON f.oid = p.pronamespace
JOIN pg_language g ON g.oid = p.prolang
LEFT JOIN texts w ON w.oid = p.oid
WHERE g.lanname NOT IN ('internal', 'c') AND to_jsonb(p)->>'prosqlbody' IS NULL
  AND NOT EXISTS (SELECT FROM unnest(p.proconfig) s WHERE s LIKE 'search_path=%')
ORDER BY c.place, 3, 6)";

// Evaluates the expressions over a row that is there, or over one of NULLs: whether each of them
// has a value.  A function that is STRICT is not called with NULLs.
std::string probe_sql(const PgResult& rows, int row) {
  return fmt::format(
      "SELECT num_nulls({}) = 0 FROM (SELECT) AS one LEFT JOIN ONLY {} ON true LIMIT 1",
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
  const bool suspects = known == FunctionFails::Suspected;
  LOCKSTEP_ASSIGN(const PgResult rows,
                  connection.ask(kFunctions, {{.value = arrays.schemas},
                                              {.value = arrays.tables},
                                              {.value = writes ? "true" : "false"},
                                              {.value = suspects ? "true" : "false"}}));
  std::vector<BrokenFunction> broken;
  for (int i = 0; i < PQntuples(rows.get()); ++i) {
    std::string how = "which fails under the empty search_path of lockstep's sessions";
    bool certain = true;
    if (known != FunctionFails::Assumed) {
      const auto probed = connection.run(probe_sql(rows, i));
      certain = !probed && is_for_want_of_a_name(probed.error());
      const bool was_called = probed && bool_field(*probed, 0, 0);
      const std::string name = text_field(rows, i, 7);
      if (!certain && (!suspects || was_called || name.empty())) continue;
      how = certain ? fmt::format("{} ({})", how, probed.error().message)
                    : fmt::format(
                          "whose text has {} without a schema: if that is a name there, it "
                          "fails under the empty search_path of lockstep's sessions",
                          name);
    }
    broken.push_back(
        {{text_field(rows, i, 0), text_field(rows, i, 1)},
         fmt::format("{} calls function {}, {}", field(rows, i, 2), field(rows, i, 5), how),
         text_field(rows, i, 6),
         certain});
  }
  return broken;
}

}  // namespace lockstep
