// PostgresReader: what `explain-row` asks of single rows.
#include <fmt/format.h>

#include "connectors/postgres/source/reader.h"
#include "connectors/postgres/wire/rows.h"

namespace lockstep {
namespace {

// A number that is stored with a row may mean another transaction of this many ids later.
constexpr Xid kXidsApart = Xid{1} << 31;

// What the server stores is what was typed, not the beginning of it.
bool is_cut(const Column& column, std::string_view typed, std::string_view stored) {
  const TypeKind kind = column.type.kind;
  if (kind != TypeKind::Varchar && kind != TypeKind::Bpchar) return false;
  while (kind == TypeKind::Bpchar && typed.ends_with(' ')) typed.remove_suffix(1);
  return stored.size() < typed.size();
}

}  // namespace

Result<std::string> PostgresReader::parse_value(const TableMap& table, std::size_t i,
                                                const std::string& text) {
  const Column& column = table.source_column(table.key[i]);
  const bool as_text = key_parameter_type(table, i) == kTextOid;
  const std::string sql =
      fmt::format("SELECT $1::pg_catalog.text::{0}{1}, $1::pg_catalog.text::{0}::pg_catalog.text",
                  column.type.base_sql, as_text ? "::pg_catalog.text" : "");
  auto row = connection_.run(sql, {{.value = text}}, true);
  if (!row && row.error().reaction == Reaction::Retry) return fail(std::move(row).error());
  if (!row || is_cut(column, text, field(*row, 0, 1)))
    return fail(Reaction::Halt,
                fmt::format("'{}' is no value of {}, the {} of the key of {}", text, column.name,
                            column.type.sql, table.text()),
                ExitCode::Usage);
  std::string cell;
  append_value(cell, field(*row, 0, 0));
  return cell;
}

Result<std::string> PostgresReader::parse_key(const TableMap& table,
                                              std::span<const std::string> texts) {
  CHECK(reading_ == Reading::Nothing && !open_ && texts.size() == table.key.size());
  LOCKSTEP_TRY(ready());
  LOCKSTEP_TRY(prepare_session(table));
  std::string key;
  for (std::size_t i = 0; i < texts.size(); ++i) {
    LOCKSTEP_ASSIGN(const std::string cell, parse_value(table, i, texts[i]));
    key += cell;
  }
  return key;
}

Result<PgResult> PostgresReader::ask_of_keys(const TableMap& table, const std::string& sql,
                                             std::span<const std::string> keys) {
  CHECK(reading_ == Reading::Nothing);
  LOCKSTEP_TRY(ready());
  LOCKSTEP_TRY(prepare_session(table));
  std::vector<PgParam> params;
  for (const std::string& key : keys) {
    if (!well_formed_cells(key, table.key.size()))
      return fail(Reaction::Halt, table.text() + ": a stored key does not fit the table's key");
    CellReader cells(key);
    for (std::size_t i = 0; i < table.key.size(); ++i)
      params.push_back(
          {.value = cells.next().bytes, .binary = true, .type = key_parameter_type(table, i)});
  }
  auto rows = connection_.run(sql, params);
  if (!rows)
    return fail(for_table(std::move(rows).error()).during("while reading " + table.text()));
  return rows;
}

Result<std::optional<RowWriter>> PostgresReader::writer_of(const TableMap& table,
                                                           const std::string& key) {
  LOCKSTEP_ASSIGN(const PgResult rows, ask_of_keys(table, writer_query(table), {&key, 1}));
  if (PQntuples(rows.get()) == 0) return std::optional<RowWriter>();
  RowWriter writer;
  const Xid end = number_field<Xid>(rows, 0, 2);
  writer.commit_us = number_field<std::int64_t>(rows, 0, 1);
  if (end < kXidsApart || writer.commit_us != 0)
    writer.xid = widen_xid(number_field<std::uint32_t>(rows, 0, 0), end);
  return std::optional(writer);
}

Result<bool> PostgresReader::is_before(const TableMap& table, const std::string& key,
                                       const std::string& other) {
  const std::vector<std::string> keys{key, other};
  LOCKSTEP_ASSIGN(const PgResult row, ask_of_keys(table, before_query(table), keys));
  return bool_field(row, 0, 0);
}

}  // namespace lockstep
