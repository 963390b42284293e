#include "connectors/postgres/wire/index_functions.h"

#include <fmt/format.h>

#include "connectors/postgres/wire/catalog.h"

namespace lockstep {
namespace {

// A body in the SQL standard's form (14) was resolved when the function was made.
constexpr const char* kFunctions = R"(
SELECT w.schema, w.name, i.oid::regclass, x.indrelid::regclass,
       coalesce(pg_get_expr(x.indexprs, x.indrelid), ''),
       coalesce(pg_get_expr(x.indpred, x.indrelid), ''), p.oid::regprocedure,
       format('ALTER FUNCTION %s SET search_path = %I, pg_temp', p.oid::regprocedure, f.nspname)
FROM unnest($1::text[], $2::text[]) WITH ORDINALITY w(schema, name, place)
JOIN pg_namespace n ON n.nspname = w.schema
JOIN pg_class c ON c.relnamespace = n.oid AND c.relname = w.name
CROSS JOIN LATERAL (SELECT c.oid AS relid UNION SELECT relid FROM pg_partition_tree(c.oid)) l
JOIN pg_index x ON x.indrelid = l.relid
JOIN pg_class i ON i.oid = x.indexrelid
JOIN pg_depend d ON d.classid = 'pg_class'::regclass AND d.objid = i.oid
  AND d.refclassid = 'pg_proc'::regclass
JOIN pg_proc p ON p.oid = d.refobjid
JOIN pg_namespace f ON f.oid = p.pronamespace
JOIN pg_language g ON g.oid = p.prolang
WHERE g.lanname NOT IN ('internal', 'c') AND to_jsonb(p)->>'prosqlbody' IS NULL
  AND NOT EXISTS (SELECT FROM unnest(p.proconfig) s WHERE s LIKE 'search_path=%')
ORDER BY w.place, 3, 7)";

// The index's own expressions over a row that is there.
std::string probe_sql(const PgResult& rows, int row) {
  const std::string_view expressions = field(rows, row, 4);
  const std::string_view predicate = field(rows, row, 5);
  return fmt::format("SELECT {}{}{} FROM ONLY {} LIMIT 1", expressions,
                     expressions.empty() || predicate.empty() ? "" : ", ", predicate,
                     field(rows, row, 3));
}

// What we may not read, or call, is a matter of grants.
bool is_for_want_of_a_name(const Error& error) {
  return error.code.starts_with("42") && error.code != "42501";
}

}  // namespace

Result<std::vector<BrokenIndex>> find_broken_indexes(PostgresConnection& connection,
                                                     const std::vector<TableName>& tables,
                                                     FunctionFails known) {
  const NameArrays arrays(tables);
  LOCKSTEP_ASSIGN(const PgResult rows, connection.ask(kFunctions, {{.value = arrays.schemas},
                                                                   {.value = arrays.tables}}));
  std::vector<BrokenIndex> broken;
  for (int i = 0; i < PQntuples(rows.get()); ++i) {
    std::string why;
    if (known == FunctionFails::Probe) {
      const auto probed = connection.run(probe_sql(rows, i));
      if (probed || !is_for_want_of_a_name(probed.error())) continue;
      why = fmt::format(" ({})", probed.error().message);
    }
    broken.push_back({{text_field(rows, i, 0), text_field(rows, i, 1)},
                      fmt::format("index {} calls function {}, which fails under the empty "
                                  "search_path of lockstep's sessions{}",
                                  field(rows, i, 2), field(rows, i, 6), why),
                      text_field(rows, i, 7)});
  }
  return broken;
}

}  // namespace lockstep
