// PostgresTarget against a real server: what is written, what is refused, and how debts are
// settled.
#include "tests/integration/target_fixture.h"

namespace lockstep {
namespace {

using testing::HasSubstr;

// ---------------------------------------------------------------- values and shapes

constexpr const char* kTypes = R"(
CREATE TYPE shop.mood AS ENUM ('sad', 'ok', 'happy');
CREATE TYPE shop.place AS (street text, no int);
CREATE DOMAIN shop.small AS int CHECK (VALUE < 1000);
CREATE DOMAIN shop.tags AS text[];
CREATE TABLE shop.t (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  moods shop.mood[], mood shop.mood, name public.citext, attrs public.hstore,
  small shop.small, tags shop.tags, place shop.place,
  total numeric, doubled numeric GENERATED ALWAYS AS (total * 2) STORED,
  code char(5), flags bit(5), more varbit, span tstzrange, doc jsonb, raw bytea, at timetz,
  nested int[][], "Odd ""name""" text);)";

constexpr const char* kTypeRows = R"(
INSERT INTO shop.t (moods, mood, name, attrs, small, tags, place, total, code, flags, more,
                    span, doc, raw, at, nested, "Odd ""name""") VALUES
 ('{sad,NULL,happy}', 'ok', 'Ann', 'a=>1,b=>NULL', 7, '{x,"y,z"}', '("Main, St",5)',
  '1.00', 'ab', B'10101', B'101', '[2020-01-01,2021-01-01)', '{"k": [1, 2]}',
  '\x00ff', '24:00:00+02', '{{1,2},{3,4}}', 'it''s'),
 ('{}', NULL, '', '', NULL, '{}', NULL, 'NaN', '', B'00000', B'', 'empty', 'null', '',
  '00:00+00', '{}', ''),
 (NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL,
  NULL, NULL);)";

TEST_F(TargetTest, WritesEveryTypeAsTheSourceHasIt) {
  on_both(kTypes);
  on_source(kTypeRows);
  const TableMap& map = plan("t");
  const Rows rows = read(map);
  EXPECT_EQ(apply({run_of(map, WriteKind::Upsert, rows)}).rows_written, 3U);
  EXPECT_EQ(target_text("SELECT * FROM shop.t ORDER BY 1"),
            source_text("SELECT * FROM shop.t ORDER BY 1"));
  EXPECT_EQ(apply({run_of(map, WriteKind::Upsert, rows)}).rows_written, 3U) << "the same again";
  EXPECT_EQ(debts(), "");
}

TEST_F(TargetTest, CopiesEveryBinaryTypeAsTheSourceHasIt) {
  on_both(kTypes);
  on_source(kTypeRows);
  TableRule rule;
  rule.drop = {"place"};  // Its binary form holds OIDs: never copied directly.
  const TableMap& map = plan("t", rule, StreamKind::Direct);
  const Rows rows = read(map);
  RowBatch batch;
  for (const std::string& row : rows.cells) batch.add(row);
  const std::uint32_t chosen[] = {0, 2};
  ASSERT_TRUE(map.direct_copy);
  const Status copied = target().copy(map, batch, chosen);
  ASSERT_TRUE(copied.has_value()) << copied.error().message;
  ASSERT_TRUE(target().copy_commit(ChunkMark{map.id, 1, 1, {}, 2}).has_value());
  on_both("ALTER TABLE shop.t DROP COLUMN place");
  EXPECT_EQ(target_text("SELECT * FROM shop.t ORDER BY 1"),
            source_text("SELECT * FROM shop.t WHERE id <> 2 ORDER BY 1"));
  EXPECT_EQ(target_text("SELECT first_chunk, rows FROM books.chunk"), "1|2");
}

TEST_F(TargetTest, CastsRenamesAndSetsConstants) {
  on_source(
      "CREATE TYPE shop.kind AS ENUM ('a', 'b');"
      "CREATE TABLE shop.t (id int PRIMARY KEY, name varchar(10), k shop.kind);"
      "INSERT INTO shop.t VALUES (1, 'x', 'a'), (2, NULL, 'b')");
  on_target(
      "CREATE TABLE shop.t (id bigint PRIMARY KEY, title text, k text, origin varchar(9) NOT NULL,"
      " at date)");
  TableRule rule;
  rule.rename = {{"name", "title"}};
  rule.set = {{"origin", "it's eu"}, {"at", "2020-02-29"}};
  const TableMap& map = plan("t", rule);
  const Rows rows = read(map);
  apply({run_of(map, WriteKind::Upsert, rows)});
  EXPECT_EQ(target_text("SELECT * FROM shop.t ORDER BY 1"),
            "1|x|a|it's eu|2020-02-29\n2|NULL|b|it's eu|2020-02-29");
  apply({run_of(map, WriteKind::Delete, {{}, {rows.keys[0]}})});
  EXPECT_EQ(target_text("SELECT id FROM shop.t"), "2");
}

