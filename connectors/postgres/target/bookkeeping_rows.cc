// The rows of the bookkeeping as a whole run, status and `quarantine` read and edit them.
#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <map>

#include "connectors/postgres/source/stream.h"
#include "connectors/postgres/target/bookkeeping.h"
#include "connectors/postgres/target/bookkeeping_schema.h"
#include "connectors/postgres/wire/catalog.h"
#include "connectors/postgres/wire/first_words.h"
#include "connectors/postgres/wire/rows.h"
#include "pipeline/tables/translate.h"

namespace lockstep {
namespace {

constexpr const char* kReplacedTargets = R"(
SELECT id FROM unnest($1::int[], $2::oid[], $3::text[], $4::text[]) w(id, relation, schema, name)
WHERE NOT EXISTS (SELECT FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
                  WHERE c.oid = w.relation AND n.nspname = w.schema AND c.relname = w.name)
UNION
SELECT id FROM unnest($5::int[], $6::oid[], $7::int[], $8::text[]) w(id, relation, number, name)
WHERE NOT EXISTS (SELECT FROM pg_attribute a
                  WHERE a.attrelid = w.relation AND a.attnum = w.number AND a.attname = w.name)
ORDER BY 1)";

// By the sessions that the bookkeeping knows.  Who holds a lock is told to everybody, what it does
// only to pg_read_all_stats.
constexpr const char* kLockHolders = R"(
WITH ours AS (SELECT a.pid FROM {} s JOIN pg_stat_activity a
              ON a.pid = s.pid AND a.backend_start = s.backend_start WHERE s.migration = $1),
waiting AS (SELECT DISTINCT unnest(pg_blocking_pids(a.pid)) AS holder
            FROM ours JOIN pg_stat_activity a USING (pid) WHERE a.wait_event_type = 'Lock')
SELECT w.holder, coalesce(h.application_name, ''), coalesce(h.state, ''),
       to_char(h.xact_start AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"'), h.query,
       current_user
FROM waiting w LEFT JOIN pg_stat_activity h ON h.pid = w.holder
WHERE w.holder NOT IN (SELECT pid FROM ours) ORDER BY h.xact_start, w.holder LIMIT 3)";

template <typename Number>
Number number(std::string_view text) {
  Number value = 0;
  std::from_chars(text.data(), text.data() + text.size(), value);
  return value;
}

// The bytes behind bytea's hex form "\x...".
std::string bytes_of(std::string_view hex) {
  std::string bytes;
  for (std::size_t i = 2; i + 1 < hex.size(); i += 2) {
    unsigned value = 0;
    std::from_chars(hex.data() + i, hex.data() + i + 2, value, 16);
    bytes += static_cast<char>(value);
  }
  return bytes;
}

std::optional<std::string> bound_of(const PgResult& rows, int row, int column) {
  if (is_null(rows, row, column)) return std::nullopt;
  return bytes_of(field(rows, row, column));
}

std::string holder_text(const PgResult& rows, int row) {
  if (field(rows, row, 0) == "0") return "a prepared transaction (see pg_prepared_xacts)";
  std::string text = fmt::format("pid {}", field(rows, row, 0));
  if (const auto name = field(rows, row, 1); !name.empty()) text += fmt::format(" ({})", name);
  const std::string_view state = field(rows, row, 2);
  if (state.empty())
    return text + fmt::format(" (GRANT pg_monitor TO {} shows its statement)", field(rows, row, 5));
  text += fmt::format(", {}", state);
  if (!is_null(rows, row, 3)) text += fmt::format(", transaction since {}", field(rows, row, 3));
  return text + ": " + first_words(field(rows, row, 4));
}

TableName table_name(const PgResult& rows, int row) {
  return {std::string(field(rows, row, 0)), std::string(field(rows, row, 1))};
}

}  // namespace

Result<Claim> Bookkeeping::read() {
  Claim claim;
  LOCKSTEP_TRY(run("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"));
  Status all = read_all(claim);
  if (all.has_value()) {
    LOCKSTEP_ASSIGN(const PgResult fence,
                    run(fmt::format("SELECT epoch FROM {} WHERE {}", table("fence"),
                                    of_migration(options_.name))));
    if (PQntuples(fence.get()) == 1) claim.epoch = number<std::uint64_t>(field(fence, 0, 0));
    LOCKSTEP_TRY(run("COMMIT"));
    return claim;
  }
  connection_.close();
  return fail(std::move(all).error());
}

