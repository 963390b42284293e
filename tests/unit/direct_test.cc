// DirectDecoder: what the replication stream says about rows becomes the Changes of a scan's bytes.
#include "pipeline/decode/pgoutput/direct.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "pipeline/model/key.h"
#include "pipeline/tables/table_map.h"
#include "tests/unit/pgoutput_fixture.h"
#include "tests/unit/table_map_fixture.h"

namespace lockstep {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

constexpr std::uint32_t kTableOid = 5001;
constexpr Lsn kCommit = 0x1000;
constexpr Lsn kEnd = 0x1030;

Type composite() { return user_type(Kind::Other, "public.addr"); }
Type without_send() {
  Type t = type(Kind::Other, "aclitem");
  t.has_binary = false;
  return t;
}

// id int4 key, big text, note text.
TableSpec notes() {
  TableSpec spec = table("notes", {column("id", kInt4), column("big", kText)});
  spec.columns.push_back(column("n", kInt4));
  spec.oid = kTableOid;
  return spec;
}

TableMap map_of(const TableSpec& spec) {
  const auto outcome = plan_table(spec, spec, {}, {StreamKind::Direct});
  EXPECT_TRUE(outcome.map.has_value());
  return outcome.map.value();
}

std::vector<wal::Attribute> attributes_of(const TableSpec& spec, bool full = false) {
  std::vector<wal::Attribute> attributes;
  for (const Column& c : spec.columns)
    if (!c.generated)
      attributes.push_back({c.name, c.type.oid, full || attributes.empty(), c.type.typmod});
  return attributes;
}

// One cell as people write it.
std::string shown(const Cell& cell) {
  if (cell.presence == Presence::Null) return "null";
  if (cell.presence == Presence::Unavailable) return "-";
  if (cell.bytes.size() == 4 && cell.bytes[0] == '\0') return std::to_string(read_be32(cell.bytes));
  return std::string(cell.bytes);
}

std::string shown(const Change& change) {
  std::string out = change.kind == ChangeKind::Full      ? "full"
                    : change.kind == ChangeKind::Partial ? "partial"
                    : change.kind == ChangeKind::Delete  ? "delete"
                                                         : "truncate";
  CellReader cells(change.row);
  while (!cells.done()) out += " " + shown(cells.next());
  if (change.debt != DebtReason::None) out += " debt";
  return out;
}

class Direct : public ::testing::Test {
 protected:
  explicit Direct(TableSpec spec = notes()) : spec_(std::move(spec)), map_(map_of(spec_)) {}

  // Begins anew, as a process that starts at `start`.
  void open(Position start = {}, Xid near = 700, Lsn catalog = 0) {
    decoder_.emplace(DirectOptions{0, start, near, catalog}, tables_);
  }
  Status take(const std::string& message) {
    if (!decoder_) open();
    return decoder_->decode(message, batch_);
  }
  void take_all(const std::vector<std::string>& messages) {
    for (const std::string& message : messages) ASSERT_TRUE(take(message)) << message[0];
  }
  // What a transaction of these messages becomes.
  std::vector<std::string> transaction(const std::vector<std::string>& messages) {
    batch_ = {};
    take_all({wal::begin(kCommit, 77), describe()});
    take_all(messages);
    take_all({wal::commit(kCommit, kEnd)});
    return changes();
  }
  std::vector<std::string> changes() const {
    std::vector<std::string> out;
    for (const Change& change : batch_.changes) out.push_back(shown(change));
    return out;
  }
  // Every row and key that came out can be read.
  void expect_well_formed() const {
    for (const Change& change : batch_.changes) {
      const bool is_row = change.kind == ChangeKind::Full;
      if (!is_row && change.kind != ChangeKind::Delete) continue;
      const std::size_t cells = is_row ? map_.columns.size() : map_.key.size();
      EXPECT_TRUE(well_formed_cells(change.row, cells));
    }
  }
  std::string describe() const { return wal::relation(kTableOid, "notes", attributes_of(spec_)); }
  std::string stopped() const {
    return batch_.stops.empty() ? "" : batch_.stops.front().error.message;
  }

