// What two rows that differ tell of the cause.
#include "pipeline/reconcile/cause.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <bit>
#include <optional>

#include "pipeline/model/row.h"

namespace lockstep {
namespace {

using Value = std::optional<std::string>;

std::string be64(std::uint64_t value) {
  std::string bytes;
  append_be64(bytes, value);
  return bytes;
}
std::string time_at(std::int64_t us) { return be64(static_cast<std::uint64_t>(us)); }
std::string float8(double value) { return be64(std::bit_cast<std::uint64_t>(value)); }

std::string row_with(const std::vector<Value>& values) {
  std::string row;
  for (const Value& value : values) {
    if (value)
      append_value(row, *value);
    else
      append_null(row);
  }
  return row;
}

// The cause of rows whose columns all have one type.
std::string cause(TypeKind kind, const std::vector<Value>& source,
                  const std::vector<Value>& target) {
  TableMap table;
  for (std::size_t i = 0; i < source.size(); ++i) {
    table.columns.push_back({.source = i, .target = i});
    Column column;
    column.name = fmt::format("c{}", i);
    column.type.kind = kind;
    table.source.columns.push_back(column);
    table.target.columns.push_back(column);
  }
  return cause_of(table, row_with(source), row_with(target));
}
std::string cause(TypeKind kind, const Value& source, const Value& target) {
  return cause(kind, std::vector{source}, std::vector{target});
}

TEST(Cause, OfTexts) {
  EXPECT_EQ(cause(TypeKind::Text, "a", "a "), "white space at an end");
  EXPECT_EQ(cause(TypeKind::Text, "Abc", "aBC"), "letter case");
  EXPECT_EQ(cause(TypeKind::Varchar, "abcdef", "abc"), "the end is cut off on the target");
  EXPECT_EQ(cause(TypeKind::Text, "\xC3\xA9", "\xC3\x83\xC2\xA9"),
            "UTF-8 that was encoded twice on the target");
  EXPECT_EQ(cause(TypeKind::Text, "caf\xC3\xA9!", "cafe\xCC\x81!"),
            "another Unicode form of accents (NFC, NFD)?");
  EXPECT_EQ(cause(TypeKind::Text, "cafe!", "cafe\xCC\x81!"), "");
  EXPECT_EQ(cause(TypeKind::Text, "abc", "xyz"), "");
  EXPECT_EQ(cause(TypeKind::Json, R"({"a": 1})", R"({"a":1})"), "white space of the JSON text");
}

TEST(Cause, OfNull) {
  EXPECT_EQ(cause(TypeKind::Text, std::nullopt, ""), "an empty value for NULL");
  EXPECT_EQ(cause(TypeKind::Int4, std::nullopt, std::string(4, '\0')), "a value for NULL");
  EXPECT_EQ(cause(TypeKind::Int4, std::string(4, '\0'), std::nullopt), "NULL on the target");
}

TEST(Cause, OfTimes) {
  constexpr std::int64_t kHour = 3'600'000'000;
  const std::int64_t at = 123'456'789;
  EXPECT_EQ(cause(TypeKind::Timestamp, time_at(at), time_at(at + 2 * kHour)),
            "an offset of +02:00: a time zone?");
  EXPECT_EQ(cause(TypeKind::TimestampTz, time_at(at), time_at(at - kHour / 2)),
            "an offset of -00:30: a time zone?");
  EXPECT_EQ(cause(TypeKind::Timestamp, time_at(at), time_at(123'000'000)),
            "fractions of a second are lost on the target");
  EXPECT_EQ(cause(TypeKind::Timestamp, time_at(at), time_at(123'456'000)),
            "microseconds are lost on the target");
  EXPECT_EQ(cause(TypeKind::Timestamp, time_at(at), time_at(at + 1)), "");
}

TEST(Cause, OfNumbers) {
  EXPECT_EQ(cause(TypeKind::Float8, float8(0.1), float8(static_cast<double>(0.1F))),
            "the precision of real instead of double precision");
  EXPECT_EQ(cause(TypeKind::Float8, float8(0.0), float8(-0.0)), "the sign of a zero");
  const auto numeric = [](char scale, std::string digits) {
    return std::string{'\0', static_cast<char>(digits.size() / 2), '\0', '\0', '\0', '\0', '\0',
                       scale} +
           digits;
  };
  EXPECT_EQ(cause(TypeKind::Numeric, numeric(2, {'\0', '\1'}), numeric(1, {'\0', '\1'})),
            "the scale: 1.0 for 1.00");
  EXPECT_EQ(
      cause(TypeKind::Numeric, numeric(4, {'\0', '\1', '\0', '\7'}), numeric(0, {'\0', '\1'})),
      "digits behind the point are lost on the target");
}

TEST(Cause, OfSeveralColumnsOnlyWhenAllShowTheSame) {
  EXPECT_EQ(cause(TypeKind::Text, {"a", "b"}, {"b", "a"}), "the values of two columns are swapped");
  EXPECT_EQ(cause(TypeKind::Text, {"a", "b"}, {"A", "B"}), "letter case");
  EXPECT_EQ(cause(TypeKind::Text, {"a", "b"}, {"A", "x"}), "");
}

TEST(Cause, OfARowThatIsNotThereIsNotKnown) {
  const TableMap table;
  EXPECT_EQ(cause_of(table, "", row_with({"a"})), "");
}

}  // namespace
}  // namespace lockstep