TEST_F(TargetTest, CopiesConstants) {
  on_source("CREATE TABLE shop.t (id int PRIMARY KEY); INSERT INTO shop.t VALUES (1)");
  on_target("CREATE TABLE shop.t (id int PRIMARY KEY, origin char(4), at date, n numeric(6,2))");
  TableRule rule;
  rule.set = {{"origin", "eu"}, {"at", "2020-02-29"}, {"n", std::nullopt}};
  const TableMap& map = plan("t", rule);
  RowBatch batch;
  batch.add(read(map).cells[0]);
  const std::uint32_t chosen[] = {0};
  ASSERT_TRUE(target().copy(map, batch, chosen).has_value());
  ASSERT_TRUE(target().copy_commit({}).has_value());
  EXPECT_EQ(target_text("SELECT * FROM shop.t"), "1|eu  |2020-02-29|NULL");
}

TEST_F(TargetTest, FindsKeysByTheIndexsOwnEquality) {
  on_both("CREATE TABLE shop.t (name public.citext PRIMARY KEY, n int)");
  on_target("INSERT INTO shop.t VALUES ('ANN', 1), ('bob', 2)");
  on_source("INSERT INTO shop.t VALUES ('Ann', 5), ('BOB', 6)");
  const TableMap& map = plan("t");
  const Rows rows = read(map);
  apply({run_of(map, WriteKind::Upsert, {{rows.cells[0]}, {rows.keys[0]}}),
         run_of(map, WriteKind::Delete, {{}, {rows.keys[1]}})});
  EXPECT_EQ(target_text("SELECT * FROM shop.t"), "Ann|5") << "the key's form is written too";
}

TEST_F(TargetTest, WritesThroughAPartitionedRoot) {
  on_both(
      "CREATE TABLE shop.t (id int, region text, v text, PRIMARY KEY (id, region))"
      " PARTITION BY LIST (region);"
      "CREATE TABLE shop.t_a PARTITION OF shop.t FOR VALUES IN ('a');"
      "CREATE TABLE shop.t_b PARTITION OF shop.t FOR VALUES IN ('b')");
  on_source("INSERT INTO shop.t VALUES (1, 'a', 'x'), (2, 'b', 'y'), (3, 'b', 'z')");
  const TableMap& map = plan("t");
  const Rows rows = read(map);
  apply({run_of(map, WriteKind::Upsert, rows)});
  on_target("UPDATE shop.t SET v = 'old'");
  const Rows partial{{rows.cells[1]}, {rows.keys[1]}};
  apply({run_of(map, WriteKind::Update, partial),
         run_of(map, WriteKind::Delete, {{}, {rows.keys[2]}})});
  EXPECT_EQ(target_text("SELECT * FROM shop.t ORDER BY 1"), "1|a|old\n2|b|y");
}

TEST_F(TargetTest, ReplacesARowWhoseFixedIdentityChanged) {
  on_both(
      "CREATE TABLE shop.t (id int PRIMARY KEY, n bigint GENERATED ALWAYS AS IDENTITY, v text)");
  on_source("INSERT INTO shop.t OVERRIDING SYSTEM VALUE VALUES (1, 70, 'new'), (2, 2, 'same')");
  on_target("INSERT INTO shop.t OVERRIDING SYSTEM VALUE VALUES (1, 1, 'old'), (2, 2, 'old')");
  const TableMap& map = plan("t");
  const Rows rows = read(map);
  EXPECT_EQ(apply({run_of(map, WriteKind::Update, rows)}).opened.size(), 1U);
  EXPECT_EQ(target_text("SELECT * FROM shop.t ORDER BY 1"), "1|1|old\n2|2|same");
  apply({run_of(map, WriteKind::Upsert, rows)});
  EXPECT_EQ(target_text("SELECT * FROM shop.t ORDER BY 1"), "1|70|new\n2|2|same");
  EXPECT_EQ(debts(), "");
}

