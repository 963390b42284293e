// What a table is made of, as it is stored, and what a difference means.
#include "pipeline/tables/definition.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/unit/table_map_fixture.h"

namespace lockstep {
namespace {

using testing::HasSubstr;
using testing::StartsWith;

Type labelled(std::vector<Member> labels) {
  Type t = user_type(Kind::Enum, "public.mood");
  t.members = std::move(labels);
  return t;
}

Type pair_of(std::vector<Member> attributes) {
  Type t = user_type(Kind::Composite, "public.pair", kUserOid + 5);
  t.inner.assign(attributes.size(), kInt4);
  t.members = std::move(attributes);
  return t;
}

// CREATE TABLE t (id integer PRIMARY KEY, m mood, p pair[], g integer GENERATED ...)
TableMap sample() {
  TableSpec spec =
      table("t", {column("id", kInt4), column("m", labelled({{1, "a"}, {2, "b"}})),
                  column("p", array_of(pair_of({{1, "x"}, {2, "y"}}))), column("g", kInt4)});
  spec.columns[3].generated = true;
  for (std::size_t i = 0; i < spec.columns.size(); ++i)
    spec.columns[i].attnum = static_cast<std::int16_t>(i + 1);
  spec.key_id = 77;
  spec.key_index = "t_pkey";
  TableMap map;
  map.source = map.target = spec;
  for (std::size_t i = 0; i < 3; ++i) {
    ColumnMap mapped;
    mapped.source = mapped.target = i;
    map.columns.push_back(mapped);
  }
  return map;
}

std::optional<DefinitionChange> change(const TableSpec& now, Side side = Side::Source) {
  const TableMap map = sample();
  return definition_change(map, side, definition_of(map.source), definition_of(now));
}

TEST(Definition, IsReadAsItWasWritten) {
  TableSpec spec = sample().source;
  spec.columns[0].name = "a=b\nc\\d";
  const Definition made = definition_of(spec);
  EXPECT_EQ(parse_definition(definition_text(made)), made);
  EXPECT_TRUE(parse_definition("").empty());
}

TEST(Definition, OfTheSameTableHasNoChange) {
  TableSpec now = sample().source;
  now.columns[1].not_null = true;
  now.key_index = "renamed";
  EXPECT_FALSE(change(now).has_value());
}

// Issue E, row 35: ADD VALUE is the wrong answer to a rename.
TEST(Definition, TellsARenamedLabelFromAnAddedOne) {
  TableSpec now = sample().source;
  now.columns[1].type = labelled({{1, "a"}, {3, "new"}, {2, "b"}});
  EXPECT_EQ(change(now)->consequence, Consequence::Harmless);
  now.columns[1].type = labelled({{1, "a"}, {2, "c"}});
  EXPECT_EQ(change(now)->consequence, Consequence::Stop);
  EXPECT_EQ(change(now)->what, "label 'b' of enum public.mood was renamed to 'c' on the source");
  EXPECT_THAT(change(now)->next, StartsWith("ALTER TYPE public.mood RENAME VALUE 'b' TO 'c'"));
}

TEST(Definition, SeesAttributesInsideOfArrays) {
  TableSpec now = sample().source;
  now.columns[2].type = array_of(pair_of({{1, "x"}}));
  EXPECT_EQ(change(now)->what, "attribute \"y\" of public.pair was dropped on the source");
  now.columns[2].type = array_of(pair_of({{1, "x"}, {2, "y"}, {3, "z"}}));
  EXPECT_EQ(change(now)->what, "attribute \"z\" of public.pair was added on the source");
  now.columns[2].type = array_of(pair_of({{1, "x"}, {2, "renamed"}}));
  EXPECT_EQ(change(now)->consequence, Consequence::Harmless);
}

TEST(Definition, NamesTheColumn) {
  TableSpec now = sample().source;
  now.columns[3].generated = false;
  EXPECT_EQ(change(now)->what, "column \"g\" is not generated any more on the source");
  EXPECT_THAT(change(now)->next, HasSubstr("ALTER COLUMN \"g\" DROP EXPRESSION"));
  now = sample().source;
  now.columns[1].name = "mood";
  EXPECT_EQ(change(now)->what, "column \"m\" was renamed to \"mood\" on the source");
  now = sample().source;
  now.columns[0].type = kInt8;
  EXPECT_EQ(change(now)->what, "column \"id\" has another type now on the source");
  now = sample().source;
  now.columns.pop_back();
  EXPECT_EQ(change(now)->what, "column \"g\" was dropped on the source");
}

// What we do not write is no concern of ours there.
TEST(Definition, OfTheTargetIsAboutMappedColumns) {
  TableSpec now = sample().source;
  now.columns.pop_back();
  EXPECT_FALSE(change(now, Side::Target).has_value());
  now.columns.pop_back();
  EXPECT_EQ(change(now, Side::Target)->what, "column \"p\" was dropped on the target");
}

TEST(Definition, AKeyThatWasAwayMattersWhereTheIdentityIsTheWholeRow) {
  TableSpec now = sample().source;
  now.key_id = 78;
  EXPECT_FALSE(change(now).has_value());
  EXPECT_TRUE(key_may_mean_others(definition_of(sample().source), definition_of(now)));
  now.replica_identity = ReplicaIdentity::Full;
  EXPECT_EQ(change(now)->consequence, Consequence::CopyAgain);
  now.key.clear();
  EXPECT_EQ(change(now)->what, "its key \"t_pkey\" was dropped on the source");
  now.key = {1};
  EXPECT_EQ(change(now)->consequence, Consequence::Stop);
}

// Issue E, row 33: what was written meanwhile did not say which row it meant.
TEST(Definition, AnIdentityThatWasAnotherOneForAWhileVoidsTheRows) {
  const TableMap map = sample();
  const Definition now = definition_of(map.source);
  const Definition before = parse_definition(definition_text(with_other_identity(now)));
  const auto found = definition_change(map, Side::Source, before, now);
  ASSERT_TRUE(found);
  EXPECT_EQ(found->consequence, Consequence::CopyAgain);
  EXPECT_TRUE(key_may_mean_others(before, now));
  EXPECT_FALSE(key_may_mean_others(now, now));
}

// Issue E, row 33: "row of the table, identity, unique indexes", before and later.
bool is_suspect(const std::string& before, const std::string& now) {
  TableMap map = sample();
  RowIdentity identity{{"public", "t"}, ReplicaIdentity::Index, true, true, {0}, 500, before};
  map.source.identities = {identity};
  TableSpec later = map.source;
  later.identities[0].naming = now;
  const Definition was = definition_of(map.source);
  const Definition is = definition_of(later);
  const auto found = definition_change(map, Side::Source, was, is);
  EXPECT_EQ(found && found->consequence == Consequence::CopyAgain, key_may_mean_others(was, is));
  EXPECT_FALSE(definition_change(map, Side::Target, was, is).has_value());
  return found.has_value();
}

TEST(Definition, AnIdentityThatIsBackHasChangedTwoRowsOfTheCatalog) {
  EXPECT_TRUE(is_suspect("10 0 7:3 8:3", "12 0 7:3 8:12"));
  EXPECT_TRUE(is_suspect("10 7 7:3", "12 7 7:12"));
  EXPECT_TRUE(is_suspect("10 0 7:3", "12 0"));
  EXPECT_TRUE(is_suspect("10 0", "12 0 7:12"));
  EXPECT_TRUE(is_suspect("10 7 7:3 8:3", "12 0 7:12 8:12"));
  EXPECT_FALSE(is_suspect("10 0 7:3", "12 0 7:3"));        // A grant, a rewrite.
  EXPECT_FALSE(is_suspect("10 0 7:3", "10 0 7:12 8:12"));  // REINDEX or CREATE CONCURRENTLY.
  EXPECT_FALSE(is_suspect("10 0 7:3", "12 7 7:12"));       // It is the identity from now on, ...
  EXPECT_FALSE(is_suspect("10 7 7:3", "12 0 7:12"));       // ... or was until now.
  EXPECT_FALSE(is_suspect("10 7 7:3 8:3", "12 8 7:12 8:12"));
  EXPECT_FALSE(is_suspect("10 0", "12 0"));
  EXPECT_FALSE(is_suspect("", "12 0 7:12"));  // As an older lockstep stored it.
}

TEST(Definition, AKeyWithARivalWasNotDropped) {
  TableSpec now = sample().source;
  now.key.clear();
  now.keys = {{"t_pkey", {0}, false, false}, {"t_m", {1}, false, false}};
  EXPECT_EQ(change(now)->what,
            "its key \"t_pkey\" is one of several unique keys now (t_pkey, t_m) on the source");
  EXPECT_THAT(change(now)->next, HasSubstr("REPLICA IDENTITY USING INDEX \"t_pkey\""));
}

}  // namespace
}  // namespace lockstep