Status Bookkeeping::read_all(Claim& claim) {
  LOCKSTEP_TRY(read_start(claim));
  LOCKSTEP_TRY(read_mappings(claim));
  LOCKSTEP_TRY(read_progress(claim));
  LOCKSTEP_TRY(read_chunks(claim));
  LOCKSTEP_ASSIGN(claim.debts, count_debts());
  return {};
}

Status Bookkeeping::read_start(Claim& claim) {
  LOCKSTEP_ASSIGN(const PgResult rows,
                  run(fmt::format("SELECT source_system, source_timeline, target_system,"
                                  " target_timeline, stream_kind, stream_name, start_xid, lanes"
                                  " FROM {} WHERE {}",
                                  table("start"), of_migration(options_.name))));
  if (PQntuples(rows.get()) == 0) return {};
  claim.start =
      StartFacts{std::string(field(rows, 0, 0)), number<std::uint32_t>(field(rows, 0, 1)),
                 std::string(field(rows, 0, 2)), number<std::uint32_t>(field(rows, 0, 3)),
                 std::string(field(rows, 0, 4)), std::string(field(rows, 0, 5)),
                 number<Xid>(field(rows, 0, 6)), number<std::uint32_t>(field(rows, 0, 7))};
  return {};
}

Status Bookkeeping::read_mappings(Claim& claim) {
  LOCKSTEP_ASSIGN(const PgResult rows,
                  run(fmt::format("SELECT source_schema, source_table, fingerprint, state, reason,"
                                  " horizon_major, horizon_minor, files FROM {} WHERE {}"
                                  " ORDER BY source_schema, source_table",
                                  table("mapping"), of_migration(options_.name))));
  for (int row = 0; row < PQntuples(rows.get()); ++row)
    claim.mappings.push_back(
        {table_name(rows, row),
         std::string(field(rows, row, 2)),
         std::string(field(rows, row, 3)),
         std::string(field(rows, row, 4)),
         {number<std::uint64_t>(field(rows, row, 5)), number<std::uint64_t>(field(rows, row, 6))},
         std::string(field(rows, row, 7))});
  return {};
}

Status Bookkeeping::read_progress(Claim& claim) {
  LOCKSTEP_ASSIGN(const PgResult rows,
                  run(fmt::format("SELECT stream, lane, major, minor, last_xid, max_xid, epoch,"
                                  " batch FROM {} WHERE {} ORDER BY stream, lane",
                                  table("progress"), of_migration(options_.name))));
  for (int row = 0; row < PQntuples(rows.get()); ++row) {
    const auto at = [&](int column) { return number<std::uint64_t>(field(rows, row, column)); };
    claim.progress.push_back({{std::string(field(rows, row, 0)),
                               static_cast<std::uint32_t>(at(1)),
                               {at(2), at(3)},
                               at(4),
                               at(5)},
                              at(6),
                              at(7)});
  }
  return {};
}

Status Bookkeeping::read_chunks(Claim& claim) {
  LOCKSTEP_ASSIGN(
      const PgResult rows,
      run(fmt::format("SELECT source_schema, source_table, first_chunk, last_chunk, lower_bound,"
                      " upper_bound, rows FROM {} WHERE {}"
                      " ORDER BY source_schema, source_table, first_chunk",
                      table("chunk"), of_migration(options_.name))));
  for (int row = 0; row < PQntuples(rows.get()); ++row) {
    ChunkMark mark;
    mark.first = number<std::uint64_t>(field(rows, row, 2));
    mark.last = number<std::uint64_t>(field(rows, row, 3));
    mark.range = {bound_of(rows, row, 4), bound_of(rows, row, 5)};
    mark.rows = number<std::uint64_t>(field(rows, row, 6));
    claim.chunks.push_back({table_name(rows, row), std::move(mark)});
  }
  return {};
}