TEST_F(TargetTest, WritesATableThatIsAllKey) {
  on_both("CREATE TABLE shop.t (a int, b text, PRIMARY KEY (b, a))");
  on_source("INSERT INTO shop.t VALUES (1, 'x'), (2, 'y')");
  const TableMap& map = plan("t");
  const Rows rows = read(map);
  apply({run_of(map, WriteKind::Upsert, rows)});
  apply(
      {run_of(map, WriteKind::Upsert, rows), run_of(map, WriteKind::Delete, {{}, {rows.keys[0]}})});
  EXPECT_EQ(target_text("SELECT * FROM shop.t"), "2|y");
}

// ---------------------------------------------------------------- partial updates and debts

TEST_F(DebtTest, APartialUpdateOfAMissingRowOpensADebt) {
  const TableMap& map = plan("t");
  Rows rows = read(map, "id <= 3");
  apply({run_of(map, WriteKind::Upsert, {{rows.cells[1]}, {rows.keys[1]}})});
  on_target("UPDATE shop.t SET n = 0, big = 'kept'");
  Rows partial = rows;
  for (std::string& row : partial.cells) row = without(row, {3});
  const ApplyOutcome outcome = apply({run_of(map, WriteKind::Update, partial, 500)});
  EXPECT_EQ(outcome.opened.size(), 2U);
  EXPECT_EQ(outcome.rows_written, 1U);
  EXPECT_EQ(target_text("SELECT * FROM shop.t"), "2|2|m2|kept");
  EXPECT_EQ(debts(), "t|missing_row|open|0|500\nt|missing_row|open|0|500");
  EXPECT_TRUE(counts_.any(map.id));

  apply({run_of(map, WriteKind::Upsert, {{rows.cells[0]}, {rows.keys[0]}}),
         run_of(map, WriteKind::Delete, {{}, {rows.keys[2]}})});
  EXPECT_EQ(debts(), "") << "a full image and a delete each remove the debt of their key";
  EXPECT_FALSE(counts_.any(map.id));
}

TEST_F(DebtTest, AFullImageInTheSameTransactionClearsTheDebtBeforeIt) {
  const TableMap& map = plan("t");
  const Rows rows = read(map, "id = 1");
  Rows partial = rows;
  partial.cells[0] = without(partial.cells[0], {3});
  apply({run_of(map, WriteKind::Update, partial), run_of(map, WriteKind::Upsert, rows)});
  EXPECT_EQ(debts(), "");
}

TEST_F(DebtTest, APartialUpdateWithNothingButTheKeyStillNoticesAMissingRow) {
  const TableMap& map = plan("t");
  Rows rows = read(map, "id <= 2");
  apply({run_of(map, WriteKind::Upsert, {{rows.cells[0]}, {rows.keys[0]}})});
  for (std::string& row : rows.cells) row = without(row, {1, 2, 3});
  EXPECT_EQ(apply({run_of(map, WriteKind::Update, rows)}).opened.size(), 1U);
}

TEST_F(DebtTest, OneDebtPerKeyKeepsTheGreatestXidAndTheEarliestTime) {
  const TableMap& map = plan("t");
  const Rows rows = read(map, "id = 1");
  TableRun run = run_of(map, WriteKind::OpenDebt, rows, 300);
  run.rule = DebtRule::Keep;
  run.writes[0].debt = DebtReason::Doubtful;
  apply({run});
  on_target("UPDATE books.debt SET state = 'quarantined', attempts = 1");
  EXPECT_EQ(debts(), "t|doubtful|quarantined|1|300");
  run.writes[0].xid = 200;
  run.writes[0].commit_us = 5;
  run.writes[0].debt = DebtReason::Unreadable;
  apply({run});
  EXPECT_EQ(debts(), "t|unreadable|open|0|300");
  EXPECT_EQ(target_text("SELECT commit_us FROM books.debt"), "5");
  run.writes[0].xid = 0;
  apply({run});
  EXPECT_EQ(debts(), "t|unreadable|open|0|0") << "an unknown xid counts as the greatest";
}

TEST_F(DebtTest, ARowReadUnderASnapshotClearsWhatTheSnapshotSees) {
  const TableMap& map = plan("t");
  const Rows rows = read(map, "id <= 3");
  TableRun open = run_of(map, WriteKind::OpenDebt, rows, 300);
  for (Write& write : open.writes) write.debt = DebtReason::Doubtful;
  open.writes[1].xid = 2000;
  open.writes[2].xid = 0;
  apply({open});
  TableRun chunk = run_of(map, WriteKind::Upsert, rows, 0);
  chunk.rule = DebtRule::ClearVisible;
  chunk.snapshot = &late_;
  apply({chunk});
  EXPECT_EQ(debts(), "t|doubtful|open|0|0\nt|doubtful|open|0|2000");
  apply({settled(map, rows)});
  EXPECT_EQ(debts(), "t|doubtful|open|0|2000")
      << "what was read for a debt settles one without xid";
}

