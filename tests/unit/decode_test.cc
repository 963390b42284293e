// DebeziumDecoder: from records to changes; what stops a table, what halts, what becomes a debt.
#include <gtest/gtest.h>

#include <map>

#include "pipeline/model/key.h"
#include "tests/unit/decode_fixture.h"

namespace lockstep {
namespace {

constexpr std::string_view kSource =
    R"("source":{"version":"3.6.0.Final","connector":"postgresql","name":"p",)"
    R"("ts_ms":1795237531903,"snapshot":"false","db":"kd",)"
    R"("sequence":"[\"27658328\",\"27658552\"]","ts_us":1795237531903547,)"
    R"("schema":"public","table":"t","txId":781,"lsn":27658552,"xmin":null})";

using Headers = std::map<std::string, std::string>;

std::optional<std::string_view> look_up_table(const void* message, const char* name) {
  const auto& headers = *static_cast<const Headers*>(message);
  const auto found = headers.find(name);
  if (found == headers.end()) return std::nullopt;
  return found->second;
}

// A table t(id int4 key, v text, n int4) and one stream of its events.
class Decode : public testing::Test {
 protected:
  Decode() { settings_.placeholder = "ph7x", settings_.placeholder_is_default = false; }

  void SetUp() override {
    Column value = column_of("v", type_of(TypeKind::Text, 25));
    value.toastable = true;
    table_ = table_of({column_of("id", type_of(TypeKind::Int4, 23)), value,
                       column_of("n", type_of(TypeKind::Int4, 23))},
                      1);
  }

  DebeziumDecoder& decoder() {
    if (!decoder_) {
      decoder_.emplace(settings_, std::vector<const TableMap*>{&table_});
      decoder_->set_last_xid(0, 700);
    }
    return *decoder_;
  }

  Result<Decoded> record(std::optional<std::string> key, std::optional<std::string> value) {
    Record record;
    record.topic = topic_;
    record.partition = 0;
    record.offset = 41;
    record.key = key;
    record.value = value;
    record.next = {42, 0};
    record.header = look_up_table;
    record.message = &headers_;
    return decoder().decode(record);
  }

  // An event with the given `after` and operation, on the key {"id":1}.
  Result<Decoded> event(const std::string& op, const std::string& after,
                        const std::string& key = R"({"id":1})") {
    return record(key, "{\"before\":null,\"after\":" + after + "," + std::string(kSource) +
                           ",\"transaction\":null,\"op\":\"" + op + "\",\"ts_ms\":1}");
  }

  Change change(const std::string& op, const std::string& after,
                const std::string& key = R"({"id":1})") {
    const Result<Decoded> decoded = event(op, after, key);
    EXPECT_TRUE(decoded.has_value() && decoded->kind == Decoded::Kind::Change);
    return decoded.has_value() ? decoded->change : Change{};
  }

  std::string stop(const Result<Decoded>& decoded) {
    if (!decoded.has_value()) return "halt: " + decoded.error().message;
    if (decoded->kind != Decoded::Kind::Stop) return "no stop";
    EXPECT_EQ(decoded->stop.table, 7U);
    EXPECT_EQ(decoded->stop.error.reaction, Reaction::StopTable);
    return decoded->stop.error.message;
  }

  std::string halt(const Result<Decoded>& decoded) {
    if (decoded.has_value()) return "no halt";
    EXPECT_EQ(decoded.error().reaction, Reaction::Halt);
    return decoded.error().message;
  }

  bool nothing(const Result<Decoded>& decoded) {
    return decoded.has_value() && decoded->kind == Decoded::Kind::Nothing;
  }

  using Cells = std::vector<std::string>;

