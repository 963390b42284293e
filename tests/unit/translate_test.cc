// translate: what changes on the way to the target, and that nothing else does.
#include "pipeline/tables/translate.h"

#include <gtest/gtest.h>

#include "pipeline/model/row.h"

namespace lockstep {
namespace {

Column column(const std::string& name, TypeKind kind, std::uint32_t element = 0) {
  Column c;
  c.name = name;
  c.type.kind = kind;
  c.type.sql = c.type.base_sql = name;
  if (element != 0) {
    Type inner;
    inner.kind = TypeKind::Enum;
    inner.oid = inner.base_oid = element;
    c.type.inner = {inner};
  }
  return c;
}

// Columns (id, moods, note); the element type is `from` on the source and `to` on the target.
TableMap moods(std::uint32_t from, std::uint32_t to) {
  TableMap map;
  map.source.columns = {column("int4", TypeKind::Int4), column("mood[]", TypeKind::Array, from),
                        column("text", TypeKind::Text)};
  map.target.columns = {column("int4", TypeKind::Int4), column("mood[]", TypeKind::Array, to),
                        column("text", TypeKind::Text)};
  map.columns = {{0, 0}, {1, 1}, {2, 2}};
  map.key = {2, 1};
  return map;
}

std::string array_header(std::uint32_t element) {
  std::string bytes;
  append_be32(bytes, 0);
  append_be32(bytes, 0);
  append_be32(bytes, element);
  return bytes;
}

std::string row(const Cell& array) {
  std::string cells;
  append_value(cells, "abcd");
  append_cell(cells, array);
  append_value(cells, "note");
  return cells;
}

TEST(Translate, PassesThroughWithoutACopy) {
  const Translator translator(moods(20'000, 20'000));
  EXPECT_TRUE(identity(moods(20'000, 20'000)));
  const std::string header = array_header(20'000);
  const std::string cells = row({Presence::Value, header});
  std::string scratch;
  EXPECT_EQ(translator.row(cells, scratch).data(), cells.data());
}

TEST(Translate, RewritesTheElementTypeOfArrays) {
  const Translator translator(moods(20'000, 30'000));
  EXPECT_FALSE(translator.identity());
  const std::string before = array_header(20'000) + "elements";
  const std::string after = array_header(30'000) + "elements";
  std::string scratch;
  EXPECT_EQ(translator.row(row({Presence::Value, before}), scratch), row({Presence::Value, after}));
  EXPECT_EQ(translator.row(row({Presence::Null, {}}), scratch), row({Presence::Null, {}}));
  EXPECT_EQ(translator.row(row({Presence::Unavailable, {}}), scratch),
            row({Presence::Unavailable, {}}));
}

TEST(Translate, RewritesKeysInTheirOwnOrder) {
  const Translator translator(moods(20'000, 30'000));
  const auto key = [](std::uint32_t element) {
    std::string cells;
    append_value(cells, "note");
    append_value(cells, array_header(element));
    return cells;
  };
  std::string scratch;
  EXPECT_EQ(translator.key(key(20'000), scratch), key(30'000));
}

TEST(Translate, LeavesTextAndCastsAlone) {
  TableMap map = moods(20'000, 30'000);
  map.columns[1].plane = Plane::Text;
  EXPECT_TRUE(identity(map));
  map.columns[1] = {1, 1, Plane::Binary, true};
  EXPECT_TRUE(identity(map));
}

// Issue E, row 15: composites, and arrays and ranges of them, are given the target's OIDs at every
// depth, and nothing else of them changes.
TEST(Translate, RewritesTheTypesOfCompositeValues) {
  const auto part = [](TypeKind kind, std::uint32_t oid, std::vector<Type> inner) {
    Type t;
    t.kind = kind;
    t.oid = t.base_oid = oid;
    t.inner = std::move(inner);
    return t;
  };
  // (mood, pair[]) with pair = (int4, mood), under other OIDs on each side.
  const auto nested = [&](std::uint32_t shift) {
    const Type mood = part(TypeKind::Enum, 20'000 + shift, {});
    const Type pair =
        part(TypeKind::Composite, 20'001 + shift, {part(TypeKind::Int4, 23, {}), mood});
    const Type pairs = part(TypeKind::Array, 20'002 + shift, {pair});
    return part(TypeKind::Composite, 20'003 + shift, {mood, pairs});
  };
  const auto value = [](std::uint32_t shift) {
    std::string pair;
    append_be32(pair, 2);
    append_be32(pair, 23);
    append_value(pair, "1234");
    append_be32(pair, 20'000 + shift);
    append_value(pair, "good");
    std::string pairs;
    for (const std::uint32_t number : {1U, 1U, 20'001 + shift, 2U, 1U}) append_be32(pairs, number);
    append_value(pairs, pair);
    append_null(pairs);
    std::string bytes;
    append_be32(bytes, 2);
    append_be32(bytes, 20'000 + shift);
    append_null(bytes);
    append_be32(bytes, 20'002 + shift);
    append_value(bytes, pairs);
    return bytes;
  };
  TableMap map = moods(1, 1);
  map.source.columns[1].type = nested(0);
  map.target.columns[1].type = nested(7);
  const Translator translator(map);
  std::string scratch;
  const std::string before = value(0);
  const std::string after = value(7);
  EXPECT_EQ(translator.row(row({Presence::Value, before}), scratch), row({Presence::Value, after}));
  // An attribute that became another type since is left as it is.
  std::string altered = before;
  altered[7] = 99;
  EXPECT_EQ(translator.row(row({Presence::Value, altered}), scratch),
            row({Presence::Value, altered}));
  // What is no such value is left to the target to refuse; nothing beyond it is touched.
  for (std::size_t size = 0; size < before.size(); ++size) {
    const std::string cells = row({Presence::Value, before.substr(0, size)});
    EXPECT_EQ(translator.row(cells, scratch).size(), cells.size());
    EXPECT_TRUE(translator.row(cells, scratch).ends_with("note"));
  }
}

TEST(Constant, IsALiteralOfTheTargetsType) {
  const TableMap map = moods(1, 1);
  EXPECT_EQ(constant_sql(map, {2, "it's \\ ok"}), "'it''s \\ ok'::text");
  EXPECT_EQ(constant_sql(map, {0, std::nullopt}), "NULL::int4");
}

// An explicit cast to varchar(3) would cut 'abcdef' off silently.
TEST(Constant, DoesNotTruncateSilently) {
  TableMap map = moods(1, 1);
  map.target.columns[2].type.kind = TypeKind::Varchar;
  map.target.columns[2].type.sql = "character varying(3)";
  EXPECT_EQ(constant_sql(map, {2, "abcdef"}), "'abcdef'::pg_catalog.varchar");
}

}  // namespace
}  // namespace lockstep