std::unexpected<Error> target_lost(std::string_view what) {
  return fail(Error{Reaction::Halt,
                    fmt::format("the target has lost {}: it was restored, or its disk did not keep "
                                "it; the next start goes on from what it has",
                                what),
                    ExitCode::Temporary, "target_history"});
}

// Scanners have no progress, but what they have committed lies in a log that once was longer.
Status Bookkeeping::still_has(const std::function<std::vector<ProgressRow>()>& committed) {
  LOCKSTEP_ASSIGN(const PgResult log,
                  run("SELECT pg_current_wal_insert_lsn(), pg_current_wal_flush_lsn()"));
  LOCKSTEP_ASSIGN(const Lsn end, parse_lsn(field(log, 0, 0)));
  LOCKSTEP_ASSIGN(const Lsn flushed, parse_lsn(field(log, 0, 1)));
  if (end < flushed_)
    return target_lost(
        fmt::format("a part of its log, which ends at {} and was on its disk up to {}",
                    lsn_text(end), lsn_text(flushed_)));
  flushed_ = std::max(flushed_, flushed);
  const std::uint64_t session = sessions_;
  if (session == checked_session_) return {};
  const std::vector<ProgressRow> rows = committed();
  Claim now;
  LOCKSTEP_TRY(read_progress(now));
  std::map<std::pair<std::string, std::uint32_t>, Position> stored;
  for (const StoredProgress& one : now.progress)
    stored[{one.row.stream, one.row.lane}] = one.row.position;
  const std::string own = std::string(kDirectStream) + "/";
  for (const ProgressRow& row : rows) {
    auto found = stored.find({row.stream, row.lane});
    // A table's own progress goes once it is where the stream is, maybe while this looks.
    if (found == stored.end() && row.stream.starts_with(own))
      found = stored.find({std::string(kDirectStream), row.lane});
    if (found == stored.end() || found->second < row.position)
      return target_lost(fmt::format("what lane {} of lockstep had committed", row.lane));
  }
  if (sessions_ == session) checked_session_ = session;
  return {};
}

Result<std::vector<StoredDebts>> Bookkeeping::count_debts() {
  LOCKSTEP_ASSIGN(
      const PgResult rows,
      run(fmt::format("SELECT source_schema, source_table,"
                      " count(*) FILTER (WHERE state = 'open'),"
                      " count(*) FILTER (WHERE state = 'quarantined'),"
                      " count(*) FILTER (WHERE state = 'dropped'),"
                      " coalesce(min(nullif(commit_us, 0)) FILTER (WHERE state = 'open'), 0)"
                      " FROM {} WHERE {} GROUP BY 1, 2 ORDER BY 1, 2",
                      table("debt"), of_migration(options_.name))));
  std::vector<StoredDebts> debts;
  for (int row = 0; row < PQntuples(rows.get()); ++row)
    debts.push_back({table_name(rows, row), number<std::uint64_t>(field(rows, row, 2)),
                     number<std::uint64_t>(field(rows, row, 3)),
                     number<std::uint64_t>(field(rows, row, 4)),
                     number<std::int64_t>(field(rows, row, 5))});
  return debts;
}

Result<std::vector<std::string>> Bookkeeping::lock_holders() {
  LOCKSTEP_ASSIGN(const PgResult rows,
                  run(fmt::format(kLockHolders, table("session")), {{options_.name.migration}}));
  std::vector<std::string> holders;
  for (int i = 0; i < PQntuples(rows.get()); ++i) holders.push_back(holder_text(rows, i));
  return holders;
}

Result<std::vector<TableId>> Bookkeeping::replaced_targets(
    std::span<const TableMap* const> tables) {
  std::vector<std::uint32_t> ids, oids, column_ids, column_oids, numbers;
  std::vector<std::string> schemas, names, columns;
  for (const TableMap* table : tables) {
    ids.push_back(table->id);
    oids.push_back(table->target.oid);
    schemas.push_back(table->target.name.schema);
    names.push_back(table->target.name.table);
    for (std::size_t i = 0; i < table->columns.size(); ++i) {
      column_ids.push_back(table->id);
      column_oids.push_back(table->target.oid);
      numbers.push_back(static_cast<std::uint32_t>(table->target_column(i).attnum));
      columns.push_back(table->target_column(i).name);
    }
  }
  const std::string arrays[] = {oid_array(ids),     oid_array(oids),       text_array(schemas),
                                text_array(names),  oid_array(column_ids), oid_array(column_oids),
                                oid_array(numbers), text_array(columns)};
  std::vector<PgParam> parameters;
  for (const std::string& array : arrays) parameters.push_back({.value = array});
  LOCKSTEP_ASSIGN(const PgResult rows, run(kReplacedTargets, parameters));
  std::vector<TableId> replaced;
  for (int row = 0; row < PQntuples(rows.get()); ++row)
    replaced.push_back(number<TableId>(field(rows, row, 0)));
  return replaced;
}

