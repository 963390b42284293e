// What the target refuses or swallows is named, whatever it is, and never at full speed for ever.
#include "tests/integration/target_fixture.h"

namespace lockstep {
namespace {

using testing::HasSubstr;

// With a table of 3000 rows on the source, and its first three on the target.
class RefusalTest : public DebtTest {
 protected:
  void SetUp() override {
    DebtTest::SetUp();
    map_ = &plan("t");
    apply({run_of(*map_, WriteKind::Upsert, read(*map_, "id <= 3"))});
  }
  // A trigger that fires for our sessions, too.
  void trigger(const std::string& when, const std::string& body) {
    on_target("CREATE FUNCTION shop.f() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN " + body +
              " END';"
              "CREATE TRIGGER f BEFORE " +
              when + " EXECUTE FUNCTION shop.f(); ALTER TABLE shop.t ENABLE ALWAYS TRIGGER f");
  }
  TableRun deleted(const std::string& where) {
    keys_ = read(*map_, where);
    keys_.cells.clear();
    return run_of(*map_, WriteKind::Delete, keys_);
  }
  // The key was read again, and the source has no row.
  TableRun settled_delete(const std::string& where) {
    TableRun run = deleted(where);
    run.rule = DebtRule::ClearVisible;
    run.snapshot = &late_;
    return run;
  }