  TableSpec spec_;
  TableMap map_;
  std::vector<const TableMap*> tables_{&map_};
  std::optional<DirectDecoder> decoder_;
  ChangeBatch batch_;
};

const wal::Values kDirectRow{wal::int4(1), wal::text("a"), wal::int4(10)};

TEST_F(Direct, AnInsertIsAFullImage) {
  EXPECT_THAT(transaction({wal::insert(kTableOid, kDirectRow)}), ElementsAre("full 1 a 10"));
}

TEST_F(Direct, NullIsNull) {
  EXPECT_THAT(transaction({wal::insert(kTableOid, {wal::int4(1), wal::kNull, wal::int4(10)})}),
              ElementsAre("full 1 null 10"));
}

TEST_F(Direct, AChangeKnowsItsTransaction) {
  batch_ = {};
  take_all({wal::begin(kCommit, 77, 5'000'000), describe(), wal::insert(kTableOid, kDirectRow)});
  ASSERT_EQ(batch_.changes.size(), 1u);
  const Change& change = batch_.changes[0];
  EXPECT_EQ(change.xid, 77u);
  EXPECT_EQ(change.commit_us, kPostgresEpochUs + 5'000'000);
  EXPECT_EQ(change.next, (Position{kCommit, 1}));
  std::string key;
  ASSERT_TRUE(extract_key(map_, change.row, key));
  EXPECT_EQ(change.key, key_hash(map_, key));
}

TEST_F(Direct, XidsAreWidenedNextToTheLastOne) {
  open({}, (Xid{3} << 32) - 10);
  take_all({wal::begin(kCommit, 5), describe(), wal::insert(kTableOid, kDirectRow),
            wal::commit(kCommit, kEnd), wal::begin(kEnd, 0xFFFFFFF0u),
            wal::insert(kTableOid, kDirectRow)});
  EXPECT_EQ(batch_.changes[0].xid, (Xid{3} << 32) + 5);
  EXPECT_EQ(batch_.changes[1].xid, (Xid{3} << 32) - 16);
}

TEST_F(Direct, AnUnchangedValueIsUnavailable) {
  EXPECT_THAT(transaction({wal::update(kTableOid, {wal::int4(1), wal::kUnchanged, wal::int4(11)})}),
              ElementsAre("partial 1 - 11"));
}

TEST_F(Direct, AFullOldImageHasTheUnchangedValue) {
  EXPECT_THAT(transaction({wal::update(kTableOid, 'O', kDirectRow,
                                       {wal::int4(1), wal::kUnchanged, wal::int4(11)})}),
              ElementsAre("full 1 a 11"));
}

TEST_F(Direct, AnOldKeyHasNoOtherValues) {
  const wal::Values old_key{wal::int4(1), wal::kNull, wal::kNull};
  EXPECT_THAT(transaction({wal::update(kTableOid, 'K', old_key,
                                       {wal::int4(1), wal::kUnchanged, wal::int4(11)})}),
              ElementsAre("partial 1 - 11"));
}

TEST_F(Direct, AKeyChangeIsADeleteAndAnImageAtOnePosition) {
  const wal::Values old_key{wal::int4(1), wal::kNull, wal::kNull};
  EXPECT_THAT(transaction({wal::update(kTableOid, 'K', old_key,
                                       {wal::int4(2), wal::text("a"), wal::int4(10)})}),
              ElementsAre("delete 1", "full 2 a 10"));
  EXPECT_EQ(batch_.changes[0].next, batch_.changes[1].next);
  EXPECT_NE(batch_.changes[0].key, batch_.changes[1].key);
}

TEST_F(Direct, AKeyChangeLeavesTheUnchangedValueBehind) {
  const wal::Values old_key{wal::int4(1), wal::kNull, wal::kNull};
  EXPECT_THAT(transaction({wal::update(kTableOid, 'K', old_key,
                                       {wal::int4(2), wal::kUnchanged, wal::int4(10)})}),
              ElementsAre("delete 1", "partial 2 - 10 debt"));
}

TEST_F(Direct, ADeleteCarriesTheKeyAlone) {
  EXPECT_THAT(transaction({wal::remove(kTableOid, 'K', {wal::int4(1), wal::kNull, wal::kNull})}),
              ElementsAre("delete 1"));
  EXPECT_THAT(transaction({wal::remove(kTableOid, 'O', kDirectRow)}), IsEmpty());  // Seen before.
}

TEST_F(Direct, MessagesOriginsAndTypesAreNotCounted) {
  const std::string origin = "O" + wal::be64(1) + wal::text_z("other");
  const std::string user_type = "Y" + wal::be32(9) + wal::text_z("public") + wal::text_z("mood");
  transaction({wal::logical_message("x"), origin, user_type, wal::insert(kTableOid, kDirectRow)});
  EXPECT_EQ(batch_.changes[0].next, (Position{kCommit, 1}));
}

TEST_F(Direct, EveryTruncatedTableHasAPositionOfItsOwn) {
  TableMap other = map_;
  other.id = 1;
  other.source.oid = 5002;
  other.source.name.table = "others";
  tables_ = {&map_, &other};
  EXPECT_THAT(transaction({wal::relation(5002, "others", attributes_of(spec_)),
                           wal::relation(5003, "unmapped", attributes_of(spec_)),
                           wal::truncate({kTableOid, 5003, 5002}, '\1')}),
              ElementsAre("truncate", "truncate"));
  EXPECT_EQ(batch_.changes[0].next, (Position{kCommit, 1}));
  EXPECT_EQ(batch_.changes[1].next, (Position{kCommit, 3}));
}

TEST_F(Direct, TablesThatAreNotMappedCountAndAreLeftOut) {
  const std::string other = wal::relation(5003, "unmapped", attributes_of(spec_));
  EXPECT_THAT(
      transaction({other, wal::insert(5003, kDirectRow), wal::insert(kTableOid, kDirectRow)}),
      ElementsAre("full 1 a 10"));
  EXPECT_EQ(batch_.changes[0].next, (Position{kCommit, 2}));
}

// ---- Positions.

TEST_F(Direct, ThePositionFollowsChangesCommitsAndKeepalives) {
  open();
  take_all({wal::begin(kCommit, 77), describe()});
  EXPECT_EQ(decoder_->position(), (Position{}));
  take_all({wal::insert(kTableOid, kDirectRow)});
  EXPECT_EQ(decoder_->position(), (Position{kCommit, 1}));
  decoder_->pass(kCommit);  // The server counts the commit only once it was sent.
  EXPECT_EQ(decoder_->position(), (Position{kCommit, 1}));
  take_all({wal::commit(kCommit, kEnd)});
  EXPECT_EQ(decoder_->position(), (Position{kEnd, 0}));
  decoder_->pass(kEnd + 0x100);
  EXPECT_EQ(decoder_->position(), (Position{kEnd + 0x100, 0}));
}

TEST_F(Direct, AfterARestartInsideATransactionNothingIsSkippedOrTakenTwice) {
  const std::vector<std::string> messages{
      wal::begin(kCommit, 77),
      describe(),
      wal::insert(kTableOid, {wal::int4(1), wal::text("a"), wal::int4(10)}),
      wal::insert(kTableOid, {wal::int4(2), wal::text("b"), wal::int4(10)}),
      wal::insert(kTableOid, {wal::int4(3), wal::text("c"), wal::int4(10)}),
      wal::commit(kCommit, kEnd)};
  open({kCommit, 1});
  take_all({messages[0], messages[1], messages[2], messages[3]});
  decoder_->restart();
  take_all(messages);
  EXPECT_THAT(changes(), ElementsAre("full 2 b 10", "full 3 c 10"));
}

TEST_F(Direct, ATransactionBelowTheStartIsPassedOver) {
  open({kEnd, 0});
  EXPECT_THAT(transaction({wal::insert(kTableOid, kDirectRow)}), IsEmpty());
}

// ---- Drift.

TEST_F(Direct, ANewColumnStopsTheTableAndNamesIt) {
  auto attributes = attributes_of(spec_);
  attributes.push_back({"extra", kInt4.oid});
  EXPECT_THAT(
      transaction(
          {wal::insert(kTableOid, kDirectRow), wal::relation(kTableOid, "notes", attributes),
           wal::insert(kTableOid, {kDirectRow[0], kDirectRow[1], kDirectRow[2], wal::int4(1)})}),
      ElementsAre("full 1 a 10"));
  EXPECT_THAT(stopped(), HasSubstr("column \"extra\" was added"));
  EXPECT_EQ(batch_.stops[0].table, map_.id);
}

TEST_F(Direct, ADroppedAndARetypedColumnStopTheTable) {
  auto attributes = attributes_of(spec_);
  attributes.pop_back();
  transaction({wal::relation(kTableOid, "notes", attributes)});
  EXPECT_THAT(stopped(), HasSubstr("column \"n\" was dropped or renamed"));
  open();
  attributes = attributes_of(spec_);
  attributes[2].type = kInt8.oid;
  transaction({wal::relation(kTableOid, "notes", attributes)});
  EXPECT_THAT(stopped(), HasSubstr("column \"n\" has another type now, not integer"));
}

TEST_F(Direct, ATableMadeAnewIsAnotherTable) {
  transaction({wal::relation(6000, "notes", attributes_of(spec_))});
  EXPECT_THAT(stopped(), HasSubstr("dropped and created again"));
}

TEST_F(Direct, AKeyOutsideTheIdentityStopsTheTable) {
  auto attributes = attributes_of(spec_);
  attributes[0].in_identity = false;
  transaction({wal::relation(kTableOid, "notes", attributes)});
  EXPECT_THAT(stopped(), HasSubstr("not in its replica identity"));
}

// Issue E, row 33: of a table that is emptied and copied again, with the identity that it had then.
TEST_F(Direct, WhatNamesNoRowIsVoidBeforeANewCopy) {
  constexpr Lsn kCatalog = 0x4000;
  decoder_.emplace(DirectOptions{0, {}, 700, kCatalog, {map_.id}}, tables_);
  const wal::Values no_key{wal::kNull, wal::kNull, wal::kNull};
  auto attributes = attributes_of(spec_);
  attributes[0].in_identity = false;
  const std::string other = wal::relation(kTableOid, "notes", attributes);
  take_all({wal::begin(kCommit, 77), describe(), wal::remove(kTableOid, 'K', no_key),
            wal::insert(kTableOid, kDirectRow), wal::commit(kCommit, kEnd)});
  take_all(
      {wal::begin(kEnd, 78), other, wal::insert(kTableOid, kDirectRow), wal::commit(kEnd, 0x2000)});
  EXPECT_THAT(changes(), ElementsAre("full 1 a 10"));
  EXPECT_EQ(stopped(), "");
  EXPECT_EQ(decoder_->position(), (Position{0x2000, 0}));
  take_all({wal::begin(kCatalog, 79), other});
  EXPECT_THAT(stopped(), HasSubstr("not in its replica identity"));
}

TEST_F(Direct, RowsFromBeforeTheCatalogWasReadMayHaveOtherColumns) {
  open({}, 700, kEnd);
  std::vector<wal::Attribute> old = attributes_of(spec_);
  old[2] = {"gone", kInt8.oid};
  const std::vector<std::string> expected{"partial 1 a - debt"};
  EXPECT_EQ(transaction(
                {wal::relation(kTableOid, "notes", old),
                 wal::insert(kTableOid, {kDirectRow[0], kDirectRow[1], wal::binary("12345678")})}),
            expected);
  EXPECT_EQ(stopped(), "");
}

TEST_F(Direct, AStoppedTableIsHeldBeforeWhatItCouldNotTake) {
  const wal::Values no_key{wal::kNull, wal::kNull, wal::kNull};
  open();
  take_all({wal::begin(kCommit, 77), describe(), wal::insert(kTableOid, kDirectRow)});
  take_all({wal::remove(kTableOid, 'K', no_key)});
  EXPECT_THAT(stopped(), HasSubstr("a delete from public.notes carries no whole old key: its "
                                   "replica identity, or that of the partition, was another one"));
  EXPECT_EQ(decoder_->position(), (Position{kCommit, 1}));
  take_all({wal::insert(kTableOid, kDirectRow)});
  EXPECT_EQ(decoder_->position(), (Position{kCommit, 3}));
  EXPECT_EQ(batch_.changes.size(), 1u);
}

// ---- Planes.

class DirectPlanes : public Direct {
 protected:
  DirectPlanes()
      : Direct([] {
          TableSpec spec = table("notes", {column("id", kInt4), column("where", composite())});
          spec.columns.push_back(column("acl", without_send()));
          spec.columns.push_back(column("mood", user_type(Kind::Enum, "public.mood", 20'100)));
          spec.oid = kTableOid;
          return spec;
        }()) {}
};

TEST_F(DirectPlanes, ATypeWithoutABinaryFormComesAsText) {
  ASSERT_EQ(map_.columns[2].plane, Plane::Text);
  EXPECT_THAT(transaction({wal::insert(
                  kTableOid, {wal::int4(1), wal::kNull, wal::text("a=r/b"), wal::binary("sad")})}),
              ElementsAre("full 1 null a=r/b sad"));
}

TEST_F(DirectPlanes, ABinaryCompositeIsReadAgain) {
  ASSERT_EQ(map_.columns[1].plane, Plane::Text);
  EXPECT_TRUE(map_.columns[1].doubtful_always);
  EXPECT_THAT(transaction({wal::insert(kTableOid, {wal::int4(1), wal::binary("\1\2"),
                                                   wal::text("a=r/b"), wal::binary("sad")})}),
              ElementsAre("partial 1 - a=r/b sad debt"));
}

// ---- What is no stream.

TEST_F(Direct, WhatPostgresNeverSendsHalts) {
  const auto halts = [this](const std::string& message) {
    const Status status = take(message);
    return !status && status.error().reaction == Reaction::Halt;
  };
  EXPECT_TRUE(halts(wal::insert(kTableOid, kDirectRow)));  // Outside of a transaction.
  EXPECT_TRUE(halts(wal::commit(kCommit, kEnd)));
  take_all({wal::begin(kCommit, 77)});
  EXPECT_TRUE(halts(wal::begin(kCommit, 78)));
  EXPECT_TRUE(halts(wal::insert(kTableOid, kDirectRow)));  // Not described.
  take_all({describe()});
  EXPECT_TRUE(halts(wal::insert(kTableOid, {wal::int4(1)})));  // Of another width.
  EXPECT_TRUE(halts(wal::commit(kCommit + 1, kEnd)));
  EXPECT_TRUE(halts(""));
  EXPECT_TRUE(halts("?"));
}

std::vector<std::string> every_message(const std::string& describe) {
  return {wal::begin(kCommit, 77),
          describe,
          wal::insert(kTableOid, kDirectRow),
          wal::update(kTableOid, kDirectRow),
          wal::update(kTableOid, 'O', kDirectRow, kDirectRow),
          wal::remove(kTableOid, 'K', {wal::int4(1), wal::kNull, wal::kNull}),
          wal::truncate({kTableOid}),
          wal::commit(kCommit, kEnd)};
}

TEST_F(Direct, AMessageThatBreaksOffOrGoesOnHalts) {
  const std::vector<std::string> messages = every_message(describe());
  for (std::size_t i = 0; i < messages.size(); ++i) {
    for (std::size_t length = 0; length < messages[i].size(); ++length) {
      SCOPED_TRACE(messages[i][0] + std::to_string(length));
      open();
      take_all({messages.begin(), messages.begin() + static_cast<std::ptrdiff_t>(i)});
      EXPECT_FALSE(take(messages[i].substr(0, length)));
    }
    open();
    take_all({messages.begin(), messages.begin() + static_cast<std::ptrdiff_t>(i)});
    EXPECT_FALSE(take(messages[i] + 'x'));
  }
}

// Whatever the bytes are, what comes out is a well-formed change, a stop or a halt.
TEST_F(Direct, BytesThatAreWrongMakeNoBrokenRow) {
  const std::vector<std::string> messages = every_message(describe());
  for (std::size_t i = 0; i < messages.size(); ++i) {
    for (std::size_t at = 0; at < messages[i].size(); ++at) {
      for (const char wrong : {'\0', '\xff', '\x7f', 'b', 'n', 'u'}) {
        open();
        batch_ = {};
        take_all({messages.begin(), messages.begin() + static_cast<std::ptrdiff_t>(i)});
        std::string message = messages[i];
        message[at] = wrong;
        if (take(message)) expect_well_formed();
      }
    }
  }
}

}  // namespace
}  // namespace lockstep
