// What the target's session keeps: plans that fit the size of their table, the statements that are
// in use, and itself.
#include <fmt/format.h>

#include "connectors/postgres/target/target_tables.h"
#include "tests/integration/target_fixture.h"

namespace lockstep {
namespace {

using testing::HasSubstr;
using testing::Not;

// A table with a key of two columns, an index on one of them, and nobody who analyses it.
class PlanTest : public TargetTest {
 protected:
  static constexpr int kRows = 20000;

  void SetUp() override {
    TargetTest::SetUp();
    on_both(
        "CREATE TABLE shop.t (tenant int, id int, n bigint GENERATED ALWAYS AS IDENTITY, v text,"
        " w text, PRIMARY KEY (tenant, id)) WITH (autovacuum_enabled = off);"
        "CREATE INDEX t_tenant ON shop.t (tenant)");
    on_target("VACUUM ANALYZE shop.t");
    on_source("INSERT INTO shop.t (tenant, id, v) SELECT i % 3, i, 'v' FROM generate_series(1, " +
              std::to_string(kRows) + ") i");
    map_ = &plan("t");
    session_ = std::make_unique<TargetSession>(target_options().session);
    staged_ = std::make_unique<TargetTables>(*session_, name_, counts_);
    ASSERT_TRUE(session_->open().has_value());
  }
  StatementSpec spec(StatementKind kind, StatementMode mode = StatementMode::Plain) {
    return {
        *map_, kind, mode,
        kind == StatementKind::Update ? ColumnMask{true, true, true, true, false} : ColumnMask()};
  }
  std::string explained(const std::string& execute) {
    const auto rows = session_->connection().run("EXPLAIN EXECUTE " + execute);
    EXPECT_TRUE(rows.has_value()) << rows.error().message;
    std::string text;
    for (int row = 0; rows.has_value() && row < PQntuples(rows->get()); ++row)
      text += std::string(field(*rows, row, 0)) + "\n";
    return text;
  }
  std::string plan_of(StatementKind kind) {
    const Status ready = staged_->prepare(spec(kind));
    EXPECT_TRUE(ready.has_value()) << ready.error().message;
    const bool updates = kind == StatementKind::Update;
    return explained(staged_->prepared(spec(kind)) +
                     (updates ? "(NULL, NULL, NULL, NULL, NULL)" : "(NULL)"));
  }
  // Index entries that all sessions have read; ends the lane's, and with it its plans.
  long read_by_indexes() {
    lane_.reset();
    return std::stol(target_text(
        "SELECT sum(idx_tup_read) FROM pg_stat_user_indexes WHERE schemaname = 'shop'"));
  }

