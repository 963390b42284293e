// Fixture of the target's integration tests: two databases on the server that LOCKSTEP_TEST_TARGET
// names ("host=... port=... dbname=... user=..."), the second one, the source, made here.
//
// A test says what both sides look like in SQL, plans the mapping as a run would, reads rows from
// the source in binary form and hands them to a PostgresTarget.
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <deque>
#include <memory>
#include <string>
#include <vector>

#include "connectors/postgres/target/bookkeeping.h"
#include "connectors/postgres/target/target.h"
#include "connectors/postgres/wire/catalog.h"
#include "pipeline/model/key.h"
#include "pipeline/tables/table_map.h"

namespace lockstep {

inline PostgresOptions test_server(const std::string& dbname) {
  PostgresOptions options;
  options.side = "target";
  options.application_name = "lockstep target_test";
  const char* conninfo = std::getenv("LOCKSTEP_TEST_TARGET");
  PQconninfoOption* parsed = PQconninfoParse(conninfo == nullptr ? "" : conninfo, nullptr);
  for (PQconninfoOption* option = parsed; option != nullptr && option->keyword != nullptr; ++option)
    if (option->val != nullptr && (dbname.empty() || std::string(option->keyword) != "dbname"))
      options.keywords.emplace_back(option->keyword, option->val);
  PQconninfoFree(parsed);
  if (!dbname.empty()) options.keywords.emplace_back("dbname", dbname);
  return options;
}

using TableRun = Run;  // testing::Test has a private member of the name.

// Rows and their keys, kept alive for the writes that borrow them.
struct Rows {
  std::vector<std::string> cells;
  std::vector<std::string> keys;
};

class TargetTest : public testing::Test {
 protected:
  static constexpr const char* kSourceDatabase = "lockstep_target_test_source";

  void SetUp() override {
    if (std::getenv("LOCKSTEP_TEST_TARGET") == nullptr)
      FAIL() << "LOCKSTEP_TEST_TARGET names no server";
    const char* reset =
        "DROP SCHEMA IF EXISTS shop CASCADE; CREATE SCHEMA shop;"
        "CREATE EXTENSION IF NOT EXISTS hstore SCHEMA public;"
        "CREATE EXTENSION IF NOT EXISTS citext SCHEMA public;"
        "CREATE EXTENSION IF NOT EXISTS btree_gist SCHEMA public";
    on_target("DROP SCHEMA IF EXISTS books CASCADE");
    if (text_of(target_, "SELECT count(*) FROM pg_database WHERE datname = '" +
                             std::string(kSourceDatabase) + "'") == "0")
      on_target(std::string("CREATE DATABASE ") + kSourceDatabase);
    // Types made first, so that the OIDs of the tests' own types differ between the servers.
    on_source(std::string(reset) + "; CREATE TYPE shop.filler AS ENUM ('x')");
    on_target(reset);
    const Status created = books().create();
    ASSERT_TRUE(created.has_value()) << created.error().message;
    claim_ = books().claim().value();
  }

  void on_source(const std::string& sql) { must(source_, sql); }
  void on_target(const std::string& sql) { must(target_, sql); }
  // The same tables on both sides.
  void on_both(const std::string& sql) {
    on_source(sql);
    on_target(sql);
  }
  // All rows of a query as text, one string: for comparing the two sides.
  std::string source_text(const std::string& sql) { return text_of(source_, sql); }
  std::string target_text(const std::string& sql) { return text_of(target_, sql); }
  std::string debts() {
    return target_text(
        "SELECT source_table, reason, state, attempts, xid FROM books.debt"
        " ORDER BY 1, 2, 3, 4, xid::text::int8");
  }

  const TableMap& plan(const std::string& table, const TableRule& rule = {},
                       StreamKind stream = StreamKind::Debezium) {
    const auto source = read_tables(source_, {{"shop", table}});
    const auto target = read_tables(target_, {{"shop", table}});
    EXPECT_TRUE(source.has_value() && target.has_value());
    MapOutcome outcome = plan_table(source->at(0), target->at(0), rule, {stream, true, true});
    for (const MapProblem& problem : outcome.problems)
      EXPECT_NE(problem.severity, Severity::Error) << problem.text;
    outcome.map->id = static_cast<TableId>(maps_.size());
    maps_.push_back(std::move(*outcome.map));
    tables_.push_back(&maps_.back());
    return maps_.back();
  }

  // Rows of the source as the pipeline carries them.
  Rows read(const TableMap& map, const std::string& where = "true",
            const std::string& order = "1") {
    std::string columns;
    for (std::size_t i = 0; i < map.columns.size(); ++i)
      columns += (i == 0 ? "" : ", ") + quote_identifier(map.source_column(i).name) +
                 (map.columns[i].plane == Plane::Text ? "::text" : "");
    auto result = source_.run("SELECT " + columns + " FROM " + quoted(map.source.name) + " WHERE " +
                                  where + " ORDER BY " + order,
                              {}, true);
    EXPECT_TRUE(result.has_value()) << result.error().message;
    Rows rows;
    for (int row = 0; row < PQntuples(result->get()); ++row) {
      std::string cells;
      for (int i = 0; i < PQnfields(result->get()); ++i) {
        if (is_null(*result, row, i))
          append_null(cells);
        else
          append_value(cells, field(*result, row, i));
      }
      std::string key;
      extract_key(map, cells, key);
      rows.cells.push_back(std::move(cells));
      rows.keys.push_back(std::move(key));
    }
    return rows;
  }