TEST_F(DebtTest, DebtsComeBackAsTheyWereOpened) {
  const TableMap& map = plan("t");
  const Rows rows = read(map, "id = 7");
  TableRun run = run_of(map, WriteKind::OpenDebt, rows, 300);
  run.writes[0].debt = DebtReason::Doubtful;
  apply({run});
  const auto open = target().open_debts(map.id, 10);
  ASSERT_TRUE(open.has_value());
  ASSERT_EQ(open->size(), 1U);
  EXPECT_EQ(open->front().key, rows.keys[0]);
  EXPECT_EQ(open->front().key_hash, run.writes[0].key_hash);
  EXPECT_EQ(open->front().xid, 300U);
  EXPECT_EQ(open->front().commit_us, 1'000'000);
  EXPECT_EQ(open->front().reason, DebtReason::Doubtful);
}

// ---------------------------------------------------------------- rows refused

TEST_F(DebtTest, OneRefusedRowDoesNotHoldUpTheOthers) {
  const TableMap& map = plan("t");
  on_source("UPDATE shop.t SET n = 3 WHERE id = 1");
  on_target(
      "ALTER TABLE shop.t DROP CONSTRAINT t_n_check; ALTER TABLE shop.t ADD CHECK (id <> 1777);"
      "CREATE UNIQUE INDEX ON shop.t (lower(email)); INSERT INTO shop.t VALUES (-1, 0, 'M5')");
  const Rows rows = read(map);
  const ApplyOutcome outcome = apply({run_of(map, WriteKind::Upsert, rows)});
  EXPECT_EQ(outcome.rows_written, 2998U);
  EXPECT_EQ(outcome.opened.size(), 2U);
  EXPECT_EQ(target_text("SELECT count(*) FROM shop.t"), "2999");
  EXPECT_EQ(debts(), "t|refused|open|0|100\nt|violation|open|0|100");
  EXPECT_EQ(target_text("SELECT major, batch, epoch FROM books.progress"), "1|1|1");
  EXPECT_THAT(target_text("SELECT detail FROM books.debt"), testing::Not(HasSubstr("1777,")));
}

TEST_F(DebtTest, ARefusedPartialUpdateBecomesADebtAndLaterRunsGoOn) {
  const TableMap& map = plan("t");
  const Rows rows = read(map, "id <= 3");
  apply({run_of(map, WriteKind::Upsert, rows)});
  on_target("ALTER TABLE shop.t ADD CHECK (email <> 'bad')");
  on_source("UPDATE shop.t SET email = CASE id WHEN 2 THEN 'bad' ELSE 'new' END WHERE id <= 3");
  Rows partial = read(map, "id <= 2");
  for (std::string& row : partial.cells) row = without(row, {3});
  apply({run_of(map, WriteKind::Update, partial),
         run_of(map, WriteKind::Delete, {{}, {rows.keys[2]}})});
  EXPECT_EQ(target_text("SELECT id, email FROM shop.t ORDER BY 1"), "1|new\n2|m2");
  EXPECT_EQ(debts(), "t|refused|open|0|100");
}

TEST_F(DebtTest, AValueTooLongForTheTargetIsRefusedNotCut) {
  on_target("ALTER TABLE shop.t ALTER big TYPE varchar(6)");
  TableMap map = plan("t", [] {
    TableRule rule;
    rule.drop = {"big"};
    return rule;
  }());
  map.columns.push_back({3, 3, Plane::Binary, true, false, false});
  map.id = 1;
  tables_.push_back(&map);
  const Rows rows = read(map, "id IN (999, 1000)");
  apply({run_of(map, WriteKind::Upsert, rows)});
  EXPECT_EQ(target_text("SELECT id, big FROM shop.t"), "999|big999");
  EXPECT_EQ(debts(), "t|refused|open|0|100");
}

