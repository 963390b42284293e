// PostgresTarget and Bookkeeping against a real server: who may write, COPY, TRUNCATE, and the
// record of a migration.
#include "tests/integration/target_fixture.h"

namespace lockstep {
namespace {

using testing::HasSubstr;

// ---------------------------------------------------------------- who may write (I12)

TEST_F(DebtTest, AnOlderIncarnationWritesNothing) {
  const TableMap& map = plan("t");
  const Rows rows = read(map, "id <= 3");
  ASSERT_TRUE(target().open().has_value());
  ASSERT_EQ(books().claim().value().epoch, claim_.epoch + 1);
  LaneTransaction transaction;
  transaction.runs = {run_of(map, WriteKind::Upsert, rows)};
  Result<ApplyOutcome> outcome = target().apply(transaction);
  // The claim has ended its server process; connecting again, it finds itself shut out.
  if (!outcome.has_value() && outcome.error().reaction == Reaction::Retry)
    outcome = target().apply(transaction);
  ASSERT_FALSE(outcome.has_value());
  EXPECT_EQ(outcome.error().reaction, Reaction::Halt);
  EXPECT_EQ(outcome.error().code, "fenced");
  EXPECT_EQ(target_text("SELECT count(*) FROM shop.t"), "0");
}

TEST_F(DebtTest, AFenceThatRisesUnderALivingSessionStopsItsPipeline) {
  const TableMap& map = plan("t");
  const Rows rows = read(map, "id <= 3");
  ASSERT_TRUE(target().open().has_value());
  on_target("UPDATE books.fence SET epoch = epoch + 1");
  LaneTransaction transaction;
  transaction.runs = {run_of(map, WriteKind::Upsert, rows)};
  const auto outcome = target().apply(transaction);
  ASSERT_FALSE(outcome.has_value());
  EXPECT_EQ(outcome.error().code, "fenced");
  RowBatch batch;
  batch.add(rows.cells[0]);
  const std::uint32_t chosen[] = {0};
  EXPECT_EQ(target().copy(map, batch, chosen).error().code, "fenced");
  EXPECT_EQ(target_text("SELECT count(*) FROM shop.t"), "0");
}

TEST_F(DebtTest, AClaimEndsAZombieInsideATransaction) {
  const TableMap& map = plan("t");
  RowBatch batch;
  batch.add(read(map, "id = 1").cells[0]);
  const std::uint32_t chosen[] = {0};
  ASSERT_TRUE(target().copy(map, batch, chosen).has_value()) << "and never commits";
  ASSERT_EQ(books().claim().value().epoch, claim_.epoch + 1);
  EXPECT_FALSE(target().copy_commit({}).has_value());
  EXPECT_EQ(target_text("SELECT count(*) FROM shop.t"), "0");
}

TEST_F(DebtTest, AnotherBackendUnderTheSameConnectionIsRefused) {
  plan("t");
  ASSERT_TRUE(target().open().has_value());
  TargetSession session(target_options().session);
  ASSERT_TRUE(session.open().has_value());
  ASSERT_TRUE(session.resume().has_value());
  std::string epoch;
  append_be64(epoch, claim_.epoch);
  std::string other;
  append_be32(other, 1);
  const std::optional<std::string_view> params[] = {epoch, other};
  ASSERT_TRUE(session.queue_sql("BEGIN").has_value());
  ASSERT_TRUE(session.queue_sql("SELECT 1").has_value());
  ASSERT_TRUE(session.queue("fence", params).has_value());
  const auto outcome = session.flush();
  ASSERT_TRUE(outcome.has_value() && outcome->failure.has_value());
  EXPECT_EQ(outcome->failure->error.code, "pooled");
}

TEST_F(DebtTest, ALostConnectionIsRetriedAndApplyingTwiceIsOnce) {
  const TableMap& map = plan("t");
  const Rows rows = read(map, "id <= 3");
  const Rows partial{{without(read(map, "id = 9").cells[0], {3})}, {read(map, "id = 9").keys[0]}};
  LaneTransaction transaction;
  transaction.runs = {run_of(map, WriteKind::Upsert, rows),
                      run_of(map, WriteKind::Update, partial)};
  transaction.progress = {{"wal", 0, {9, 1}, 100, 100}};
  ASSERT_TRUE(target().apply(transaction).has_value());
  const std::string before = target_text("SELECT * FROM shop.t ORDER BY 1") + debts();
  on_target("SELECT pg_terminate_backend(pid) FROM books.session");
  const auto lost = target().apply(transaction);
  ASSERT_FALSE(lost.has_value());
  EXPECT_EQ(lost.error().reaction, Reaction::Retry);
  EXPECT_TRUE(target().apply(transaction).has_value());
  EXPECT_EQ(target_text("SELECT * FROM shop.t ORDER BY 1") + debts(), before);
  EXPECT_EQ(target_text("SELECT major, minor, max_xid FROM books.progress"), "9|1|100");
  EXPECT_EQ(target_text("SELECT count(*) FROM books.session"), "1");
}

// ---------------------------------------------------------------- COPY and chunks

TEST_F(DebtTest, ACopyThatMeetsARowIsRejectedAndLeavesNothing) {
  const TableMap& map = plan("t");
  on_target("INSERT INTO shop.t VALUES (2, 0, 'there')");
  const Rows rows = read(map, "id <= 3");
  RowBatch batch;
  for (const std::string& row : rows.cells) batch.add(row);
  const std::uint32_t chosen[] = {0, 1, 2};
  const Status copied = target().copy(map, batch, chosen);
  ASSERT_FALSE(copied.has_value());
  EXPECT_EQ(copied.error().reaction, Reaction::Reject);
  ASSERT_TRUE(target().copy_abort().has_value());
  EXPECT_EQ(target_text("SELECT id FROM shop.t"), "2");
  const std::uint32_t others[] = {0, 2};
  ASSERT_TRUE(target().copy(map, batch, others).has_value());
  ASSERT_TRUE(target().copy_commit({}).has_value());
  EXPECT_EQ(target_text("SELECT count(*) FROM shop.t"), "3");
}

TEST_F(DebtTest, ACopyThatWaitsForALockGivesUp) {
  const TableMap& map = plan("t");
  PostgresConnection blocker(test_server(""));
  ASSERT_TRUE(blocker.open().has_value());
  ASSERT_TRUE(blocker.run("BEGIN; LOCK TABLE shop.t").has_value());
  RowBatch batch;
  batch.add(read(map, "id = 1").cells[0]);
  const std::uint32_t chosen[] = {0};
  PostgresTargetOptions options = target_options();
  options.copy_lock_max = std::chrono::milliseconds(50);
  lane_ = std::make_unique<PostgresTarget>(options, tables_, counts_);
  EXPECT_EQ(target().copy(map, batch, chosen).error().reaction, Reaction::Reject);
  EXPECT_TRUE(target().copy_abort().has_value());
}

TEST_F(DebtTest, AbortingAfterALostConnectionIsSureOfTheEnd) {
  const TableMap& map = plan("t");
  RowBatch batch;
  batch.add(read(map, "id = 1").cells[0]);
  const std::uint32_t chosen[] = {0};
  ASSERT_TRUE(target().copy(map, batch, chosen).has_value());
  on_target("SELECT pg_terminate_backend(pid) FROM books.session");
  EXPECT_FALSE(target().copy_commit({}).has_value());
  EXPECT_TRUE(target().copy_abort().has_value());
  EXPECT_EQ(target_text("SELECT count(*) FROM shop.t"), "0");
}

TEST_F(DebtTest, AWiderMarkTakesThePlaceOfTheMarksItCovers) {
  const TableMap& map = plan("t");
  const Rows rows = read(map, "id <= 2");
  ASSERT_TRUE(target().mark_done({map.id, 1, 1, {std::nullopt, rows.keys[0]}, 10}).has_value());
  ASSERT_TRUE(target().mark_done({map.id, 2, 2, {rows.keys[0], rows.keys[1]}, 20}).has_value());
  ASSERT_TRUE(target().mark_done({map.id, 1, 2, {std::nullopt, rows.keys[1]}, 30}).has_value());
  const Claim claim = books().read().value();
  ASSERT_EQ(claim.chunks.size(), 1U);
  EXPECT_EQ(claim.chunks[0].mark.range.upper, rows.keys[1]);
  EXPECT_EQ(claim.chunks[0].mark.rows, 30U);
  EXPECT_EQ(claim.chunks[0].source, map.source.name);
}

// ---------------------------------------------------------------- TRUNCATE (I15)

TEST_F(DebtTest, TruncateRaisesAllLanesAndDropsOlderDebts) {
  on_target("CREATE TABLE shop.child (id int REFERENCES shop.t)");
  const TableMap& map = plan("t");
  ASSERT_TRUE(map.target.referenced);
  ASSERT_TRUE(
      books()
          .save_start({"s", 1, "t", 1, "direct", "slot", 5, 2},
                      std::vector<StoredMapping>{{map.source.name, "f", "active", "", {}, ""}}, {})
          .has_value());
  const Rows rows = read(map, "id <= 3");
  apply({run_of(map, WriteKind::Upsert, rows)});
  const Rows owed{{}, {rows.keys[0], rows.keys[1]}};
  TableRun debt = run_of(map, WriteKind::OpenDebt, owed, 700);
  debt.rule = DebtRule::Keep;
  for (Write& write : debt.writes) write.debt = DebtReason::Doubtful;
  debt.writes[1].xid = 900;
  apply({debt});
  ASSERT_TRUE(target().mark_done({map.id, 1, 1, {}, 3}).has_value());
  ASSERT_TRUE(target()
                  .truncate({map.id, "wal", {50, 2}, {{0, 8}, {1, 3}}, 800, {33, 44}, true})
                  .has_value());
  EXPECT_EQ(target_text("SELECT count(*) FROM shop.t"), "0");
  EXPECT_EQ(debts(), "t|doubtful|open|0|900");
  // Issue E, row 8: a TRUNCATE is a transaction of each lane, whose batch is stored with it.
  EXPECT_EQ(target_text("SELECT lane, major, minor, max_xid, batch FROM books.progress ORDER BY 1"),
            "0|50|2|800|8\n1|50|2|800|3");
  EXPECT_EQ(target_text("SELECT horizon_major, horizon_minor FROM books.mapping"), "33|44");
  EXPECT_EQ(target_text("SELECT count(*) FROM books.chunk"), "0");
}

// Issue E, row 19.
TEST_F(DebtTest, WhyAnEventWasUnreadableIsKeptWithItsDebt) {
  const TableMap& map = plan("t");
  const Rows owed{{}, {read(map, "id = 1").keys[0]}};
  TableRun debt = run_of(map, WriteKind::OpenDebt, owed, 700);
  debt.rule = DebtRule::Keep;
  debt.writes[0].debt = DebtReason::Unreadable;
  debt.writes[0].detail = "topic/0 offset 7: shop.t: the value of column v is none of its type";
  apply({debt});
  EXPECT_EQ(target_text("SELECT reason, detail FROM books.debt"),
            "unreadable|topic/0 offset 7: shop.t: the value of column v is none of its type");
}

TEST_F(DebtTest, TruncateDeletesWhereAForeignKeyCameLater) {
  const TableMap& map = plan("t");
  on_target("INSERT INTO shop.t VALUES (1, 1); CREATE TABLE shop.child (id int REFERENCES shop.t)");
  const Status truncated = target().truncate({map.id, "wal", {50, 2}, {{0, 1}}, 800, {}, false});
  ASSERT_TRUE(truncated.has_value()) << truncated.error().message;
  EXPECT_EQ(target_text("SELECT count(*) FROM shop.t"), "0");
}

// ---------------------------------------------------------------- the bookkeeping itself

TEST_F(TargetTest, AStartIsRecordedOnceAndReadBack) {
  const StartFacts facts{
      "6900000000000000001", 3, "6900000000000000002", 1, "debezium", "shop'topic", 1ULL << 33U, 2};
  const std::vector<StoredMapping> mappings{{{"shop", "a.b"}, "f1", "active", "", {}, "7/8"}};
  const std::vector<ProgressRow> progress{{"topic/0", 0, {7, 0}, 5, 6},
                                          {"topic/0", 1, {7, 0}, 5, 9}};
  ASSERT_TRUE(books().save_start(facts, mappings, progress).has_value());
  ASSERT_TRUE(books().save_start(facts, mappings, progress).has_value()) << "safe twice";
  StartFacts other = facts;
  other.stream_name = "other";
  EXPECT_EQ(books().save_start(other, mappings, progress).error().reaction, Reaction::Halt);
  ASSERT_TRUE(books().set_table_state({"shop", "a.b"}, "stopped", "column gone").has_value());
  const Claim claim = books().read().value();
  EXPECT_EQ(*claim.start, facts);
  EXPECT_EQ(claim.mappings.at(0).reason, "column gone");
  EXPECT_EQ(claim.progress.at(1).row.max_xid, 9U);
}

// I13: none may be in front of what some lane has not applied.
TEST_F(TargetTest, WhenTheNumberOfLanesChangesAllGoOnWhereTheLastOneStands) {
  const StartFacts facts{"1", 1, "2", 1, "direct", "slot", 5, 2};
  const std::vector<ProgressRow> progress{{"wal", 0, {7, 1}, 5, 6},
                                          {"wal", 1, {7, 2}, 4, 9},
                                          {"wal/shop.t", 1, {3, 1}, 2, 8},
                                          {"topic/0", 0, {9, 5}, 7, 7}};
  ASSERT_TRUE(books().save_start(facts, {}, progress).has_value());
  ASSERT_TRUE(books().change_lanes(3).has_value());
  const auto rows = [&](const std::string& stream) {
    return target_text(
        "SELECT lane, major, minor, last_xid, max_xid FROM books.progress"
        " WHERE stream = '" +
        stream + "' ORDER BY 1");
  };
  EXPECT_EQ(rows("wal"), "0|7|1|5|9\n1|7|1|5|9\n2|7|1|5|9");
  EXPECT_EQ(rows("wal/shop.t"), "0|3|1|2|8\n1|3|1|2|8\n2|3|1|2|8");
  EXPECT_EQ(rows("topic/0"), "0|0|0|0|7\n1|0|0|0|7\n2|0|0|0|7") << "a lane has applied nothing";
  EXPECT_EQ(target_text("SELECT lanes FROM books.start"), "3");
  // A table that had stopped, and stands where the stream does in the lanes that have a row of it.
  on_target(
      "INSERT INTO books.progress SELECT migration, 'wal/shop.u', lane, major, minor, last_xid, "
      "'11', epoch, batch FROM books.progress WHERE lane = 1 AND stream = 'wal'");
  ASSERT_TRUE(books().change_lanes(1).has_value());
  EXPECT_EQ(rows("wal"), "0|7|1|5|11");
  EXPECT_EQ(rows("wal/shop.u"), "");
}

// I13: nor is a row that goes with its transaction missed by a session that connects anew.
TEST_F(DebtTest, TheProgressOfATableThatIsWhereItsStreamIsGoes) {
  LaneTransaction transaction;
  transaction.progress = {{"wal", 0, {5, 0}, 1, 1}, {"wal/shop.t", 0, {3, 0}, 1, 1}};
  transaction.batch = 1;
  ASSERT_TRUE(target().apply(transaction).has_value());
  transaction.progress = {{"wal", 0, {7, 0}, 2, 2}};
  transaction.batch = 2;
  transaction.rejoined = {{"wal/shop.t", 0}};
  ASSERT_TRUE(target().apply(transaction).has_value());
  EXPECT_EQ(target_text("SELECT stream, lane, major FROM books.progress"), "wal|0|7");
  on_target("SELECT pg_terminate_backend(pid) FROM books.session");
  const auto lost = target().apply(transaction);
  ASSERT_FALSE(lost.has_value());
  EXPECT_EQ(lost.error().reaction, Reaction::Retry) << lost.error().message;
  const auto again = target().apply(transaction);
  EXPECT_TRUE(again.has_value()) << again.error().message;
}

// A kill in between must not make a table new whose rows are on the target.
TEST_F(TargetTest, ATableThatWasLeftOutIsKnownAsSuchUntilItIsBack) {
  const TableName name{"shop", "a.b"};
  const std::vector<std::pair<TableName, std::string>> forgotten{{name, "wal/shop.a.b"}};
  const StartFacts facts{"1", 1, "2", 1, "direct", "slot", 5, 1};
  const std::vector<StoredMapping> before{{name, "f1", "active", "", {}, "7/8"}};
  ASSERT_TRUE(books().save_start(facts, before, {}).has_value());
  ASSERT_TRUE(books().forget_table(name, "wal/shop.a.b", "forgotten").has_value());
  const std::vector<StoredMapping> broken{{name, "f2", "nonsense", "", {}, "7/9"}};
  ASSERT_FALSE(books().add_mappings(broken, {}, forgotten).has_value());
  EXPECT_EQ(target_text("SELECT fingerprint FROM books.mapping"), "forgotten");
  const std::vector<StoredMapping> back{{name, "f2", "active", "", {}, "7/9"}};
  ASSERT_TRUE(books().add_mappings(back, {}, forgotten).has_value());
  EXPECT_EQ(target_text("SELECT fingerprint FROM books.mapping"), "f2");
}

TEST_F(DebtTest, QuarantinedRowsAreListedRetriedAndDropped) {
  const TableMap& map = plan("t");
  const Rows rows = read(map, "id <= 2");
  TableRun debt = run_of(map, WriteKind::OpenDebt, rows, 700);
  for (Write& write : debt.writes) write.debt = DebtReason::Refused;
  apply({debt});
  on_target("UPDATE books.debt SET state = 'quarantined', detail = 'it''s no'");
  const Quarantined cut = books().quarantined({}, 1).value();
  EXPECT_EQ(cut.rows.size(), 1U);
  EXPECT_EQ(cut.total, 2U);
  ASSERT_EQ(cut.groups.size(), 1U) << "one reason";
  EXPECT_EQ(cut.groups[0].rows, 2U);
  const std::vector<QuarantinedRow> listed = books().quarantined({}, 10).value().rows;
  ASSERT_EQ(listed.size(), 2U);
  EXPECT_EQ(listed[0].detail, "it's no");
  const std::vector<std::string> first{listed[0].id};
  EXPECT_EQ(books().quarantined(first, 10).value().rows.size(), 1U);
  EXPECT_EQ(books().drop_quarantined(first).value(), 1U);
  EXPECT_EQ(books().count_debts().value().at(0).dropped, 1U);
  EXPECT_EQ(books().retry_quarantined({}).value(), 2U);
  PostgresLedger ledger({test_server(""), name_, {}, {}}, tables_);
  EXPECT_EQ(ledger.count_debts().value().at(0).open, 2U);
}

TEST_F(TargetTest, ANewerFormatIsRefused) {
  on_target("UPDATE books.fence SET format = 99");
  EXPECT_EQ(books().create().error().reaction, Reaction::Halt);
}

}  // namespace
}  // namespace lockstep