  // A row without the values of some columns.
  static std::string without(const std::string& row, const std::vector<std::size_t>& columns) {
    std::string partial;
    CellReader cells(row);
    for (std::size_t i = 0; !cells.done(); ++i) {
      const Cell cell = cells.next();
      if (std::ranges::find(columns, i) != columns.end())
        append_unavailable(partial);
      else
        append_cell(partial, cell);
    }
    return partial;
  }

  // Borrows `rows`.
  static TableRun run_of(const TableMap& map, WriteKind kind, const Rows& rows, Xid xid = 100) {
    TableRun run;
    run.table = &map;
    run.kind = kind;
    run.rule = kind == WriteKind::Update ? DebtRule::Keep : DebtRule::Clear;
    for (std::size_t i = 0; i < rows.keys.size(); ++i)
      run.writes.push_back({i < rows.cells.size() ? rows.cells[i] : std::string_view(),
                            rows.keys[i],
                            key_hash(map, rows.keys[i]),
                            xid,
                            1'000'000,
                            DebtReason::None,
                            {}});
    return run;
  }
  // What was read for debts, under a snapshot that sees everything below 1000.
  TableRun settled(const TableMap& map, const Rows& rows) {
    TableRun run = run_of(map, WriteKind::Upsert, rows, 0);
    run.rule = DebtRule::ClearVisible;
    run.holders = Holders::Evict;
    run.snapshot = &late_;
    return run;
  }

  PostgresTargetOptions target_options() const {
    PostgresTargetOptions options;
    options.session.connection = test_server("");
    options.session.bookkeeping = name_;
    options.session.epoch = claim_.epoch;
    return options;
  }
  PostgresTarget& target() {
    if (lane_ == nullptr)
      lane_ = std::make_unique<PostgresTarget>(target_options(), tables_, counts_);
    return *lane_;
  }
  ApplyOutcome apply(std::vector<TableRun> runs) {
    LaneTransaction transaction;
    transaction.runs = std::move(runs);
    transaction.progress = {{"wal", 0, {++position_, 0}, 100, 100}};
    transaction.batch = position_;
    auto outcome = target().apply(transaction);
    EXPECT_TRUE(outcome.has_value()) << outcome.error().message;
    return outcome.has_value() ? *outcome : ApplyOutcome{};
  }
  Bookkeeping& books() {
    if (books_ == nullptr)
      books_ = std::make_unique<Bookkeeping>(BookkeepingOptions{
          test_server(""), name_, std::chrono::milliseconds(500), std::chrono::seconds(10)});
    return *books_;
  }

  const BookkeepingName name_{"books", "shop"};
  const Snapshot late_{1000, 1000, {}};
  Claim claim_;
  TableCounts counts_{64};
  std::deque<TableMap> maps_;  // Addresses stay.
  std::vector<const TableMap*> tables_;
  std::unique_ptr<Bookkeeping> books_;
  std::unique_ptr<PostgresTarget> lane_;
  std::uint64_t position_ = 0;

 private:
  static void must(PostgresConnection& connection, const std::string& sql) {
    const Status opened = connection.open();
    ASSERT_TRUE(opened.has_value()) << opened.error().message;
    const auto result = connection.run(sql);
    ASSERT_TRUE(result.has_value()) << sql << ": " << result.error().message;
  }
  static std::string text_of(PostgresConnection& connection, const std::string& sql) {
    EXPECT_TRUE(connection.open().has_value());
    const auto result = connection.run(sql);
    EXPECT_TRUE(result.has_value()) << sql << ": " << result.error().message;
    std::string text;
    if (!result.has_value()) return text;
    for (int row = 0; row < PQntuples(result->get()); ++row) {
      if (row > 0) text += '\n';
      for (int i = 0; i < PQnfields(result->get()); ++i)
        text += (i == 0 ? "" : "|") +
                (is_null(*result, row, i) ? "NULL" : std::string(field(*result, row, i)));
    }
    return text;
  }

  // A test that waits for what it holds itself fails and says at which statement.
  static constexpr const char* kLockTimeout = "SET lock_timeout = '60s'";
  PostgresConnection source_{with_setup(test_server(kSourceDatabase), kLockTimeout)};
  PostgresConnection target_{with_setup(test_server(""), kLockTimeout)};
};

// With a table of 3000 rows on the source, empty on the target, without secondary constraints.
class DebtTest : public TargetTest {
 protected:
  void SetUp() override {
    TargetTest::SetUp();
    if (IsSkipped()) return;
    on_both(
        "CREATE TABLE shop.t (id int PRIMARY KEY, n int CHECK (n < 100), email text, big text)");
    on_source(
        "INSERT INTO shop.t SELECT i, i % 50, 'm' || i, 'big' || i FROM generate_series(1, 3000) "
        "i");
  }
};

}  // namespace lockstep