TEST_F(DebtTest, AMissingColumnStopsItsTableAndNothingIsWritten) {
  const TableMap& map = plan("t");
  const Rows rows = read(map, "id <= 3");
  apply({run_of(map, WriteKind::Upsert, rows)});
  on_target("ALTER TABLE shop.t DROP COLUMN email");
  const ApplyOutcome outcome = apply({run_of(map, WriteKind::Upsert, rows)});
  ASSERT_TRUE(outcome.stop.has_value());
  EXPECT_EQ(outcome.stop->table, map.id);
  EXPECT_THAT(outcome.stop->error.message, HasSubstr("email"));
  EXPECT_EQ(target_text("SELECT major FROM books.progress"), "1");
}

TEST_F(DebtTest, TwoRowsOfOneStatementWithOneKeyStopTheTable) {
  const TableMap& map = plan("t");
  const Rows one = read(map, "id = 1");
  const ApplyOutcome outcome = apply(
      {run_of(map, WriteKind::Upsert, {{one.cells[0], one.cells[0]}, {one.keys[0], one.keys[0]}})});
  ASSERT_TRUE(outcome.stop.has_value());
  EXPECT_THAT(outcome.stop->error.message, HasSubstr("one key"));
}

// ---------------------------------------------------------------- settling (I17)

TEST_F(DebtTest, ASettledRowEvictsTheHolderOfItsUniqueValue) {
  on_target(
      "CREATE UNIQUE INDEX ON shop.t (lower(email) COLLATE \"C\") WHERE n >= 0;"
      "INSERT INTO shop.t VALUES (10, 1, 'M1', 'old'), (11, -5, 'm1', 'not in the index')");
  const TableMap& map = plan("t");
  const Rows rows = read(map, "id = 1");
  TableRun debt = run_of(map, WriteKind::OpenDebt, rows, 700);
  debt.writes[0].debt = DebtReason::Violation;
  apply({debt});
  const ApplyOutcome outcome = apply({settled(map, rows)});
  ASSERT_EQ(outcome.opened.size(), 1U);
  EXPECT_EQ(outcome.opened[0].reason, DebtReason::Evicted);
  EXPECT_EQ(outcome.opened[0].key_hash, key_hash(map, read(map, "id = 10").keys[0]));
  EXPECT_EQ(target_text("SELECT id, email FROM shop.t ORDER BY 1"), "1|m1\n11|m1");
  EXPECT_EQ(debts(), "t|evicted|open|0|700") << "its debt takes the settled debt's xid";
}

TEST_F(DebtTest, ASettledRowEvictsEveryHolderOfEveryConstraint) {
  on_target(
      "ALTER TABLE shop.t ADD room int, ADD during int4range GENERATED ALWAYS AS (int4range(n, n + "
      "5))"
      " STORED, ADD EXCLUDE USING gist (during WITH &&), ADD UNIQUE NULLS NOT DISTINCT (room, "
      "email);"
      "INSERT INTO shop.t (id, n, email) VALUES (10, 0, 'a'), (11, 8, 'b'), (12, 50, 'm7')");
  on_source("UPDATE shop.t SET n = 4 WHERE id = 7");
  const TableMap& map = plan("t");
  const Rows rows = read(map, "id = 7");
  const ApplyOutcome outcome = apply({settled(map, rows)});
  EXPECT_EQ(outcome.opened.size(), 3U);
  EXPECT_EQ(target_text("SELECT id FROM shop.t ORDER BY 1"), "7");
}

TEST_F(TargetTest, EvictsFromTheLeafOfAPartitionedTable) {
  on_both(
      "CREATE TABLE shop.t (id int PRIMARY KEY, u text) PARTITION BY RANGE (id);"
      "CREATE TABLE shop.t_a PARTITION OF shop.t FOR VALUES FROM (0) TO (100)");
  on_target("CREATE UNIQUE INDEX ON shop.t_a (u); INSERT INTO shop.t VALUES (2, 'x')");
  on_source("INSERT INTO shop.t VALUES (1, 'x')");
  const TableMap& map = plan("t");
  const Rows rows = read(map);
  EXPECT_EQ(apply({settled(map, rows)}).opened.size(), 1U);
  EXPECT_EQ(target_text("SELECT * FROM shop.t"), "1|x");
}

TEST_F(DebtTest, UnderUpsertTheHolderStaysAndTheDebtNamesBoth) {
  on_target("CREATE UNIQUE INDEX ON shop.t (email); INSERT INTO shop.t VALUES (10, 1, 'm1')");
  const TableMap& map = plan("t");
  const Rows rows = read(map, "id = 1");
  PostgresTargetOptions options = target_options();
  options.holders = HolderPolicy::Quarantine;
  lane_ = std::make_unique<PostgresTarget>(options, tables_, counts_);
  apply({settled(map, rows)});
  EXPECT_EQ(target_text("SELECT id FROM shop.t"), "10");
  EXPECT_EQ(debts(), "t|violation|quarantined|0|0");
  EXPECT_EQ(target_text("SELECT holder FROM books.debt"), "id = 10");
}