// The versions first: what is changed before its definition is read is read again the next time.
Result<std::vector<TableSpec>> Bookkeeping::altered_targets(
    std::span<const TableMap* const> tables) {
  std::vector<std::uint32_t> oids;
  std::map<std::uint32_t, TableName> names;
  for (const TableMap* table : tables) {
    oids.push_back(table->target.oid);
    names[table->target.oid] = table->target.name;
  }
  const std::string array = oid_array(oids);
  LOCKSTEP_ASSIGN(const PgResult rows, run(definition_versions_sql(), {{.value = array}}));
  std::map<std::uint32_t, std::uint64_t> versions;
  std::vector<TableName> altered;
  for (int row = 0; row < PQntuples(rows.get()); ++row) {
    const auto oid = number<std::uint32_t>(field(rows, row, 0));
    versions[oid] = number<std::uint64_t>(field(rows, row, 1));
    const auto last = versions_.find(oid);
    if (last == versions_.end() || last->second != versions[oid]) altered.push_back(names.at(oid));
  }
  if (altered.empty()) return std::vector<TableSpec>();
  auto specs = read_definitions(connection_, altered);
  if (specs) versions_ = std::move(versions);
  return specs;
}

// There may be a million.
Result<Quarantined> Bookkeeping::quarantined(std::span<const std::string> ids, std::size_t most) {
  const std::string set_aside = of_migration(options_.name) + " AND state <> 'open'";
  Quarantined found;
  if (!ids.empty()) {
    ArrayBuilder wanted(kTextOid);
    for (const std::string& id : ids) wanted.add(id);
    LOCKSTEP_ASSIGN(found.rows,
                    read_debts(set_aside + " AND encode(key_hash, 'hex') = ANY($1::text[])", most,
                               {{wanted.bytes(), true, kTextArrayOid}}));
    found.total = found.rows.size();
    return found;
  }
  LOCKSTEP_ASSIGN(found.rows, read_debts(set_aside, most));
  LOCKSTEP_ASSIGN(found.groups, quarantine_groups());
  LOCKSTEP_ASSIGN(const PgResult all,
                  run(fmt::format("SELECT count(*) FROM {} WHERE {}", table("debt"), set_aside)));
  found.total = number<std::uint64_t>(field(all, 0, 0));
  return found;
}

Result<std::vector<QuarantineGroup>> Bookkeeping::quarantine_groups() {
  LOCKSTEP_ASSIGN(
      const PgResult rows,
      run(fmt::format("SELECT * FROM (SELECT source_schema, source_table, state, reason, detail,"
                      " count(*), min(encode(key_hash, 'hex')) FROM {} WHERE {} AND state <> 'open'"
                      " GROUP BY 1, 2, 3, 4, 5 ORDER BY 6 DESC LIMIT {}) g ORDER BY 1, 2, 3, 4, 5",
                      table("debt"), of_migration(options_.name), Quarantined::kGroupsMax)));
  std::vector<QuarantineGroup> groups;
  for (int row = 0; row < PQntuples(rows.get()); ++row)
    groups.push_back({table_name(rows, row), std::string(field(rows, row, 2)),
                      std::string(field(rows, row, 3)), std::string(field(rows, row, 4)),
                      number<std::uint64_t>(field(rows, row, 5)),
                      std::string(field(rows, row, 6))});
  return groups;
}