  const TableMap* map_ = nullptr;
  Rows keys_;
};

// Issue E, row 7.
TEST_F(RefusalTest, ADeleteThatTheTargetRefusesIsTriedAgainAndQuarantined) {
  trigger("DELETE ON shop.t FOR EACH ROW WHEN (old.id = 2)", "RAISE EXCEPTION ''never'';");
  apply({deleted("id <= 3")});
  EXPECT_EQ(target_text("SELECT id FROM shop.t"), "2");
  EXPECT_EQ(debts(), "t|refused|open|0|100");
  for (int attempt = 1; attempt <= 5; ++attempt) apply({settled_delete("id = 2")});
  EXPECT_EQ(debts(), "t|refused|quarantined|5|100");
  EXPECT_EQ(target_text("SELECT detail FROM books.debt"),
            "a trigger of the target refused the delete (P0001)");
  on_target("DROP TRIGGER f ON shop.t");
  apply({settled_delete("id = 2")});
  EXPECT_EQ(debts() + target_text("SELECT id FROM shop.t"), "");
}

// Issue E, row 7.  A trigger may raise any code; a delete violates no unique constraint.
TEST_F(RefusalTest, ADeleteRefusedWithAnotherCodeIsRefusedAllTheSame) {
  trigger("DELETE ON shop.t FOR EACH ROW", "RAISE unique_violation;");
  apply({deleted("id = 2")});
  EXPECT_EQ(debts(), "t|refused|open|0|100");
}

// Issue E, row 44.
TEST_F(RefusalTest, ASwallowedInsertIsADebt) {
  trigger("INSERT ON shop.t FOR EACH ROW WHEN (new.id % 10 = 0)", "RETURN NULL;");
  const Rows rows = read(*map_, "id <= 30");
  const ApplyOutcome outcome = apply({run_of(*map_, WriteKind::Upsert, rows)});
  EXPECT_EQ(outcome.rows_written, 27U);
  ASSERT_EQ(outcome.opened.size(), 3U);
  EXPECT_EQ(outcome.opened[0].reason, DebtReason::Swallowed);
  EXPECT_EQ(target_text("SELECT count(*) FROM shop.t"), "27");
  const Rows ten = read(*map_, "id = 10");
  for (int attempt = 1; attempt <= 5; ++attempt) apply({settled(*map_, ten)});
  EXPECT_EQ(
      target_text("SELECT state, attempts, count(*) FROM books.debt GROUP BY 1, 2 ORDER BY 1"),
      "open|0|2\nquarantined|5|1");
  EXPECT_THAT(target_text("SELECT DISTINCT detail FROM books.debt"), HasSubstr("swallowed"));
}

// Issue E, row 44.  The debt of a row that was read again is gone only once the row is written.
TEST_F(RefusalTest, ASwallowedUpdateIsADebtUntilTheRowIsThere) {
  trigger("UPDATE ON shop.t FOR EACH ROW WHEN (new.id = 2)", "RETURN NULL;");
  on_source("UPDATE shop.t SET email = 'new' WHERE id <= 3");
  const Rows rows = read(*map_, "id <= 3");
  Rows partial = rows;
  for (std::string& row : partial.cells) row = without(row, {3});
  apply({run_of(*map_, WriteKind::Update, partial)});
  EXPECT_EQ(debts(), "t|missing_row|open|0|100");
  apply({settled(*map_, read(*map_, "id = 2"))});
  EXPECT_EQ(debts(), "t|swallowed|open|1|100");
  apply({run_of(*map_, WriteKind::Upsert, rows)});
  EXPECT_EQ(debts(), "t|swallowed|open|0|100");
  on_target("DROP TRIGGER f ON shop.t");
  apply({settled(*map_, read(*map_, "id = 2"))});
  EXPECT_EQ(debts(), "");
  EXPECT_EQ(target_text("SELECT DISTINCT email FROM shop.t"), "new");
}

// Issue E, row 44.  A row that is not there was deleted before; one that is there was swallowed.
TEST_F(RefusalTest, ADeleteSwallowedByARuleIsADebt) {
  on_target(
      "CREATE RULE r AS ON DELETE TO shop.t WHERE old.id = 2 DO INSTEAD NOTHING;"
      "ALTER TABLE shop.t ENABLE ALWAYS RULE r");
  apply({deleted("id BETWEEN 2 AND 5")});
  EXPECT_EQ(target_text("SELECT id FROM shop.t ORDER BY 1"), "1\n2");
  EXPECT_EQ(debts(), "t|swallowed|open|0|100");
  for (int attempt = 1; attempt <= 5; ++attempt) apply({settled_delete("id = 2")});
  EXPECT_EQ(debts(), "t|swallowed|quarantined|5|100");
}

// Issue E, row 44.  Also where rows go straight into the target.
TEST_F(RefusalTest, ACopyOfWhichRowsAreSwallowedIsRejected) {
  trigger("INSERT ON shop.t FOR EACH ROW WHEN (new.id = 10)", "RETURN NULL;");
  const Rows rows = read(*map_, "id BETWEEN 9 AND 11");
  RowBatch batch;
  for (const std::string& row : rows.cells) batch.add(row);
  const std::uint32_t chosen[] = {0, 1, 2};
  const Status copied = target().copy(*map_, batch, chosen);
  ASSERT_FALSE(copied.has_value());
  EXPECT_EQ(copied.error().reaction, Reaction::Reject);
  ASSERT_TRUE(target().copy_abort().has_value());
}

// Issue E, row 2.
TEST_F(RefusalTest, RowsThatEvictEachOtherAreQuarantinedAndBothNamed) {
  on_target("CREATE UNIQUE INDEX ON shop.t (email)");
  on_source("UPDATE shop.t SET email = 'same' WHERE id IN (1, 2)");
  const Rows first = read(*map_, "id = 1");
  const Rows second = read(*map_, "id = 2");
  int rounds = 0;
  while (rounds < 50 && target_text("SELECT count(*) FROM books.debt WHERE state <> 'open'") == "0")
    apply({settled(*map_, rounds++ % 2 == 0 ? first : second)});
  EXPECT_LE(rounds, 10);
  EXPECT_EQ(target_text("SELECT reason, state, holder FROM books.debt"),
            "violation|quarantined|id = 1");
  EXPECT_EQ(target_text("SELECT id FROM shop.t WHERE email = 'same'"), "1");
}

// Issue E, row 2.  A chain in which everybody has to move once is no such thing.
TEST_F(RefusalTest, EvictionsOfAChainAreNotCounted) {
  on_target("CREATE UNIQUE INDEX ON shop.t (email)");
  apply({run_of(*map_, WriteKind::Upsert, read(*map_, "id <= 100"))});
  on_source(
      "UPDATE shop.t SET email = 'm' || id + 1 WHERE id < 100; UPDATE shop.t SET email = 'z'"
      " WHERE id = 100");
  for (int id = 1; id <= 100; ++id)
    apply({settled(*map_, read(*map_, "id = " + std::to_string(id)))});
  EXPECT_EQ(debts(), "");
  EXPECT_EQ(target_text("SELECT count(DISTINCT email) FROM shop.t"), "100");
}

// Issue E, row 43.
TEST_F(RefusalTest, ManyRefusedRowsAreSetAsideInAFewRoundTrips) {
  on_target("ALTER TABLE shop.t ADD CHECK (id % 3 <> 0) NOT VALID");
  const Rows rows = read(*map_);
  const auto begun = std::chrono::steady_clock::now();
  EXPECT_EQ(apply({run_of(*map_, WriteKind::Upsert, rows)}).opened.size(), 1000U);
  const std::chrono::duration<double> took = std::chrono::steady_clock::now() - begun;
  RecordProperty("refused_rows_per_second", std::to_string(1000 / took.count()));
  EXPECT_EQ(target_text("SELECT count(*) FROM shop.t"), "2001");
}

}  // namespace
}  // namespace lockstep