// Issue D, part 5: `repair --insert-only`.
TEST_F(DebtTest, ARowThatIsToBeAloneEvictsNobody) {
  on_target("CREATE UNIQUE INDEX ON shop.t (email); INSERT INTO shop.t VALUES (10, 1, 'm1')");
  const TableMap& map = plan("t");
  const Rows rows = read(map, "id = 1");
  TableRun alone = settled(map, rows);
  alone.holders = Holders::Keep;
  apply({alone});
  EXPECT_EQ(target_text("SELECT id FROM shop.t"), "10");
  EXPECT_EQ(debts(), "t|violation|quarantined|0|0");
  EXPECT_EQ(target_text("SELECT holder FROM books.debt"), "id = 10");
}

TEST_F(DebtTest, ASettlementThatFailsIsOneAttemptMoreUntilItIsQuarantined) {
  const TableMap& map = plan("t");
  on_target("ALTER TABLE shop.t ADD CHECK (id <> 1)");
  const Rows rows = read(map, "id = 1");
  TableRun debt = run_of(map, WriteKind::OpenDebt, rows, 700);
  debt.writes[0].debt = DebtReason::Doubtful;
  apply({debt});
  apply({settled(map, rows)});
  EXPECT_EQ(debts(), "t|refused|open|1|700");
  for (int attempt = 2; attempt <= 5; ++attempt) apply({settled(map, rows)});
  EXPECT_EQ(debts(), "t|refused|quarantined|5|700");
}

TEST_F(DebtTest, ASettledRowThatIsGoneRemovesItsDebt) {
  const TableMap& map = plan("t");
  const Rows rows = read(map, "id = 1");
  TableRun debt = run_of(map, WriteKind::OpenDebt, rows, 0);
  debt.writes[0].debt = DebtReason::Doubtful;
  apply({debt});
  const Rows absent{{}, rows.keys};
  TableRun forget = run_of(map, WriteKind::Forget, absent);
  forget.rule = DebtRule::ClearVisible;
  forget.snapshot = &late_;
  apply({forget});
  EXPECT_EQ(debts(), "");
}

// The event may have been a delete: only a read of its row settles that.
TEST_F(DebtTest, AnUnreadableDebtStaysSoUntilItsRowIsReadOrDeleted) {
  const TableMap& map = plan("t");
  const Rows rows = read(map, "id = 1");
  apply({run_of(map, WriteKind::Upsert, rows)});
  for (const DebtReason reason : {DebtReason::Unreadable, DebtReason::Doubtful}) {
    TableRun debt = run_of(map, WriteKind::OpenDebt, rows, 700);
    debt.rule = DebtRule::Keep;
    debt.writes[0].debt = reason;
    apply({debt});
  }
  const Rows absent{{}, rows.keys};
  TableRun settled = run_of(map, WriteKind::Forget, absent);
  settled.rule = DebtRule::ClearVisible;
  settled.snapshot = &late_;
  apply({settled});
  EXPECT_EQ(debts(), "t|unreadable|open|0|700");
  settled.kind = WriteKind::Delete;
  apply({settled});
  EXPECT_EQ(debts(), "");
  EXPECT_EQ(target_text("SELECT count(*) FROM shop.t"), "0");
}

TEST_F(TargetTest, PartialUpdatesPassAUniqueValueOnInSourceOrder) {
  on_both("CREATE TABLE shop.t (id int PRIMARY KEY, u text UNIQUE, big text)");
  on_source("INSERT INTO shop.t VALUES (1, 'a', 'x'), (2, 'b', 'x')");
  const TableMap& map = plan("t");
  ASSERT_TRUE(map.ordered);
  apply({run_of(map, WriteKind::Upsert, read(map))});
  on_source("UPDATE shop.t SET u = 'free' WHERE id = 2; UPDATE shop.t SET u = 'b' WHERE id = 1");
  Rows partial = read(map, "true", "id DESC");
  for (std::string& row : partial.cells) row = without(row, {2});
  EXPECT_TRUE(apply({run_of(map, WriteKind::Update, partial)}).opened.empty());
  EXPECT_EQ(target_text("SELECT id, u FROM shop.t ORDER BY 1"), "1|b\n2|free");
}

}  // namespace
}  // namespace lockstep
