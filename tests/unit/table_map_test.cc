// plan_table: which columns meet, which casts are safe, how the key becomes lanes, what Debezium
// cannot carry.
#include "pipeline/tables/table_map.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/unit/table_map_fixture.h"

namespace lockstep {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

MapOutcome plan(const TableSpec& source, const TableSpec& target, const TableRule& rule = {}) {
  return plan_table(source, target, rule, {StreamKind::Debezium});
}

std::vector<std::string> errors(const MapOutcome& outcome) {
  std::vector<std::string> texts;
  for (const auto& p : outcome.problems) {
    if (p.severity == Severity::Error) texts.push_back(p.text);
  }
  EXPECT_EQ(outcome.map.has_value(), texts.empty());
  return texts;
}
std::vector<std::string> warnings(const MapOutcome& outcome) {
  std::vector<std::string> texts;
  for (const auto& p : outcome.problems) {
    if (p.severity == Severity::Warning) texts.push_back(p.text + " | " + p.hint);
  }
  return texts;
}

TEST(TableMap, IdentityMapsEveryColumnAndCopiesDirectly) {
  const auto spec = table("t", {column("id", kInt4), column("v", kText)});
  const auto outcome = plan(spec, spec);
  ASSERT_TRUE(outcome.map.has_value());
  EXPECT_THAT(outcome.problems, IsEmpty());
  EXPECT_EQ(outcome.map->columns.size(), 2U);
  EXPECT_THAT(outcome.map->key, ElementsAre(0U));
  EXPECT_THAT(outcome.map->canonical, ElementsAre(CanonicalRule::Bytes));
  EXPECT_TRUE(outcome.map->direct_copy);
  EXPECT_FALSE(outcome.map->one_lane);
}

TEST(TableMap, RenamesDropsAndSets) {
  auto target =
      table("o", {column("origin", kText), column("customer_id", kInt4), column("id", kInt4)});
  target.key = {2};
  target.columns[0].not_null = true;
  TableRule rule;
  rule.rename = {{"cust", "customer_id"}};
  rule.drop = {"legacy"};
  rule.set = {{"origin", "shop-eu"}};
  const auto outcome =
      plan(table("o", {column("id", kInt4), column("legacy", kText), column("cust", kInt4)}),
           target, rule);
  ASSERT_THAT(errors(outcome), IsEmpty());
  EXPECT_EQ(outcome.map->target_column(1).name, "customer_id");
  EXPECT_EQ(outcome.map->source_column(1).name, "cust");
  EXPECT_EQ(outcome.map->constants[0].target, 0U);
}

TEST(TableMap, NamesEveryMistakeOfARuleAtOnce) {
  const auto spec = table("t", {column("id", kInt4), column("a", kText), column("b", kText)});
  TableRule rule;
  rule.rename = {{"a", "b"}, {"no1", "x"}};
  rule.drop = {"no2"};
  rule.set = {{"no3", "1"}, {"b", "1"}};
  rule.reread_arrays = {"a", "no4"};
  EXPECT_THAT(errors(plan(spec, spec, rule)),
              testing::UnorderedElementsAre(
                  "public.t.no1 does not exist on the source",
                  "public.t.no2 does not exist on the source", "public.t.a is not an array",
                  "public.t.no4 does not exist on the source", "public.t.b is given both a and b",
                  "public.t.b is set to a constant and fed by public.t.a",
                  "public.t.no3 does not exist on the target"));
}

TEST(TableMap, RefusesColumnsWithoutAPlaceOrAValue) {
  auto target = table("t", {column("id", kInt4), column("needed", kText), column("filled", kText)});
  target.columns[1].not_null = target.columns[2].not_null = true;
  target.columns[2].has_default = true;
  EXPECT_THAT(errors(plan(table("t", {column("id", kInt4), column("gone", kText)}), target)),
              ElementsAre("public.t.gone has no column on the target: public.t.gone does not exist",
                          "public.t.needed is NOT NULL without default and gets no value"));
}

TEST(TableMap, LeavesGeneratedColumnsOutOnBothSides) {
  auto spec = table("t", {column("id", kInt4), column("g", kInt4)});
  auto plain = spec;
  spec.columns[1].generated = true;
  EXPECT_EQ(plan(spec, spec).map->columns.size(), 1U);
  EXPECT_THAT(errors(plan(spec, plain)), ElementsAre(HasSubstr("would stay empty")));
  EXPECT_THAT(errors(plan(plain, spec)), ElementsAre(HasSubstr("is generated on the target")));
  TableRule rule;
  rule.drop = {"g"};
  EXPECT_THAT(errors(plan(spec, plain, rule)), IsEmpty());
  EXPECT_THAT(errors(plan(plain, spec, rule)), IsEmpty());
}

TEST(TableMap, WarnsWhereTheTargetIsStricter) {
  const auto source = table("t", {column("id", kInt4), column("v", kText)});
  auto target = source;
  target.columns[1].not_null = true;
  EXPECT_THAT(warnings(plan(source, target)), ElementsAre(HasSubstr("a row with NULL would be")));
}

TEST(TableMap, RefusesKeysThatDoNotMeet) {
  const auto good = table("t", {column("id", kInt4), column("v", kText)});
  auto none = good;
  none.key = {};
  EXPECT_THAT(errors(plan(none, good)), ElementsAre(HasSubstr("has no usable key")));
  EXPECT_THAT(errors(plan(good, none)),
              ElementsAre(HasSubstr("no primary key or unique index over (id)")));
  auto deferrable = good;
  deferrable.key_deferrable = true;
  EXPECT_THAT(errors(plan(good, deferrable)), ElementsAre(HasSubstr("is DEFERRABLE")));
  EXPECT_THAT(errors(plan(deferrable, good)), ElementsAre(HasSubstr("two rows may have one key")));
  auto other = good;
  other.key = {1};
  EXPECT_THAT(errors(plan(good, other)), ElementsAre(HasSubstr("its key is (v)")));
  TableRule rule;
  rule.drop = {"id"};
  EXPECT_THAT(errors(plan(good, good, rule)),
              ElementsAre("public.t.id is NOT NULL without default and gets no value",
                          "public.t.id is part of the key and does not reach the target"));
}

TEST(TableMap, KeepsTheSourceKeysOrder) {
  auto source = table("t", {column("a", kInt4), column("b", kText)});
  auto target = source;
  source.key = {1, 0};
  target.key = {0, 1};
  EXPECT_THAT(plan(source, target).map->key, ElementsAre(1U, 0U));
}

// Issue E, rows 32 and 33.
TEST(TableMap, WantsAReplicaIdentityThatHoldsTheKey) {
  const auto good = table("t", {column("id", kInt4), column("m", kInt4)});
  const auto plan_with = [&](ReplicaIdentity kind, const std::vector<std::size_t>& columns,
                             bool key_is_primary = true) {
    auto source = good;
    source.key_is_primary = key_is_primary;
    RowIdentity identity;
    identity.table = source.name;
    identity.kind = kind;
    identity.usable = kind == ReplicaIdentity::Full || !columns.empty();
    identity.columns = columns;
    source.identities = {identity};
    return plan(source, good);
  };
  const auto nothing = plan_with(ReplicaIdentity::Nothing, {});
  EXPECT_THAT(errors(nothing), ElementsAre(HasSubstr("(REPLICA IDENTITY NOTHING)")));
  EXPECT_EQ(nothing.problems[0].hint,
            "ALTER TABLE \"public\".\"t\" REPLICA IDENTITY DEFAULT on the source");
  EXPECT_THAT(plan_with(ReplicaIdentity::Default, {}, false).problems[0].hint,
              HasSubstr("USING INDEX \"t_pkey\""));
  EXPECT_THAT(errors(plan_with(ReplicaIdentity::Index, {1})),
              ElementsAre(HasSubstr("the replica identity of public.t is (m), the key of public.t "
                                    "is (id)")));
  EXPECT_THAT(errors(plan_with(ReplicaIdentity::Index, {1, 0})), IsEmpty());
  EXPECT_THAT(errors(plan_with(ReplicaIdentity::Full, {})), IsEmpty());
}

// One statement cures it, and leads to no other refusal.
TEST(TableMap, ADeferrableKeyIsMadeAnew) {
  const auto good = table("t", {column("id", kInt4)});
  auto deferrable = good;
  deferrable.key_deferrable = true;
  RowIdentity identity;
  identity.table = good.name;
  identity.kind = ReplicaIdentity::Default;
  deferrable.identities = {identity};
  const std::string statement =
      "ALTER TABLE \"public\".\"t\" DROP CONSTRAINT \"t_pkey\", ADD PRIMARY KEY (\"id\")";
  const auto source = plan(deferrable, good);
  EXPECT_THAT(errors(source), ElementsAre(HasSubstr("of public.t on the source is DEFERRABLE")));
  EXPECT_THAT(source.problems[0].hint, HasSubstr(statement + " on the source, and the like"));
  const auto target = plan(good, deferrable);
  EXPECT_THAT(errors(target), ElementsAre(HasSubstr("the key t_pkey of public.t is DEFERRABLE")));
  EXPECT_EQ(target.problems[0].hint, statement + " on the target");
}

// Issue E, row 32: a new partition has no identity but the primary key of its root.
TEST(TableMap, WantsAPrimaryKeyThatNewPartitionsTake) {
  auto source = table("t", {column("id", kInt4)});
  source.kind = RelationKind::PartitionedRoot;
  RowIdentity full;
  full.kind = ReplicaIdentity::Full;
  source.identities = {full};
  source.keys = {{.name = "t_pkey", .columns = {0}, .primary = true}};
  EXPECT_TRUE(plan(source, source).map);
  source.keys = {{.name = "t_id_key", .columns = {0}}};
  EXPECT_THAT(errors(plan(source, source)), ElementsAre(HasSubstr("a partition made later")));
}

// Issue E, row 10: the target's key is the index over the source's, whatever else it has.
TEST(TableMap, FindsTheTargetsIndexOverTheSourcesKey) {
  auto source = table("t", {column("id", kInt4), column("m", kInt4)});
  auto target = source;
  source.key = {1};
  target.keys = {{.name = "t_pkey", .columns = {0}, .primary = true},
                 {.name = "t_m", .columns = {1}}};
  const auto outcome = plan(source, target);
  EXPECT_THAT(errors(outcome), IsEmpty());
  EXPECT_EQ(outcome.map->target.key_index, "t_m");
  EXPECT_TRUE(outcome.map->ordered) << "its primary key is enforced, too";
}

TEST(TableMap, RefusesADeferrableConstraintOverTheTargetsKey) {
  const auto source = table("t", {column("id", kInt4), column("m", kInt4)});
  auto target = source;
  target.deferrables = {{"t_m", {1}, false, true}};
  EXPECT_THAT(errors(plan(source, target)), IsEmpty());
  target.deferrables.push_back({"t_id", {0}, false, true});
  EXPECT_THAT(errors(plan(source, target)),
              ElementsAre(HasSubstr("the constraint t_id of public.t is DEFERRABLE and has the")));
}

TEST(TableMap, RefusesAKeyWhoseIndexMayBeOutOfOrder) {
  auto source = table("t", {column("id", kText), column("v", kText)});
  source.columns[1].outdated_order = "collation public.old";
  EXPECT_THAT(errors(plan(source, source)), IsEmpty());
  source.columns[0].outdated_order = "collation public.old";
  const auto outcome = plan(source, source);
  EXPECT_THAT(errors(outcome), ElementsAre(HasSubstr("public.t.id is ordered by collation "
                                                     "public.old, whose library")));
  EXPECT_EQ(outcome.problems[0].hint,
            "REINDEX TABLE \"public\".\"t\" on the source, then ALTER collation public.old "
            "REFRESH VERSION");
}

// Issue E, row 1.
TEST(TableMap, RefusesATargetWhoseEqualityOfAKeyIsCoarser) {
  const Column plain = column("k", kText);
  Column folded = plain;
  folded.folding = "nondeterministic collation und-u-ks-level2 (i)";
  folded.deterministic_collation = false;
  const auto spec = [](const Column& c) { return table("t", {c}); };
  EXPECT_THAT(errors(plan(spec(plain), spec(folded))),
              ElementsAre(HasSubstr("equal that differ on the source: nondeterministic")));
  EXPECT_THAT(errors(plan(spec(folded), spec(plain))), IsEmpty());
  EXPECT_THAT(errors(plan(spec(folded), spec(folded))), IsEmpty());
  // Of two versions of ICU each may call values equal that the other tells apart.
  Column older = folded;
  folded.folding += " version 153.120";
  older.folding += " version 153.14";
  EXPECT_THAT(errors(plan(spec(folded), spec(older))), ElementsAre(HasSubstr("version 153.14")));
}

TEST(TableMap, ChoosesCanonicalRulesByTheCoarserEquality) {
  const auto rule = [](const Column& c) {
    const auto spec = table("t", {c});
    return plan(spec, spec).map->canonical.at(0);
  };
  EXPECT_EQ(rule(column("k", kNumeric)), CanonicalRule::Numeric);
  EXPECT_EQ(rule(column("k", type(Kind::Float8, "double precision"))), CanonicalRule::Float);
  EXPECT_EQ(rule(column("k", type(Kind::Bpchar, "character(5)", 9))), CanonicalRule::TrimBlanks);
  Column citext = column("k", user_type(Kind::Citext, "public.citext"));
  EXPECT_EQ(rule(citext), CanonicalRule::Opaque);
  citext.folds_ascii = true;
  EXPECT_EQ(rule(citext), CanonicalRule::FoldAscii);
  Column text = column("k", kText);
  text.deterministic_collation = false;
  EXPECT_EQ(rule(text), CanonicalRule::Opaque);
  EXPECT_EQ(rule(column("k", range_of(kInt4, "int4range"))), CanonicalRule::Bytes);
  EXPECT_EQ(rule(column("k", range_of(kNumeric, "numrange"))), CanonicalRule::Opaque);
  EXPECT_EQ(rule(column("k", type(Kind::Interval, "interval"))), CanonicalRule::Opaque);
  EXPECT_EQ(rule(column("k", domain_of(kNumeric, "public.price"))), CanonicalRule::Numeric);
}

TEST(TableMap, SecondaryUniqueMeansOneLaneUnlessTold) {
  auto spec = table("t", {column("id", kInt4)});
  spec.secondary_unique = true;
  TableRule rule;
  EXPECT_TRUE(plan(spec, spec, rule).map->one_lane);
  rule.lanes = LaneMode::All;
  EXPECT_TRUE(plan(spec, spec, rule).map->ordered);
  EXPECT_FALSE(plan(spec, spec, rule).map->one_lane);
  spec.secondary_unique = false;
  rule.lanes = LaneMode::One;
  EXPECT_TRUE(plan(spec, spec, rule).map->one_lane);
}

TEST(TableMap, OpaqueKeysNeedOneLane) {
  const auto spec = table("t", {column("k", user_type(Kind::Citext, "public.citext"))});
  EXPECT_TRUE(plan(spec, spec).map->one_lane);
  EXPECT_TRUE(plan(spec, spec).map->ordered);
  TableRule rule;
  rule.lanes = LaneMode::All;
  EXPECT_THAT(errors(plan(spec, spec, rule)), ElementsAre(HasSubstr("lanes: all is impossible")));
}

TEST(TableMap, PlansPlanes) {
  const Type mood = user_type(Kind::Enum, "public.mood");
  const Type pair = composite_of({kInt4, mood}, "public.pair");
  const auto how = [](const Type& from, const Type& to,
                      const StreamTraits& stream = {StreamKind::Debezium}) {
    return plan_table(table("t", {column("id", kInt4), column("c", from)}),
                      table("t", {column("id", kInt4), column("c", to)}), {}, stream)
        .map->columns[1];
  };
  EXPECT_EQ(how(mood, mood).plane, Plane::Binary);
  EXPECT_EQ(how(mood, kText).plane, Plane::Text) << "the target does not know the source's type";
  EXPECT_EQ(how(array_of(mood), array_of(mood)).plane, Plane::Binary);
  const StreamTraits direct{StreamKind::Direct};
  const Type unknown = user_type(Kind::Other, "public.unknown");
  EXPECT_EQ(how(pair, pair, direct).plane, Plane::Binary) << "its OIDs are translated";
  EXPECT_EQ(how(array_of(pair), array_of(pair), direct).plane, Plane::Binary);
  EXPECT_EQ(how(pair, pair).plane, Plane::Text) << "Debezium has its text";
  EXPECT_EQ(how(unknown, unknown, direct).plane, Plane::Text) << "it may hold anything";
  const Type renamed = composite_of({unknown}, "public.pair");
  EXPECT_EQ(how(renamed, renamed, direct).plane, Plane::Text);
  EXPECT_FALSE(plan_table(table("t", {column("id", kInt4), column("c", pair)}),
                          table("t", {column("id", kInt4), column("c", renamed)}), {}, direct)
                   .map)
      << "one name, and other attributes";
  EXPECT_EQ(how(array_of(kInt4), array_of(kInt8), direct).plane, Plane::Binary);
  EXPECT_EQ(how(kInt4, kInt8).plane, Plane::Binary);
  EXPECT_TRUE(how(kInt4, kInt8).cast);
  Type without_send = kText;
  without_send.has_binary = false;
  EXPECT_EQ(how(without_send, kText).plane, Plane::Text);
  Type tsquery = type(Kind::Other, "tsquery");
  tsquery.oid = tsquery.base_oid = 3615;
  EXPECT_EQ(how(tsquery, tsquery, direct).plane, Plane::Text) << "recv refuses an empty one";
  EXPECT_EQ(how(array_of(tsquery), array_of(tsquery), direct).plane, Plane::Text);
  const Type multirange = type(Kind::Other, "int4multirange");
  EXPECT_EQ(how(multirange, multirange, direct).plane, Plane::Binary);
  EXPECT_EQ(how(multirange, multirange).plane, Plane::Text);
}

TEST(TableMap, ValuesOfKnownExtensionsTravelInBinary) {
  const StreamTraits direct{StreamKind::Direct, false, false};
  const auto plane = [&](const std::string& from, const std::string& to) {
    const auto of = [](const std::string& identity) {
      Type t = user_type(Kind::Other, "public.shape");
      t.identity = t.base_identity = identity;
      return table("t", {column("id", kInt4), column("c", t)});
    };
    return plan_table(of(from), of(to), {}, direct).map->columns[1].plane;
  };
  EXPECT_EQ(plane("extension postgis: geometry", "extension postgis: geometry"), Plane::Binary);
  EXPECT_EQ(plane("extension other: geometry", "extension other: geometry"), Plane::Text);
  EXPECT_EQ(plane("public.geometry", "public.geometry"), Plane::Text);
}

TEST(TableMap, NamesColumnsThatAreDebtsOnEveryChange) {
  const auto doubtful = [](const Type& t, const StreamTraits& stream) {
    const auto spec = table("t", {column("id", kInt4), column("c", t)});
    const auto outcome = plan_table(spec, spec, {}, stream);
    EXPECT_EQ(outcome.problems.size(), outcome.map->columns[1].doubtful_always ? 1U : 0U);
    return outcome.map->columns[1].doubtful_always;
  };
  const StreamTraits asked{StreamKind::Debezium, true, true};
  const StreamTraits defaults{StreamKind::Debezium, false, false};
  const StreamTraits direct{StreamKind::Direct, false, false};
  const Type composite = composite_of({kInt4, kText}, "public.pair");
  const Type interval = type(Kind::Interval, "interval");
  for (const Type& t :
       {type(Kind::TimeTz, "timetz"), type(Kind::VarBit, "varbit"),
        array_of(type(Kind::Money, "money")), array_of(interval),
        array_of(type(Kind::Name, "name")), array_of(type(Kind::Bit, "bit(1)")),
        array_of(type(Kind::Time, "time without time zone")), array_of(type(Kind::Other, "xml")),
        array_of(domain_of(kNumeric, "public.price")), user_type(Kind::Other, "public.geometry")}) {
    EXPECT_TRUE(doubtful(t, asked)) << t.sql;
    EXPECT_EQ(doubtful(t, direct), t.user_defined && t.kind != Kind::Array) << t.sql;
  }
  for (const Type& t : {composite, interval, type(Kind::Name, "name"), type(Kind::PgLsn, "pg_lsn"),
                        type(Kind::Other, "int4multirange")}) {
    EXPECT_FALSE(doubtful(t, asked)) << t.sql;
    EXPECT_TRUE(doubtful(t, defaults)) << t.sql;
  }
  EXPECT_TRUE(doubtful(array_of(composite), asked));
  for (const Type& t : {composite, array_of(composite)}) EXPECT_FALSE(doubtful(t, direct)) << t.sql;
  for (const Type& t : {kText, kNumeric, array_of(kText), range_of(kInt4, "int4range"),
                        type(Kind::Other, "xml"), domain_of(kNumeric, "public.price")}) {
    EXPECT_FALSE(doubtful(t, defaults)) << t.sql;
  }
}

TEST(TableMap, RefusesAKeyThatDebeziumCannotCarry) {
  const auto spec = table("t", {column("k", type(Kind::TimeTz, "timetz"))});
  EXPECT_THAT(errors(plan(spec, spec)),
              ElementsAre(HasSubstr("the stream cannot carry it exactly")));
}

// Issue E, row 21: {1,2} and [0:1]={1,2} have one form on the wire.
TEST(TableMap, RefusesAnArrayAsKeyThroughDebezium) {
  const auto spec = table("t", {column("k", array_of(kInt4))});
  EXPECT_THAT(errors(plan(spec, spec)),
              ElementsAre(HasSubstr("the stream cannot carry it exactly")));
  EXPECT_TRUE(plan_table(spec, spec, {}, {StreamKind::Direct}).map);
}

TEST(TableMap, RefusesWhatPostgresCannotReplicateInBinary) {
  Type without_send = type(Kind::Other, "aclitem");
  Type elements = array_of(without_send);
  without_send.has_binary = elements.has_binary = false;
  const auto plan_direct = [](const Type& t) {
    const auto spec = table("t", {column("id", kInt4), column("c", t)});
    return plan_table(spec, spec, {}, {StreamKind::Direct});
  };
  EXPECT_TRUE(plan_direct(without_send).map);
  EXPECT_THAT(errors(plan_direct(elements)), ElementsAre(HasSubstr("replication fails")));
  const auto spec = table("t", {column("id", kInt4), column("c", elements)});
  TableRule rule;
  rule.drop = {"c"};
  EXPECT_THAT(errors(plan_table(spec, spec, rule, {StreamKind::Direct})),
              ElementsAre(HasSubstr("replication fails")))
      << "it is sent all the same";
}

TEST(TableMap, RefusesWhatIsNoTable) {
  auto view = table("v", {column("id", kInt4)});
  view.kind = RelationKind::Other;
  EXPECT_THAT(errors(plan(view, table("t", {column("id", kInt4)}))),
              ElementsAre("public.v is not a table"));
}

TEST(TableMap, FingerprintFollowsTheMappingOnly) {
  const auto spec = table("t", {column("id", kInt4), column("v", kText)});
  const auto base = mapping_fingerprint(*plan(spec, spec).map);
  auto restored = spec;
  restored.oid = 4711;
  restored.columns[1].type.oid = 5;
  restored.columns[1].type.base_oid = 5;
  restored.estimated_rows = 1e6;
  EXPECT_EQ(mapping_fingerprint(*plan(restored, spec).map), base);
  auto made_again = spec;
  made_again.oid = 4711;
  EXPECT_NE(mapping_fingerprint(*plan(spec, made_again).map), base);
  auto added_again = spec;
  added_again.columns[1].attnum = 3;
  EXPECT_NE(mapping_fingerprint(*plan(spec, added_again).map), base);
  TableRule set;
  set.drop = {"v"};
  set.set = {{"v", "x"}};
  const auto with_x = mapping_fingerprint(*plan(spec, spec, set).map);
  set.set = {{"v", std::nullopt}};
  EXPECT_NE(with_x, base);
  EXPECT_NE(mapping_fingerprint(*plan(spec, spec, set).map), with_x);
  auto moved = spec;
  moved.name.schema = "sales";
  EXPECT_NE(mapping_fingerprint(*plan(spec, moved).map), base);
}

// Issue E: validate, and the watch of a run in its words.
TEST(TableMap, ChecksThatOnlyTheTargetHasAreNamed) {
  auto source = table("t", {column("id", kInt4), column("p", domain_of(kNumeric, "public.price"))});
  source.columns[0].attnum = 1;
  source.columns[1].attnum = 2;
  auto target = source;
  source.checks = {{"", "ours", "CHECK ((id > 0))"}};
  target.checks = {{"", "theirs", "CHECK ((id > 0))"}, {"", "more", "CHECK ((id < 9))"}};
  target.columns[1].type.checks = {{"public.price", "", "NOT NULL"},
                                   {"public.price", "low", "CHECK ((VALUE < 9))"}};
  EXPECT_THAT(warnings(plan(source, target)),
              ElementsAre(HasSubstr("check more of public.t, CHECK ((id < 9))"),
                          HasSubstr("ALTER DOMAIN public.price DROP NOT NULL on the target"),
                          HasSubstr("DROP CONSTRAINT \"low\" on the target")));
  source.columns[1].not_null = true;
  EXPECT_EQ(warnings(plan(source, target)).size(), 2U);
}

TEST(TableMap, RowSecurityHidesRowsOnEitherSide) {
  const auto open = table("t", {column("id", kInt4)});
  auto hidden = open;
  hidden.hidden_from = "reader";
  EXPECT_THAT(errors(plan(hidden, open)), ElementsAre(HasSubstr("on the source hides rows from")));
  EXPECT_THAT(errors(plan(open, hidden)), ElementsAre(HasSubstr("on the target hides rows from")));
}

TEST(TableMap, RefusesCastsThatAreNotInjectiveInKeys) {
  const auto source = table("t", {column("k", kNumeric)});
  EXPECT_THAT(errors(plan(source, table("t", {column("k", kText)}))),
              ElementsAre(HasSubstr("equal values may have different text")));
}

TEST(Numeric, LimitsAreReadFromTheTypmod) {
  EXPECT_EQ(numeric_limits(-1), std::nullopt);
  EXPECT_EQ(numeric_limits(numeric_typmod(10, 2)), std::pair(10, 2));
  EXPECT_EQ(numeric_limits(numeric_typmod(5, -2)), std::pair(5, -2));
  EXPECT_EQ(numeric_limits(numeric_typmod(1000, 1000)), std::pair(1000, 1000));
}

TEST(Identifier, IsQuoted) {
  EXPECT_EQ(quoted({"Weird Schema", "q\"uote"}), "\"Weird Schema\".\"q\"\"uote\"");
}

}  // namespace
}  // namespace lockstep
