#include "connectors/postgres/target/sql.h"

#include <fmt/format.h>

#include <algorithm>

#include "pipeline/model/row.h"
#include "pipeline/tables/translate.h"

namespace lockstep {
namespace {

std::string staged_name(std::size_t column) { return fmt::format("c{}", column); }

std::string target_column(const TableMap& map, std::size_t column) {
  return quote_identifier(map.target_column(column).name);
}

std::string constant_column(const TableMap& map, const Constant& constant) {
  return quote_identifier(map.target.columns[constant.target].name);
}

bool is_key(const TableMap& map, std::size_t column) {
  return std::ranges::find(map.key, column) != map.key.end();
}

// Equal keys can differ in form (1.0 and 1.00): then the key's columns are written as well.
bool key_form_varies(const TableMap& map, std::size_t column) {
  const auto found = std::ranges::find(map.key, column);
  const auto position = static_cast<std::size_t>(found - map.key.begin());
  return map.canonical[position] != CanonicalRule::Bytes;
}

// PostgreSQL refuses to update such a column.
bool fixed_identity(const TableMap& map, std::size_t column) {
  return map.target_column(column).identity == Identity::Always;
}

bool updatable(const TableMap& map, std::size_t column) {
  if (fixed_identity(map, column)) return false;
  return !is_key(map, column) || key_form_varies(map, column);
}

// A staged value as the source of an assignment, which does the cast itself; from text there is an
// input function but no assignment cast.
std::string assigned(const StagedTable& table, std::size_t column) {
  std::string value = "r." + staged_name(column);
  if (table.map->columns[column].plane == Plane::Binary) return value;
  return fmt::format("CAST({} AS {})", value, table.columns[column].target);
}

std::string compared(const StagedTable& table, std::size_t column, const std::string& value) {
  const StagedColumn& types = table.columns[column];
  if (types.staged == types.target) return value;
  return fmt::format("CAST({} AS {})", value, types.target);
}

// A debt of a delete that could not be read, or that the target refused or swallowed, stays one
// where its row is only to be read again: absent, the target's row still has to go (I17).
constexpr std::string_view kStaysOfADelete =
    "d.reason = 'unreadable' OR d.reason IN ('refused', 'swallowed', 'divergent')"
    " AND excluded.reason IN ('doubtful', 'missing_row', 'snapshot', 'divergent_alone')";

// What happens when the key has a debt already.  `keep`: a condition under which it stays as it is
// but for its reason; "" for never.
std::string debt_conflict(std::string_view keep) {
  const auto unless_kept = [&](std::string_view column, std::string_view value) {
    return keep.empty() ? std::string(value)
                        : fmt::format("CASE WHEN {} THEN d.{} ELSE {} END", keep, column, value);
  };
  return fmt::format(
      " ON CONFLICT (migration, source_schema, source_table, key_hash) DO UPDATE SET"
      " key = excluded.key, xid = {}, commit_us = {},"
      " reason = CASE WHEN {} THEN d.reason ELSE excluded.reason END,"
      " detail = CASE WHEN ({}) AND excluded.detail = '' THEN d.detail ELSE excluded.detail END,"
      " holder = excluded.holder, attempts = {},"
      " state = CASE WHEN excluded.state = 'quarantined' THEN 'quarantined'{} ELSE {} END",
      unless_kept("xid",
                  "CASE WHEN d.xid = '0' OR excluded.xid = '0' THEN '0'"
                  " ELSE greatest(d.xid, excluded.xid) END"),
      unless_kept("commit_us",
                  "coalesce(least(nullif(d.commit_us, 0), nullif(excluded.commit_us, 0)), 0)"),
      kStaysOfADelete, kStaysOfADelete,
      keep.empty()
          ? "excluded.attempts"
          : fmt::format("CASE WHEN {} THEN d.attempts + 1 ELSE excluded.attempts END", keep),
      keep.empty() ? ""
                   : fmt::format(" WHEN {} AND d.attempts + 1 >= $12 THEN 'quarantined'", keep),
      unless_kept("state", "'open'"));
}

constexpr std::string_view kSwallowers =
    "SELECT tgrelid FROM pg_trigger WHERE tgrelid = ANY({0}) AND NOT tgisinternal"
    " AND tgenabled IN ('A', 'R') AND tgtype & 3 = 3"  // BEFORE, FOR EACH ROW.
    " UNION ALL SELECT ev_class FROM pg_rewrite WHERE ev_class = ANY({0})"
    " AND ev_enabled IN ('A', 'R') AND is_instead AND ev_type <> '1'";

}  // namespace

std::string key_match(const StagedTable& table, KeyPlace place) {
  const TableMap& map = *table.map;
  std::vector<std::string> terms;
  for (std::size_t i = 0; i < map.key.size(); ++i) {
    const std::size_t at = place == KeyPlace::Alone ? i : map.key[i];
    terms.push_back(fmt::format("t.{} {} {}", target_column(map, map.key[i]), table.key_equals[i],
                                compared(table, map.key[i], "r." + staged_name(at))));
  }
  return joined(terms, " AND ");
}

std::string replaced_match(const StagedTable& table) {
  const TableMap& map = *table.map;
  std::vector<std::string> differs;
  for (std::size_t i = 0; i < map.columns.size(); ++i)
    if (fixed_identity(map, i) && !is_key(map, i))
      differs.push_back(
          fmt::format("t.{} IS DISTINCT FROM r.{}", target_column(map, i), staged_name(i)));
  if (differs.empty()) return {};
  return fmt::format("{} AND ({})", key_match(table, KeyPlace::InRow), joined(differs, " OR "));
}

std::string joined(const std::vector<std::string>& parts, std::string_view separator) {
  return fmt::format("{}", fmt::join(parts, separator));
}

std::string bookkeeping_table(const BookkeepingName& name, const std::string& table) {
  return quoted({name.schema, table});
}

std::string of_migration(const BookkeepingName& name) {
  return "migration = " + quote_literal(name.migration);
}

std::string of_table(const BookkeepingName& name, const TableName& source) {
  return fmt::format("{} AND source_schema = {} AND source_table = {}", of_migration(name),
                     quote_literal(source.schema), quote_literal(source.table));
}

std::string create_row_type_sql(const std::string& name, const std::vector<std::string>& types) {
  std::vector<std::string> attributes;
  for (std::size_t i = 0; i < types.size(); ++i)
    attributes.push_back(staged_name(i) + " " + types[i]);
  return fmt::format("CREATE TYPE pg_temp.{} AS ({})", quote_identifier(name),
                     joined(attributes, ", "));
}

std::string insert_sql(const StagedTable& table, const std::string& relation) {
  const TableMap& map = *table.map;
  std::vector<std::string> columns;
  std::vector<std::string> values;
  for (std::size_t i = 0; i < map.columns.size(); ++i) {
    columns.push_back(target_column(map, i));
    values.push_back(assigned(table, i));
  }
  for (const Constant& constant : map.constants) {
    columns.push_back(constant_column(map, constant));
    values.push_back(constant_sql(map, constant));
  }
  return fmt::format(
      "INSERT INTO {} AS t ({}) OVERRIDING SYSTEM VALUE SELECT {} FROM unnest($1) AS r", relation,
      joined(columns, ", "), joined(values, ", "));
}

namespace {

// I2: where equal keys have equal bytes, a row that is hit under other bytes is another row of the
// source, by an equality that the target was given since.  The subquery fails as PostgreSQL does
// when one statement has both (21000).  Collations alone can change so.
std::string same_bytes(const TableMap& map) {
  std::vector<std::string> same;
  for (std::size_t i = 0; i < map.key.size(); ++i) {
    if (map.canonical[i] != CanonicalRule::Bytes || map.target_column(map.key[i]).collation.empty())
      continue;
    same.push_back(
        fmt::format("CAST(t.{0} AS pg_catalog.text) COLLATE pg_catalog.\"C\" OPERATOR(pg_catalog.=)"
                    " CAST(excluded.{0} AS pg_catalog.text) COLLATE pg_catalog.\"C\"",
                    target_column(map, map.key[i])));
  }
  if (same.empty()) return "";
  return fmt::format(
      " WHERE CASE WHEN {} THEN true ELSE (SELECT true FROM pg_catalog.generate_series(1, 2)) END",
      joined(same, " AND "));
}

}  // namespace

std::string upsert_sql(const StagedTable& table) {
  const TableMap& map = *table.map;
  std::vector<std::string> sets;
  std::vector<std::string> keys;
  const auto set = [&](const std::string& column) {
    sets.push_back(fmt::format("{0} = excluded.{0}", column));
  };
  for (std::size_t i = 0; i < map.columns.size(); ++i)
    if (updatable(map, i)) set(target_column(map, i));
  for (const Constant& constant : map.constants) set(constant_column(map, constant));
  // A row that is hit is counted, also when there is nothing to change.
  const auto writable = std::ranges::find_if_not(
      map.key, [&](std::size_t column) { return fixed_identity(map, column); });
  if (sets.empty() && writable != map.key.end()) set(target_column(map, *writable));
  for (const std::size_t column : map.key) keys.push_back(target_column(map, column));
  const std::string guard = same_bytes(map);
  const std::string action = sets.empty() ? "NOTHING" : "UPDATE SET " + joined(sets, ", ") + guard;
  return insert_sql(table, quoted(map.target.name)) +
         fmt::format(" ON CONFLICT ({}) DO {}", joined(keys, ", "), action);
}

std::optional<std::string> replace_sql(const StagedTable& table) {
  const std::string match = replaced_match(table);
  if (match.empty()) return std::nullopt;
  return fmt::format("DELETE FROM {} AS t USING unnest($1) AS r WHERE {}",
                     own_rows(table.map->target), match);
}

std::string swallowers_sql() {
  return fmt::format(
      "WITH tree AS (SELECT $1::regclass AS relid UNION SELECT relid FROM pg_partition_tree($1)"
      ") SELECT array_agg(relid::oid), EXISTS ({}) FROM tree",
      fmt::format(kSwallowers, "ARRAY(SELECT relid::oid FROM tree)"));
}

std::string no_swallowers_sql() {
  return fmt::format(
      "SELECT CAST('lockstep: swallows ' || s.tgrelid AS int4) FROM ({}) AS s LIMIT 1",
      fmt::format(kSwallowers, "$1"));
}

std::string update_sql(const BookkeepingName& name, const StagedTable& table,
                       const ColumnMask& mask) {
  const TableMap& map = *table.map;
  std::vector<std::string> staged;
  std::vector<std::string> sets;
  std::string match = key_match(table, KeyPlace::InRow);
  for (std::size_t i = 0; i < map.columns.size(); ++i) {
    staged.push_back(staged_name(i));
    if (!mask[i]) continue;
    if (updatable(map, i))
      sets.push_back(target_column(map, i) + " = " + assigned(table, i));
    else if (!is_key(map, i))  // Another identity: a row to read again, which replaces it.
      match += fmt::format(" AND t.{} = r.{}", target_column(map, i), staged_name(i));
  }
  const std::string rows =
      fmt::format("unnest($1) WITH ORDINALITY AS r({}, n)", joined(staged, ", "));
  const std::string hit =
      sets.empty()
          ? fmt::format("SELECT r.n FROM {} AS t, {} WHERE {}", own_rows(map.target), rows, match)
          : fmt::format("UPDATE {} AS t SET {} FROM {} WHERE {} RETURNING r.n",
                        own_rows(map.target), joined(sets, ", "), rows, match);
  return fmt::format(
      "WITH u AS ({}) INSERT INTO {} AS d"
      " (migration, source_schema, source_table, key_hash, key, xid, commit_us, reason)"
      " SELECT {}, {}, {}, w.key_hash, w.key, w.xid, w.commit_us, 'missing_row'"
      " FROM unnest($2::bytea[], $3::bytea[], $4::xid8[], $5::int8[])"
      " WITH ORDINALITY AS w(key_hash, key, xid, commit_us, n)"
      " WHERE w.n NOT IN (SELECT u.n FROM u){} RETURNING d.key_hash",
      hit, bookkeeping_table(name, "debt"), quote_literal(name.migration),
      quote_literal(map.source.name.schema), quote_literal(map.source.name.table),
      debt_conflict(""));
}

std::string delete_sql(const StagedTable& table) {
  return fmt::format("DELETE FROM {} AS t USING unnest($1) AS r WHERE {}",
                     own_rows(table.map->target), key_match(table, KeyPlace::Alone));
}

std::string find_sql(const StagedTable& table) {
  return fmt::format("SELECT FROM unnest($1) AS r, {} AS t WHERE {} LIMIT 1",
                     own_rows(table.map->target), key_match(table, KeyPlace::Alone));
}

std::string copy_sql(const TableMap& table) {
  std::vector<std::string> columns;
  for (std::size_t i = 0; i < table.columns.size(); ++i) columns.push_back(target_column(table, i));
  for (const Constant& constant : table.constants)
    columns.push_back(constant_column(table, constant));
  return fmt::format("COPY {} ({}) FROM STDIN (FORMAT binary)", quoted(table.target.name),
                     joined(columns, ", "));
}

std::string constants_sql(const TableMap& table) {
  if (table.constants.empty()) return {};
  std::vector<std::string> values;
  for (const Constant& constant : table.constants) values.push_back(constant_sql(table, constant));
  return "SELECT " + joined(values, ", ");
}

std::string truncate_sql(const TableMap& table) { return "TRUNCATE " + own_rows(table.target); }

std::string delete_all_sql(const TableMap& table) {
  return "DELETE FROM " + own_rows(table.target);
}

namespace {

// Key by key, whatever the planner thinks of the table's size: a plan that was made while it held
// no debts would read all that there ever are, for each batch.
std::string clear_sql(const BookkeepingName& name, std::string_view condition) {
  return fmt::format(
      "DELETE FROM {0} AS d WHERE d.ctid = ANY (ARRAY("
      "SELECT f.id FROM unnest($3::bytea[]) AS h(key_hash) CROSS JOIN LATERAL"
      " (SELECT x.ctid AS id FROM {0} AS x WHERE x.migration = {1} AND x.source_schema = $1"
      " AND x.source_table = $2 AND x.key_hash = h.key_hash{2} OFFSET 0) AS f))",
      bookkeeping_table(name, "debt"), quote_literal(name.migration), condition);
}

}  // namespace

std::string clear_debts_sql(const BookkeepingName& name) { return clear_sql(name, ""); }

// pg_visible_in_snapshot takes 0 for an old transaction, but here it means "unknown".
std::string clear_visible_debts_sql(const BookkeepingName& name) {
  return clear_sql(
      name,
      " AND CASE WHEN x.xid = '0' THEN $5 ELSE pg_visible_in_snapshot(x.xid, $4::pg_snapshot) END"
      " AND ($6 OR x.reason NOT IN ('unreadable', 'refused', 'swallowed', 'divergent'))");
}

std::string open_debts_sql(const BookkeepingName& name) {
  return fmt::format(
      "INSERT INTO {} AS d (migration, source_schema, source_table, key_hash, key, xid, commit_us,"
      " reason, detail, holder, state, attempts)"
      " SELECT {}, $1, $2, w.key_hash, w.key, w.xid, w.commit_us, w.reason, w.detail,"
      " nullif(w.holder, ''), CASE WHEN w.holder = '' THEN 'open' ELSE 'quarantined' END,"
      " w.attempts FROM unnest($3::bytea[], $4::bytea[], $5::xid8[], $6::int8[], $7::text[],"
      " $8::text[], $9::text[], $10::int4[])"
      " AS w(key_hash, key, xid, commit_us, reason, detail, holder, attempts){}"
      " RETURNING CASE WHEN d.state = 'quarantined' THEN 1 END",
      bookkeeping_table(name, "debt"), quote_literal(name.migration), debt_conflict("$11::bool"));
}

std::string next_debts_sql(const BookkeepingName& name, const TableName& table, std::size_t limit) {
  return fmt::format(
      "SELECT key_hash, key, xid, commit_us, reason, attempts, detail FROM {}"
      " WHERE {} AND state = 'open' ORDER BY attempts, commit_us, key_hash LIMIT {}",
      bookkeeping_table(name, "debt"), of_table(name, table), limit);
}

std::string progress_sql(const BookkeepingName& name) {
  constexpr std::string_view later =
      "CASE WHEN (excluded.major, excluded.minor) >= (p.major, p.minor)";
  return fmt::format(
      "INSERT INTO {} AS p (migration, stream, lane, major, minor, last_xid, max_xid, epoch, batch)"
      " SELECT {}, w.*, $7::int8, $8::int8"
      " FROM unnest($1::text[], $2::int4[], $3::int8[], $4::int8[], $5::xid8[], $6::xid8[]) AS w"
      " ON CONFLICT (migration, stream, lane) DO UPDATE SET"
      " major = {} THEN excluded.major ELSE p.major END,"
      " minor = {} THEN excluded.minor ELSE p.minor END,"
      " last_xid = excluded.last_xid, max_xid = greatest(p.max_xid, excluded.max_xid),"
      " epoch = excluded.epoch, batch = excluded.batch",
      bookkeeping_table(name, "progress"), quote_literal(name.migration), later, later);
}

std::string end_progress_sql(const BookkeepingName& name) {
  return fmt::format(
      "DELETE FROM {} AS p USING unnest($1::text[], $2::int4[]) AS w(stream, lane)"
      " WHERE p.migration = {} AND p.stream = w.stream AND p.lane = w.lane",
      bookkeeping_table(name, "progress"), quote_literal(name.migration));
}

std::string fence_sql(const BookkeepingName& name) {
  return fmt::format(
      "SELECT CASE"
      " WHEN f.epoch IS DISTINCT FROM $1::int8"
      " THEN CAST('{}, epoch ' || coalesce(f.epoch::text, 'none') AS int4)"
      " WHEN $2::int4 NOT IN (0, pg_backend_pid())"
      " THEN CAST('{}, pid ' || pg_backend_pid()::text AS int4)"
      " ELSE pg_backend_pid() END, pg_current_xact_id()"
      " FROM (SELECT (SELECT epoch FROM {} WHERE migration = {}) AS epoch) AS f",
      kFencedMark, kPooledMark, bookkeeping_table(name, "fence"), quote_literal(name.migration));
}

namespace {

std::string lock_sql(const BookkeepingName& name, std::string_view function) {
  const Hash128 hash = hash128(name.schema + '\0' + name.migration, 0);
  return fmt::format("SELECT {}({}, {})", function, kAdvisoryClass,
                     static_cast<std::int32_t>(hash.low & 0x7fffffff));
}

}  // namespace

std::string shared_lock_sql(const BookkeepingName& name) {
  return lock_sql(name, "pg_advisory_xact_lock_shared");
}
std::string exclusive_lock_sql(const BookkeepingName& name) {
  return lock_sql(name, "pg_advisory_xact_lock");
}

std::string mark_chunk_sql(const BookkeepingName& name) {
  return fmt::format(
      "WITH covered AS (DELETE FROM {0} WHERE migration = {1} AND source_schema = $1"
      " AND source_table = $2 AND first_chunk > $3 AND last_chunk <= $4)"
      " INSERT INTO {0} (migration, source_schema, source_table, first_chunk, last_chunk,"
      " lower_bound, upper_bound, rows) VALUES ({1}, $1, $2, $3, $4, $5, $6, $7)"
      " ON CONFLICT (migration, source_schema, source_table, first_chunk) DO UPDATE SET"
      " last_chunk = excluded.last_chunk, lower_bound = excluded.lower_bound,"
      " upper_bound = excluded.upper_bound, rows = excluded.rows, done_at = excluded.done_at",
      bookkeeping_table(name, "chunk"), quote_literal(name.migration));
}

}  // namespace lockstep