  DecodeSettings settings_;
  TableMap table_;
  Headers headers_;
  std::string topic_ = "p.public.t";
  std::optional<DebeziumDecoder> decoder_;
};

constexpr const char* kRow = R"({"id":1,"v":"a","n":5})";

TEST_F(Decode, AnInsertIsFull) {
  const Change insert = change("c", kRow);
  EXPECT_EQ(insert.kind, ChangeKind::Full);
  EXPECT_EQ(insert.table, 7U);
  EXPECT_EQ(insert.debt, DebtReason::None);
  EXPECT_EQ(insert.next, (Position{42, 0}));
  EXPECT_EQ(insert.xid, 781U);
  EXPECT_EQ(insert.commit_us, 1795237531903547);
  EXPECT_EQ(insert.sequence, (Position{27658328, 27658552}));
  EXPECT_EQ(cells_of(insert.row), (Cells{"00000001", "61", "00000005"}));
  EXPECT_EQ(insert.key, key_hash(table_, row_of({"00000001"})));
  EXPECT_TRUE(insert.evidence.empty());
}

TEST_F(Decode, FieldsMayComeInAnyOrder) {
  const Cells expected{"00000001", "61", "00000005"};
  EXPECT_EQ(cells_of(change("u", R"({"n":5,"id":1,"v":"a"})").row), expected);
  EXPECT_EQ(cells_of(change("u", R"({"v":"a","n":5,"id":1})").row), expected);
  const Result<Decoded> first =
      record(R"({"id":1})", "{\"op\":\"u\"," + std::string(kSource) + ",\"after\":" + kRow + "}");
  ASSERT_TRUE(first.has_value());
  EXPECT_EQ(cells_of(first->change.row), expected);
}

TEST_F(Decode, OperationsAreReadInEitherCase) {
  EXPECT_EQ(change("C", kRow).kind, ChangeKind::Full);
  EXPECT_EQ(change("D", "null").kind, ChangeKind::Delete);
}

TEST_F(Decode, UnknownOperationsHalt) {
  EXPECT_EQ(halt(event("x", kRow)),
            "p.public.t/0 offset 41: unknown operation in a Debezium event");
  EXPECT_NE(halt(event("", kRow)), "no halt");
}

TEST_F(Decode, ADeleteHasItsKeyOnly) {
  const Change gone = change("d", "null");
  EXPECT_EQ(gone.kind, ChangeKind::Delete);
  EXPECT_EQ(gone.row, row_of({"00000001"}));
  EXPECT_EQ(gone.key, key_hash(table_, row_of({"00000001"})));
}

TEST_F(Decode, ATruncateHasNoRow) {
  const Result<Decoded> decoded = record(
      std::nullopt, "{\"before\":null,\"after\":null," + std::string(kSource) + ",\"op\":\"t\"}");
  ASSERT_TRUE(decoded.has_value());
  EXPECT_EQ(decoded->change.kind, ChangeKind::Truncate);
  EXPECT_EQ(decoded->change.sequence, (Position{27658328, 27658552}));
  EXPECT_EQ(decoded->change.row, "");
}

TEST_F(Decode, WhatIsNoRowChangeIsNothing) {
  EXPECT_TRUE(nothing(record(R"({"id":1})", std::nullopt)));
  topic_ = "__debezium-heartbeat.p";
  EXPECT_TRUE(nothing(record(R"({"serverName":"p"})", R"({"ts_ms":1})")));
  topic_ = "p.transaction";
  EXPECT_TRUE(nothing(
      record(R"({"id":"1:2"})", R"({"status":"BEGIN","id":"1:2","event_count":null,"ts_ms":1})")));
  topic_ = "p.message";
  EXPECT_TRUE(nothing(record(R"({"prefix":"x"})",
                             R"({"op":"m","source":{"schema":"","table":"","txId":null},)"
                             R"("message":{"prefix":"x","content":"AA=="}})")));
}

TEST_F(Decode, UnmappedTablesAreIgnored) {
  table_.source.name.table = "u";
  const Result<Decoded> decoded = event("c", kRow);
  ASSERT_TRUE(decoded.has_value());
  EXPECT_EQ(decoded->kind, Decoded::Kind::Ignored);
}

TEST_F(Decode, LeavesStandForTheirRoot) {
  table_.source.name.table = "root";
  table_.source.leaves = {{"public", "t"}};
  EXPECT_EQ(change("c", kRow).key, key_hash(table_, row_of({"00000001"})));
}

TEST_F(Decode, ALeafAttachedLaterIsKnownFromThenOn) {
  table_.source.name.table = "root";
  EXPECT_EQ(event("c", kRow)->kind, Decoded::Kind::Ignored);
  decoder().add_leaf({"public", "t"}, 7);
  EXPECT_EQ(event("c", kRow)->kind, Decoded::Kind::Change);
}

TEST_F(Decode, UnwrappedEventsHalt) {
  EXPECT_NE(halt(record(R"({"id":1})", R"({"id":1,"v":"a","n":5})")).find("ExtractNewRecordState"),
            std::string::npos);
}

TEST_F(Decode, AnUnchangedToastValueMakesAPartialWithoutDebt) {
  const Change update = change("u", R"({"id":1,"v":"ph7x","n":5})");
  EXPECT_EQ(update.kind, ChangeKind::Partial);
  EXPECT_EQ(update.debt, DebtReason::None);
  EXPECT_EQ(cells_of(update.row), (Cells{"00000001", "unavailable", "00000005"}));
}

TEST_F(Decode, AnInsertWithAPlaceholderIsADebt) {
  const Change insert = change("c", R"({"id":1,"v":"ph7x","n":5})");
  EXPECT_EQ(insert.kind, ChangeKind::Partial);
  EXPECT_EQ(insert.debt, DebtReason::Doubtful);
}

TEST_F(Decode, AMissingColumnIsADebt) {
  const Change update = change("u", R"({"id":1,"n":5})");
  EXPECT_EQ(update.kind, ChangeKind::Partial);
  EXPECT_EQ(update.debt, DebtReason::Doubtful);
  EXPECT_EQ(cells_of(update.row), (Cells{"00000001", "unavailable", "00000005"}));
}

TEST_F(Decode, AnUnknownColumnStopsTheTable) {
  const std::string message = stop(event("u", R"({"id":1,"v":"a","n":5,"extra":1})"));
  EXPECT_NE(message.find("column extra of public.t"), std::string::npos) << message;
}

TEST_F(Decode, AColumnThatIsNotMappedIsPassedOver) {
  table_.columns.pop_back();
  EXPECT_EQ(cells_of(change("c", kRow).row), (Cells{"00000001", "61"}));
}

TEST_F(Decode, AWrongTypeIsADebtWithEvidence) {
  const Result<Decoded> decoded = event("u", R"({"id":1,"v":"a","n":"five"})");
  ASSERT_TRUE(decoded.has_value());
  EXPECT_EQ(decoded->change.kind, ChangeKind::Partial);
  EXPECT_EQ(decoded->change.debt, DebtReason::Unreadable);
  EXPECT_EQ(cells_of(decoded->change.row), (Cells{"00000001", "61", "unavailable"}));
  EXPECT_TRUE(decoded->change.evidence.starts_with("{\"before\""));
  EXPECT_EQ(decoded->change.detail,
            "p.public.t/0 offset 41: public.t: the value of column n is none of its type");
}

TEST_F(Decode, NestingIsNoDanger) {
  const std::string bomb(100'000, '[');
  const std::string closed = bomb + std::string(bomb.size(), ']');
  EXPECT_EQ(change("u", R"({"id":1,"v":"a","n":)" + closed + "}").debt, DebtReason::Unreadable);
  EXPECT_EQ(change("u", R"({"id":1,"v":"a","n":)" + bomb + "}").debt, DebtReason::Unreadable);
}

TEST_F(Decode, ALargeValueIsCarried) {
  const std::string large(5'000'000, 'x');
  EXPECT_EQ(change("u", R"({"id":1,"v":")" + large + R"(","n":5})").row.size(), large.size() + 20);
  EXPECT_EQ(cells_of(change("u", kRow).row), (Cells{"00000001", "61", "00000005"}));
}

TEST_F(Decode, BrokenJsonWithAReadableKeyIsADebt) {
  const std::string cut = "{\"before\":null,\"after\":{\"id\":1,\"v\":}," + std::string(kSource);
  const Change update = record(R"({"id":1})", cut)->change;
  EXPECT_EQ(update.kind, ChangeKind::Partial);
  EXPECT_EQ(update.debt, DebtReason::Unreadable);
  EXPECT_EQ(update.xid, 781U);
  EXPECT_EQ(cells_of(update.row), (Cells{"00000001", "unavailable", "unavailable"}));
  EXPECT_EQ(update.evidence, cut);
}

TEST_F(Decode, AMissingValueIsBrokenJsonAndNoUnknownColumn) {
  const Change update = change("u", R"({"id":1,"v":,"n":5})");
  EXPECT_EQ(update.debt, DebtReason::Unreadable);
  EXPECT_EQ(cells_of(update.row), (Cells{"00000001", "unavailable", "unavailable"}));
}

TEST_F(Decode, BrokenJsonWithoutATransactionStopsTheTable) {
  EXPECT_NE(stop(record(R"({"id":1})", R"({"before":null,"after":{"id":1,"v":"a)")), "no stop");
}

TEST_F(Decode, BadUtf8KeepsTransactionAndOperation) {
  const Change update = change("u", "{\"id\":1,\"v\":\"\xff\",\"n\":5}");
  EXPECT_EQ(update.debt, DebtReason::Unreadable);
  EXPECT_EQ(update.xid, 781U);
  const Result<Decoded> gone =
      record(R"({"id":1})", "{\"before\":{\"v\":\"\xff\"},\"after\":null," + std::string(kSource) +
                                ",\"op\":\"d\"}");
  ASSERT_TRUE(gone.has_value());
  EXPECT_EQ(gone->change.kind, ChangeKind::Delete);
  EXPECT_EQ(gone->change.debt, DebtReason::Unreadable);
}

TEST_F(Decode, BrokenJsonWithoutAKeyStopsTheTable) {
  EXPECT_NE(stop(record(std::nullopt, "{")), "no stop");
  EXPECT_NE(stop(record("{\"id\":", "{")), "no stop");
}

TEST_F(Decode, BrokenJsonOnAnUnknownTopicHalts) {
  topic_ = "p.elsewhere";
  EXPECT_NE(halt(record(R"({"id":1})", "{")), "no halt");
}

TEST_F(Decode, AKeyedTableNeedsAReadableKey) {
  const std::string value =
      std::string("{\"after\":") + kRow + "," + std::string(kSource) + ",\"op\":\"u\"}";
  EXPECT_NE(stop(record(std::nullopt, value)).find("has no key"), std::string::npos);
  EXPECT_NE(stop(record(R"({"id":"x"})", value)).find("column id"), std::string::npos);
  EXPECT_NE(stop(record(R"({"other":1})", value)).find("column other"), std::string::npos);
  // Issue E, row 25: the column and what to do are said.
  for (const auto& [key, fault] : std::vector<std::pair<std::string, std::string>>{
           {"{}", "it says nothing of column id; the table's key is id"},
           {"[1]", "it is no JSON object"},
           {R"({"id":1}x)", "it is no JSON object"},
           {R"({"id":"one"})", "the value of column id is none of its type"},
           {R"({"other":1})", "column other is not in the table"}}) {
    const std::string why = stop(record(key, value));
    EXPECT_NE(why.find("of public.t cannot be read: " + fault), std::string::npos) << why;
    EXPECT_NE(why.find("move this table by a migration of its own"), std::string::npos) << why;
  }
}

TEST_F(Decode, AKeyThatIsNotItsRowsStopsTheTable) {
  EXPECT_NE(stop(event("u", kRow, R"({"id":2})")).find("not the key of its row"),
            std::string::npos);
}

TEST_F(Decode, CompositeKeysAreReadByName) {
  table_.key = {2, 0};
  table_.canonical = {CanonicalRule::Bytes, CanonicalRule::Bytes};
  EXPECT_EQ(change("d", "null", R"({"n":5,"id":1})").row, row_of({"00000005", "00000001"}));
  EXPECT_EQ(change("d", "null", R"({"id":1,"n":5})").row, row_of({"00000005", "00000001"}));
}

TEST_F(Decode, AKeyChangeIsADeleteAndAnInsert) {
  headers_ = {{"__debezium.newkey", R"({"id":11})"}};
  const Decoded gone = event("d", "null").value();
  EXPECT_EQ(gone.change.kind, ChangeKind::Delete);
  // The other half may never come.
  ASSERT_TRUE(gone.reread);
  EXPECT_EQ(gone.reread->kind, ChangeKind::Partial);
  EXPECT_EQ(gone.reread->debt, DebtReason::Doubtful);
  EXPECT_EQ(gone.reread->xid, gone.change.xid);
  EXPECT_EQ(gone.reread->next, gone.change.next);
  headers_ = {{"__debezium.oldkey", R"({"id":1})"}};
  const Change come = change("c", R"({"id":11,"v":"a","n":5})", R"({"id":11})");
  EXPECT_EQ(come.kind, ChangeKind::Full);
  EXPECT_EQ(come.key, gone.reread->key);
  const Change left = change("c", R"({"id":11,"v":"ph7x","n":5})", R"({"id":11})");
  EXPECT_EQ(left.kind, ChangeKind::Partial);
  EXPECT_EQ(left.debt, DebtReason::Doubtful);
}

// numeric 1.0 to 1.00, citext case: one key in two spellings is one row, and its TOAST value stays.
TEST_F(Decode, ACanonicallyEqualKeyChangeIsAnUpdate) {
  table_.source.columns[0].type = type_of(TypeKind::Citext);
  table_.canonical = {CanonicalRule::FoldAscii};
  headers_ = {{"__debezium.newkey", R"({"id":"A"})"}};
  const Decoded half = event("d", "null", R"({"id":"a"})").value();
  EXPECT_EQ(half.change.kind, ChangeKind::Partial);
  EXPECT_EQ(half.change.debt, DebtReason::Doubtful);
  EXPECT_FALSE(half.reread);
  headers_ = {{"__debezium.oldkey", R"({"id":"a"})"}};
  const Change update = change("c", R"({"id":"A","v":"ph7x","n":5})", R"({"id":"A"})");
  EXPECT_EQ(update.kind, ChangeKind::Partial);
  EXPECT_EQ(update.debt, DebtReason::None);
}

TEST_F(Decode, SnapshotEventsHalt) {
  EXPECT_NE(halt(event("r", kRow)).find("snapshot.mode"), std::string::npos);
}

TEST_F(Decode, SnapshotEventsAreReadAgainWhenTheManifestSaysSo) {
  settings_.snapshot_events_reread = true;
  const Change row = change("r", kRow);
  EXPECT_EQ(row.kind, ChangeKind::Partial);
  EXPECT_EQ(row.debt, DebtReason::Snapshot);
  EXPECT_EQ(row.xid, 0U);
  EXPECT_EQ(cells_of(row.row), (Cells{"00000001", "unavailable", "unavailable"}));
}

TEST_F(Decode, TransactionsAreWidenedFromTheLastOne) {
  decoder().set_last_xid(0, (Xid{5} << 32) + 4'000'000'000);
  EXPECT_EQ(change("u", kRow).xid, (Xid{6} << 32) + 781);
  EXPECT_EQ(change("u", kRow).xid, (Xid{6} << 32) + 781);
}

// I4, I5, I7: what is taken for older than it is would be taken for seen by every snapshot.
TEST_F(Decode, APartitionMayHaveBeenAtRestForMoreThanHalfOfAllNumbers) {
  const Xid turn = Xid{1} << 32;
  decoder().set_last_xid(0, 5 * turn + 100);
  decoder().set_newest_xid(5 * turn + 3'000'000'000);
  const auto with_xid = [&](std::uint64_t xid) {
    const std::string value = std::string("{\"after\":") + kRow +
                              R"(,"source":{"schema":"public","table":"t","txId":)" +
                              std::to_string(xid) + R"(},"op":"u"})";
    return record(R"({"id":1})", value)->change.xid;
  };
  EXPECT_EQ(with_xid(2'900'000'000), 5 * turn + 2'900'000'000);
  EXPECT_EQ(with_xid(3'000'000'007), 5 * turn + 3'000'000'007) << "younger than the probe";
  EXPECT_EQ(with_xid(2'800'000'000), 5 * turn + 2'800'000'000) << "it committed late";
  decoder().set_last_xid(0, 5 * turn + 100);
  decoder().set_newest_xid(8 * turn + 50);
  EXPECT_EQ(with_xid(40), 8 * turn + 40) << "of older ones it is the last";
  decoder().set_newest_xid(5 * turn);
  EXPECT_EQ(with_xid(60), 8 * turn + 60) << "it never goes back";
}

TEST_F(Decode, AChangeWithoutATransactionHalts) {
  const std::string value = std::string("{\"after\":") + kRow +
                            R"(,"source":{"schema":"public","table":"t","txId":null},"op":"u"})";
  EXPECT_NE(halt(record(R"({"id":1})", value)).find("txId"), std::string::npos);
}

TEST_F(Decode, TheFirstSequenceMayHaveNoPredecessor) {
  const std::string value = std::string("{\"after\":") + kRow +
                            R"(,"source":{"schema":"public","table":"t","txId":781,"ts_ms":5,)"
                            R"("sequence":"[null,\"9\"]"},"op":"u"})";
  const Result<Decoded> decoded = record(R"({"id":1})", value);
  ASSERT_TRUE(decoded.has_value());
  EXPECT_EQ(decoded->change.sequence, (Position{0, 9}));
  EXPECT_EQ(decoded->change.commit_us, 5000);
}

TEST_F(Decode, LossyFormsAreRefusedByTheSettingsName) {
  table_.source.columns[2].type = type_of(TypeKind::Numeric);
  EXPECT_NE(halt(event("u", R"({"id":1,"v":"a","n":1.5})")).find("decimal.handling.mode"),
            std::string::npos);
  table_.source.columns[2].type = type_of(TypeKind::Date);
  decoder_.reset();
  EXPECT_NE(halt(event("u", R"({"id":1,"v":"a","n":"2024-01-01Z"})")).find("time.precision.mode"),
            std::string::npos);
}

// The schema part of an event of t, whose columns have these schemas.
std::string with_schema(const std::string& n, const std::string& after) {
  const std::string row = R"({"type":"struct","fields":[{"type":"int32","field":"id"},)"
                          R"({"type":"string","field":"v"},)" +
                          n + R"(],"field":")";
  return R"({"schema":{"type":"struct","fields":[)" + row + R"(before"},)" + row +
         R"(after"}]},"payload":{"after":)" + after + "," + std::string(kSource) + R"(,"op":"u"}})";
}

constexpr const char* kKeyWithSchema =
    R"({"schema":{"type":"struct","fields":[{"type":"int32","field":"id"}]},"payload":{"id":1}})";

TEST_F(Decode, SchemaPartsAreReadOnceAndThenSkipped) {
  const std::string value = with_schema(R"({"type":"int32","field":"n"})", kRow);
  for (int i = 0; i < 3; ++i) {
    const Result<Decoded> decoded = record(kKeyWithSchema, value);
    ASSERT_TRUE(decoded.has_value());
    EXPECT_EQ(cells_of(decoded->change.row), (Cells{"00000001", "61", "00000005"}));
  }
  EXPECT_EQ(cells_of(change("u", kRow).row), (Cells{"00000001", "61", "00000005"}));
}

TEST_F(Decode, AKeyColumnMayBeCalledSchema) {
  table_.source.columns[0].name = "schema";
  EXPECT_EQ(cells_of(change("u", R"({"schema":1,"v":"a","n":5})", R"({"schema":1})").row),
            (Cells{"00000001", "61", "00000005"}));
}

struct Refusal {
  TypeKind kind;
  const char* schema;
  const char* expected;
};

TEST_F(Decode, SchemaPartsShowRefusedSettings) {
  const Refusal refusals[] = {
      {TypeKind::Numeric, R"("type":"bytes","name":"org.apache.kafka.connect.data.Decimal")",
       "decimal.handling.mode is precise"},
      {TypeKind::Numeric, R"("type":"struct","name":"io.debezium.data.VariableScaleDecimal")",
       "decimal.handling.mode is precise"},
      {TypeKind::Money, R"("type":"double")", "decimal.handling.mode is double"},
      {TypeKind::Timestamp, R"("type":"int64","name":"org.apache.kafka.connect.data.Timestamp")",
       "time.precision.mode is connect"},
      {TypeKind::Timestamp, R"("type":"int64","name":"io.debezium.time.NanoTimestamp")",
       "time.precision.mode is nanoseconds"},
      {TypeKind::Date, R"("type":"string","name":"io.debezium.time.IsoDate")",
       "time.precision.mode is isostring"},
      {TypeKind::Time, R"("type":"int32","name":"io.debezium.time.Time")", "time.precision.mode"},
      {TypeKind::Bytea, R"("type":"string")", "binary.handling.mode is base64 or hex"},
  };
  for (const Refusal& refusal : refusals) {
    table_.source.columns[2].type = type_of(refusal.kind);
    decoder_.reset();
    const std::string value =
        with_schema(std::string("{") + refusal.schema + R"(,"field":"n"})", kRow);
    for (int i = 0; i < 2; ++i) {
      const std::string message = halt(record(kKeyWithSchema, value));
      EXPECT_NE(message.find(refusal.expected), std::string::npos) << message;
    }
  }
}

}  // namespace
}  // namespace lockstep
