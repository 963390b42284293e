#include "connectors/postgres/target/sql_guard.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

#include "pipeline/tables/translate.h"

namespace lockstep {
namespace {

std::string raise_if(const std::string& condition) {
  return fmt::format("    IF {} THEN RAISE EXCEPTION '{}'; END IF;\n", condition, kSwallowedMark);
}

std::string rows_left(const StagedTable& table, const std::string& match) {
  return fmt::format("EXISTS (SELECT FROM {} AS t, unnest($1) AS r WHERE {})",
                     own_rows(table.map->target), match);
}

// A whole row that a rule or a generated column does not take.
constexpr std::string_view kDatatypeMismatch = "42804";

constexpr std::string_view kCount = "    GET DIAGNOSTICS ls_n = ROW_COUNT;\n";

}  // namespace

bool is_of_a_row(std::string_view sqlstate) {
  if (sqlstate == kDatatypeMismatch) return true;
  return !sqlstate.empty() && std::ranges::none_of(kNotOfARow, [&](auto prefix) {
    return sqlstate.starts_with(prefix);
  });
}

std::string guarded_upsert(const StagedTable& table) {
  std::string body;
  if (const auto replace = replace_sql(table))
    body = fmt::format("    {};\n{}", *replace, raise_if(rows_left(table, replaced_match(table))));
  const std::string upsert = upsert_sql(table);
  body += fmt::format("    {};\n", upsert);
  // Where nothing can be updated a row that is there already is not counted.
  if (upsert.ends_with("DO NOTHING")) return body;
  return body + std::string(kCount) + raise_if("ls_n <> cardinality($1)");
}

std::string guarded_delete(const StagedTable& table) {
  return fmt::format("    {};\n{}{}", delete_sql(table), kCount,
                     raise_if("ls_n <> cardinality($1) AND " +
                              rows_left(table, key_match(table, KeyPlace::Alone))));
}

std::string guarded_update(const std::string& update) {
  return fmt::format("    FOR ls_opened IN {} LOOP RETURN NEXT; END LOOP;\n", update);
}

std::string create_guard_sql(const std::string& name, const std::vector<std::string>& arrays,
                             const std::string& body) {
  std::vector<std::string> lower;
  std::vector<std::string> upper;
  for (std::size_t i = 1; i <= arrays.size(); ++i) {
    lower.push_back(fmt::format("${}[:ls_half]", i));
    upper.push_back(fmt::format("${}[ls_half + 1:]", i));
  }
  const std::string function = fmt::format(
      R"(
#variable_conflict use_column
DECLARE
  ls_half int4 := cardinality($1) / 2;
BEGIN
  BEGIN
{1}    RETURN;
  EXCEPTION WHEN others OR assert_failure THEN
    GET STACKED DIAGNOSTICS ls_code = RETURNED_SQLSTATE, ls_message = MESSAGE_TEXT,
      ls_schema = SCHEMA_NAME, ls_constraint = CONSTRAINT_NAME;
    IF left(ls_code, 2) = ANY ('{{{4}}}') AND ls_code <> '{5}' THEN RAISE; END IF;
  END;
  IF cardinality($1) = 1 THEN
    ls_opened := NULL;
    ls_n := ls_first;
    RETURN NEXT;
    RETURN;
  END IF;
  RETURN QUERY SELECT * FROM pg_temp.{0}({2}, ls_first);
  RETURN QUERY SELECT * FROM pg_temp.{0}({3}, ls_first + ls_half);
END)",
      name, body, joined(lower, ", "), joined(upper, ", "), fmt::join(kNotOfARow, ","),
      kDatatypeMismatch);
  return fmt::format(
      "CREATE FUNCTION pg_temp.{}({}, ls_first int4, OUT ls_opened bytea, OUT ls_n int4,"
      " OUT ls_code text, OUT ls_message text, OUT ls_schema text, OUT ls_constraint text)"
      " RETURNS SETOF record LANGUAGE plpgsql AS {}",
      name, joined(arrays, ", "), quote_literal(function));
}

std::string guarded_sql(const std::string& name, std::size_t arrays) {
  std::vector<std::string> parameters;
  for (std::size_t i = 1; i <= arrays; ++i) parameters.push_back(fmt::format("${}", i));
  return fmt::format("SELECT * FROM pg_temp.{}({}, 0)", name, joined(parameters, ", "));
}

}  // namespace lockstep