Result<std::optional<QuarantinedRow>> Bookkeeping::find_debt(const TableName& source,
                                                             const Hash128& key) {
  LOCKSTEP_ASSIGN(std::vector<QuarantinedRow> found,
                  read_debts(fmt::format("{} AND key_hash = '\\x{}'",
                                         of_table(options_.name, source), key_hash_text(key)),
                             1));
  if (found.empty()) return std::optional<QuarantinedRow>();
  return std::optional(std::move(found.front()));
}

Result<std::vector<QuarantinedRow>> Bookkeeping::read_debts(const std::string& condition,
                                                            std::size_t most,
                                                            const std::vector<PgParam>& params) {
  LOCKSTEP_ASSIGN(
      const PgResult rows,
      run(fmt::format("SELECT source_schema, source_table, encode(key_hash, 'hex'), key,"
                      " xid, commit_us, reason, state, attempts, detail,"
                      " coalesce(holder, '') FROM {} WHERE {} ORDER BY 1, 2, opened_at, 3 LIMIT {}",
                      table("debt"), condition, most),
          params));
  std::vector<QuarantinedRow> all;
  for (int row = 0; row < PQntuples(rows.get()); ++row)
    all.push_back({std::string(field(rows, row, 2)), table_name(rows, row),
                   bytes_of(field(rows, row, 3)), number<Xid>(field(rows, row, 4)),
                   number<std::int64_t>(field(rows, row, 5)), std::string(field(rows, row, 6)),
                   std::string(field(rows, row, 7)), number<std::uint32_t>(field(rows, row, 8)),
                   std::string(field(rows, row, 9)), std::string(field(rows, row, 10))});
  return all;
}

Status Bookkeeping::retry_refused(const TableName& source) {
  return transact([&]() -> Status {
    LOCKSTEP_TRY(
        run(fmt::format("UPDATE {} SET state = 'open', attempts = 0 WHERE {}"
                        " AND state = 'quarantined' AND reason = 'refused'",
                        table("debt"), of_table(options_.name, source))));
    return {};
  });
}

Result<std::uint64_t> Bookkeeping::retry_quarantined(std::span<const std::string> ids) {
  return set_debt_state("open", ids);
}
Result<std::uint64_t> Bookkeeping::drop_quarantined(std::span<const std::string> ids) {
  return set_debt_state("dropped", ids);
}

Result<std::uint64_t> Bookkeeping::set_debt_state(const std::string& to,
                                                  std::span<const std::string> ids) {
  ArrayBuilder wanted(kTextOid);
  for (const std::string& id : ids) wanted.add(id);
  std::uint64_t changed = 0;
  LOCKSTEP_TRY(transact([&]() -> Status {
    LOCKSTEP_ASSIGN(
        const PgResult rows,
        run(fmt::format("UPDATE {} SET state = {}, attempts = 0 WHERE {} AND state <> {}"
                        " AND state <> 'open' AND (cardinality($1::text[]) = 0 OR"
                        " encode(key_hash, 'hex') = ANY($1::text[]))",
                        table("debt"), quote_literal(to), of_migration(options_.name),
                        quote_literal(to)),
            {{wanted.bytes(), true, kTextArrayOid}}));
    changed = number<std::uint64_t>(PQcmdTuples(rows.get()));
    return {};
  }));
  return changed;
}

// The fence's row goes as well: a process that still runs is fenced by its absence.
Status Bookkeeping::forget_migration() {
  return transact([&]() -> Status {
    for (const std::string& name : bookkeeping_tables())
      LOCKSTEP_TRY(
          run(fmt::format("DELETE FROM {} WHERE {}", table(name), of_migration(options_.name))));
    LOCKSTEP_ASSIGN(const PgResult others,
                    run(fmt::format("SELECT FROM {} LIMIT 1", table("fence"))));
    if (PQntuples(others.get()) > 0) return {};
    for (const std::string& name : bookkeeping_tables())
      LOCKSTEP_TRY(run("DROP TABLE " + table(name)));
    // A schema that was there before, or holds something else, stays.
    LOCKSTEP_TRY(run("SAVEPOINT schema"));
    if (!run("DROP SCHEMA " + quote_identifier(options_.name.schema)))
      LOCKSTEP_TRY(run("ROLLBACK TO SAVEPOINT schema"));
    return {};
  });
}

}  // namespace lockstep
