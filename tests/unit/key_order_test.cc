// Whose keys stand in one order on both sides, as the catalogs tell.
#include "pipeline/tables/key_order.h"

#include <gtest/gtest.h>

namespace lockstep {
namespace {

Column key_column(TypeKind kind, const std::string& order = "") {
  Column key_column;
  key_column.name = "id";
  key_column.type.kind = kind;
  key_column.type.sql = key_column.type.identity = "public.word";
  key_column.order = order;
  return key_column;
}

std::string why_of(const Column& source, const Column& target) {
  TableMap map;
  map.source.columns = {source};
  map.target.columns = {target};
  map.columns = {{.source = 0, .target = 0}};
  map.key = {0};
  return why_two_orders(map);
}

Column of_parts(TypeKind kind, std::vector<Type> parts) {
  Column made = key_column(kind);
  made.type.inner = std::move(parts);
  return made;
}

Column of_labels(const std::vector<std::string>& labels) {
  Column made = key_column(TypeKind::Enum);
  for (const std::string& label : labels)
    made.type.members.push_back({static_cast<std::uint32_t>(made.type.members.size()), label});
  return made;
}

TEST(KeyOrder, TextsStandInTheOrderOfTheirCollation) {
  const std::string english = "en_US.utf8 (c, version 2.36)";
  EXPECT_EQ(why_of(key_column(TypeKind::Text, english), key_column(TypeKind::Varchar, english)),
            "");
  const std::string other =
      why_of(key_column(TypeKind::Text, english), key_column(TypeKind::Text, "C"));
  EXPECT_EQ(other, "its keys stand in two orders: id is in the order of " + english +
                       " on the source and of C on the target");
  EXPECT_NE(why_of(key_column(TypeKind::Text, english),
                   key_column(TypeKind::Text, "en_US.utf8 (c, version 2.28)")),
            "");
}

TEST(KeyOrder, NumbersStandInOneOrderWhateverTheirSize) {
  EXPECT_EQ(why_of(key_column(TypeKind::Int4), key_column(TypeKind::Numeric)), "");
  EXPECT_EQ(why_of(key_column(TypeKind::Uuid), key_column(TypeKind::Uuid)), "");
  EXPECT_NE(why_of(key_column(TypeKind::Int4), key_column(TypeKind::Text, "C")), "");
}

TEST(KeyOrder, EnumsStandInTheOrderOfTheirLabels) {
  EXPECT_EQ(why_of(of_labels({"sad", "glad"}), of_labels({"sad", "glad"})), "");
  EXPECT_NE(why_of(of_labels({"sad", "glad"}), of_labels({"glad", "sad"})), "");
  const Type moved = of_labels({"b", "a"}).type;
  const Type kept = of_labels({"a", "b"}).type;
  EXPECT_NE(why_of(of_parts(TypeKind::Array, {kept}), of_parts(TypeKind::Array, {moved})), "");
  EXPECT_EQ(why_of(of_parts(TypeKind::Array, {kept}), of_parts(TypeKind::Array, {kept})), "");
}

TEST(KeyOrder, WhatIsMadeOfTextsIsTakenForTwoOrders) {
  const Type text = key_column(TypeKind::Text).type;
  const Type number = key_column(TypeKind::Int8).type;
  EXPECT_NE(why_of(of_parts(TypeKind::Range, {text}), of_parts(TypeKind::Range, {text})), "");
  EXPECT_EQ(why_of(of_parts(TypeKind::Range, {number}), of_parts(TypeKind::Range, {number})), "");
  EXPECT_EQ(why_of(of_parts(TypeKind::Array, {text}), of_parts(TypeKind::Array, {text})), "");
  const Type jsonb = key_column(TypeKind::Jsonb).type;
  EXPECT_NE(why_of(of_parts(TypeKind::Array, {jsonb}), of_parts(TypeKind::Array, {jsonb})), "");
}

}  // namespace
}  // namespace lockstep