  const TableMap* map_ = nullptr;
  std::unique_ptr<TargetSession> session_;
  std::unique_ptr<TargetTables> staged_;
};

// Issue E, row 17.
TEST_F(PlanTest, EveryStatementLooksKeysUpOnceItsTableHasGrown) {
  const StatementKind kinds[] = {StatementKind::Update, StatementKind::Delete,
                                 StatementKind::Replace, StatementKind::Find};
  for (const StatementKind kind : kinds) plan_of(kind);
  int before = 0;
  for (const int rows : {60, 3000, kRows}) {
    // Whatever makes the server plan anew by itself, VACUUM among it, would hide what is tested.
    on_target(
        fmt::format("INSERT INTO shop.t (tenant, id, v) SELECT i % 3, i, 'v'"
                    " FROM generate_series({}, {}) i",
                    before + 1, rows));
    counts_.wrote(map_->id, static_cast<std::uint64_t>(rows - before));
    before = rows;
    for (const StatementKind kind : kinds) {
      const std::string plan = plan_of(kind);
      const std::size_t outer = plan.find("Function Scan on unnest");
      EXPECT_LT(outer, plan.find("Index Scan using")) << "the rows come first:\n" << plan;
      // Of so few rows each index may serve.
      EXPECT_THAT(plan, HasSubstr(rows < 1000 ? "Index Cond: "
                                              : "Index Cond: ((tenant = r.c0) AND (id = r.c1))"));
    }
  }
}

// Issue E, row 17.  The same through what a lane calls: plans are made when nothing is there, then
// a scanner fills the table.
TEST_F(PlanTest, DeletesAndUpdatesOfATableThatGrewReadTheirOwnRowsOnly) {
  const Rows rows = read(*map_, "true", "2");
  Rows partial{{without(rows.cells[0], {4})}, {rows.keys[0]}};
  const Rows keys{{}, {rows.keys[0]}};
  // Each on the empty table: one row, and the server's guess would be another.
  apply({run_of(*map_, WriteKind::Delete, keys)});
  apply({run_of(*map_, WriteKind::Update, partial)});

  PostgresTarget scanner(target_options(), tables_, counts_);
  RowBatch batch;
  std::vector<std::uint32_t> chosen;
  for (std::uint32_t row = 0; row < rows.cells.size(); ++row) {
    batch.add(rows.cells[row]);
    chosen.push_back(row);
  }
  ASSERT_TRUE(scanner.copy(*map_, batch, chosen).has_value());
  ASSERT_TRUE(scanner.copy_commit({}).has_value());

  for (std::size_t i = 0; i < 100; ++i) partial.cells.push_back(without(rows.cells[i + 1], {4}));
  partial.keys.assign(rows.keys.begin(), rows.keys.begin() + 101);
  const Rows deleted{{}, {rows.keys.begin() + 200, rows.keys.begin() + 300}};
  apply({run_of(*map_, WriteKind::Update, partial)});
  apply({run_of(*map_, WriteKind::Delete, deleted)});
  EXPECT_LT(read_by_indexes(), 1000);
  EXPECT_EQ(target_text("SELECT count(*) FROM shop.t"), std::to_string(kRows - 100));
}

// Issue E, row 17.
TEST_F(PlanTest, DebtsAreLookedUpByTheirKeysHoweverManyThereAre) {
  on_target("VACUUM ANALYZE books.debt");
  ASSERT_TRUE(prepare_ledger_statements(*session_, name_).has_value());
  for (const char* statement :
       {"clear_debts('s', 't', NULL)", "clear_visible_debts('s', 't', NULL, NULL, true, true)"}) {
    const std::string plan = explained(statement);
    EXPECT_THAT(plan, HasSubstr("AND (key_hash = h.key_hash))"));
    EXPECT_THAT(plan, HasSubstr("Tid Scan on debt d"));
  }
}

// A million of them would be sorted for each round.  Nor does a target that an earlier version has
// made stay without the index.
TEST_F(PlanTest, TheNextDebtsOfATableAreFoundInTheirOrder) {
  on_target("DROP INDEX books.debt_next");
  const auto claimed = books().claim();
  ASSERT_TRUE(claimed.has_value()) << claimed.error().message;
  claim_ = *claimed;  // Which ends the sessions from before.
  staged_.reset();
  session_ = std::make_unique<TargetSession>(target_options().session);
  ASSERT_TRUE(session_->open().has_value());
  on_target(
      "INSERT INTO books.debt (migration, source_schema, source_table, key_hash, key, xid,"
      " commit_us, reason, attempts) SELECT 'shop', 'shop', 't', decode(md5(i::text), 'hex'), '',"
      " '7', i, 'refused', i % 5 FROM generate_series(1, 5000) i; ANALYZE books.debt");
  const auto plan =
      session_->connection().run("EXPLAIN " + next_debts_sql(name_, {"shop", "t"}, 100));
  ASSERT_TRUE(plan.has_value()) << plan.error().message;
  std::string text;
  for (int row = 0; row < PQntuples(plan->get()); ++row)
    text += std::string(field(*plan, row, 0)) + "\n";
  EXPECT_THAT(text, HasSubstr("Index Scan using debt_next"));
  EXPECT_THAT(text, Not(HasSubstr("Sort")));
}

// Issue E, row 16.
TEST_F(PlanTest, TheStatementsThatWereUsedLastStay) {
  on_both("CREATE TABLE shop.wide (id int PRIMARY KEY)");
  for (int column = 0; column < 12; ++column)
    on_both("ALTER TABLE shop.wide ADD c" + std::to_string(column) + " int");
  const TableMap& wide = plan("wide");
  const auto update = [&](unsigned bits) {
    StatementSpec spec{wide, StatementKind::Update, StatementMode::Plain, ColumnMask(13, false)};
    spec.mask[0] = true;
    for (unsigned bit = 0; bit < 12; ++bit) spec.mask[bit + 1] = ((bits >> bit) & 1U) != 0;
    return spec;
  };
  const std::uint64_t generation = session_->generation();
  for (unsigned bits = 0; bits < 2100; ++bits) {
    ASSERT_TRUE(staged_->prepare(update(bits)).has_value());
    ASSERT_TRUE(staged_->prepare(update(7)).has_value());
    ASSERT_TRUE(staged_->trim().has_value());
  }
  EXPECT_EQ(session_->generation(), generation);
  const auto kept = session_->connection().run("SELECT count(*) FROM pg_prepared_statements");
  EXPECT_LE(std::stoi(std::string(field(*kept, 0, 0))), 2048 + 1) << "and the fence";
  EXPECT_NE(staged_->prepared(update(7)), "");
}

// At its end a session takes locks for all of them at once, and a server has room for some
// thousand.
TEST_F(PlanTest, ASessionHasFewTypesHoweverManyTablesItWrites) {
  constexpr int kLayouts = 16;
  std::string tables;
  for (int i = 0; i < kLayouts; ++i) {
    for (const char* name : {"a", "b"}) {
      tables += fmt::format("CREATE TABLE shop.{}{} (id int PRIMARY KEY", name, i);
      for (int bit = 0; bit < 4; ++bit)
        tables += fmt::format(", c{} {}", bit, ((i >> bit) & 1) != 0 ? "int" : "text");
      tables += ");";
    }
  }
  on_both(tables);
  const auto types = [&] {
    const auto found = session_->connection().run(
        "SELECT count(*) FROM pg_type WHERE typnamespace = pg_my_temp_schema() AND typtype = 'c'");
    return std::stoi(std::string(field(*found, 0, 0)));
  };
  TargetTables few(*session_, name_, counts_, 8);
  const auto write = [&](const TableMap& map) {
    for (const StatementKind kind : {StatementKind::Upsert, StatementKind::Delete})
      for (const StatementMode mode : {StatementMode::Plain, StatementMode::Guarded}) {
        const Status ready = few.prepare({map, kind, mode, {}});
        ASSERT_TRUE(ready.has_value()) << ready.error().message;
      }
  };
  write(plan("a0"));
  EXPECT_EQ(types(), 2) << "of its rows and of its key";
  write(plan("b0"));
  EXPECT_EQ(types(), 2) << "tables of one layout share them";
  for (int i = 1; i < kLayouts; ++i) {
    write(plan(fmt::format("a{}", i)));
    ASSERT_TRUE(few.trim().has_value());
    EXPECT_LE(types(), 8);
  }
  const auto functions = session_->connection().run(
      "SELECT count(*) FROM pg_proc WHERE pronamespace = pg_my_temp_schema()");
  EXPECT_LE(std::stoi(std::string(field(*functions, 0, 0))), 2 * 8) << "theirs went with them";
  const TableMap& first = maps_[1];
  write(first);
  EXPECT_NE(few.prepared({first, StatementKind::Upsert, StatementMode::Plain, {}}), "");
}

// A plan of 4 kB for each partition: 2048 of them would be the server's memory.
TEST_F(PlanTest, StatementsOfManyPartitionsWeighMore) {
  on_both(
      "CREATE TABLE shop.tree (id int PRIMARY KEY, c0 int, c1 int, c2 int, c3 int, c4 int, c5 int)"
      " PARTITION BY RANGE (id);"
      "DO $$ BEGIN FOR i IN 0..639 LOOP EXECUTE format('CREATE TABLE shop.tree_%s PARTITION OF"
      " shop.tree FOR VALUES FROM (%s) TO (%s)', i, i, i + 1); END LOOP; END $$");
  const TableMap& tree = plan("tree", {}, StreamKind::Direct);
  for (unsigned bits = 1; bits < 64; ++bits) {
    StatementSpec spec{tree, StatementKind::Update, StatementMode::Plain, ColumnMask(7, false)};
    spec.mask[0] = true;
    for (unsigned bit = 0; bit < 6; ++bit) spec.mask[bit + 1] = ((bits >> bit) & 1U) != 0;
    ASSERT_TRUE(staged_->prepare(spec).has_value());
    ASSERT_TRUE(staged_->trim().has_value());
  }
  const auto kept = session_->connection().run(
      "SELECT count(*) FROM pg_prepared_statements WHERE name LIKE 'update%'");
  EXPECT_LE(std::stoi(std::string(field(*kept, 0, 0))), 2048 / (640 / 16));
}

// Issue E, row 16.
TEST_F(DebtTest, ALockThatIsNotGivenInTimeCostsNoSession) {
  const TableMap& map = plan("t");
  const Rows rows = read(map, "id <= 3");
  apply({run_of(map, WriteKind::Upsert, rows)});
  const std::string session = target_text("SELECT pid, backend_start FROM books.session");
  on_target("BEGIN; LOCK TABLE shop.t");
  LaneTransaction transaction;
  transaction.runs = {run_of(map, WriteKind::Upsert, rows)};
  const auto waited = target().apply(transaction);
  ASSERT_FALSE(waited.has_value());
  EXPECT_EQ(waited.error().code, "55P03");
  EXPECT_EQ(waited.error().reaction, Reaction::Retry);
  on_target("ROLLBACK");
  apply({run_of(map, WriteKind::Upsert, rows)});
  EXPECT_EQ(target_text("SELECT pid, backend_start FROM books.session"), session);
}

}  // namespace
}  // namespace lockstep
