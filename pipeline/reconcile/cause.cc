#include "pipeline/reconcile/cause.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cstdint>
#include <cstdlib>
#include <optional>
#include <vector>

#include "pipeline/model/row.h"
#include "pipeline/tables/compared.h"

namespace lockstep {
namespace {

constexpr std::int64_t kSecond = 1'000'000;

struct Unequal {
  TypeKind kind = TypeKind::Other;
  bool text = false;  // The cells are text, whatever the type is.
  Cell source;
  Cell target;
};

std::string_view trimmed(std::string_view text) {
  constexpr std::string_view kSpace = " \t\r\n";
  const std::size_t first = text.find_first_not_of(kSpace);
  if (first == text.npos) return {};
  return text.substr(first, text.find_last_not_of(kSpace) - first + 1);
}

bool same_but_for_case(std::string_view a, std::string_view b) {
  return std::ranges::equal(a, b, [](char x, char y) {
    const auto lower = [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; };
    return lower(x) == lower(y);
  });
}

// The bytes of a UTF-8 text taken for Latin-1 and encoded once more.
std::string encoded_again(std::string_view text) {
  std::string twice;
  for (const char c : text) {
    const auto byte = static_cast<std::uint8_t>(c);
    if (byte < 0x80) {
      twice += c;
    } else {
      twice += static_cast<char>(0xC0 | (byte >> 6));
      twice += static_cast<char>(0x80 | (byte & 0x3F));
    }
  }
  return twice;
}

// One character, or one byte of what is no UTF-8.
std::string_view first_character(std::string_view text) {
  std::size_t size = text.empty() ? 0 : 1;
  while (size < text.size() && (text[size] & 0xC0) == 0x80) ++size;
  return text.substr(0, size);
}

// U+0300 to U+036F: accents that stand behind their letter.
std::size_t marks_at_begin(std::string_view text) {
  std::size_t size = 0;
  for (auto mark = first_character(text);
       mark.size() == 2 && (mark[0] == '\xCC' || (mark[0] == '\xCD' && mark[1] < '\xB0'));
       mark = first_character(text.substr(size)))
    size += mark.size();
  return size;
}

// Whether both say the same, if each letter with marks behind it is one that the other side has in
// its place as one character.
bool same_but_for_marks(std::string_view a, std::string_view b) {
  while (!a.empty() && !b.empty()) {
    const std::string_view left = first_character(a);
    const std::string_view right = first_character(b);
    a.remove_prefix(left.size());
    b.remove_prefix(right.size());
    if (left == right) continue;
    const std::size_t marks_left = marks_at_begin(a);
    const std::size_t marks_right = marks_at_begin(b);
    const bool one_composed = (marks_left == 0 && marks_right > 0 && left.size() > 1) ||
                              (marks_right == 0 && marks_left > 0 && right.size() > 1);
    if (!one_composed) return false;
    a.remove_prefix(marks_left);
    b.remove_prefix(marks_right);
  }
  return a.empty() && b.empty();
}

std::string text_cause(std::string_view source, std::string_view target) {
  if (trimmed(source) == trimmed(target)) return "white space at an end";
  if (same_but_for_case(source, target)) return "letter case";
  if (same_but_for_marks(source, target)) return "another Unicode form of accents (NFC, NFD)?";
  if (!target.empty() && source.starts_with(target)) return "the end is cut off on the target";
  if (encoded_again(source) == target) return "UTF-8 that was encoded twice on the target";
  if (encoded_again(target) == source) return "UTF-8 that was encoded twice on the source";
  return {};
}

std::string without_space(std::string_view text) {
  std::string kept;
  std::ranges::copy_if(text, std::back_inserter(kept),
                       [](char c) { return c != ' ' && c != '\t' && c != '\r' && c != '\n'; });
  return kept;
}

// Microseconds, of the types that hold them.
std::string time_cause(std::int64_t source, std::int64_t target) {
  constexpr std::int64_t kQuarter = kSecond * 60 * 15;  // No time zone is finer.
  constexpr std::int64_t kFarthest = kQuarter * 4 * 14;
  const std::int64_t offset = target - source;
  if (offset % kQuarter == 0 && std::abs(offset) <= kFarthest) {
    const std::int64_t minutes = std::abs(offset) / kSecond / 60;
    return fmt::format("an offset of {}{:02}:{:02}: a time zone?", offset < 0 ? '-' : '+',
                       minutes / 60, minutes % 60);
  }
  if (std::abs(offset) < kSecond && target % kSecond == 0)
    return "fractions of a second are lost on the target";
  if (std::abs(offset) < 1000 && target % 1000 == 0) return "microseconds are lost on the target";
  return {};
}

std::string float8_cause(std::uint64_t source, std::uint64_t target) {
  const auto wide = std::bit_cast<double>(source);
  if (std::bit_cast<std::uint64_t>(static_cast<double>(static_cast<float>(wide))) == target)
    return "the precision of real instead of double precision";
  if (wide == std::bit_cast<double>(target)) return "the sign of a zero";
  return {};
}

// Of the binary form: number of digits, weight, sign, scale, digits of base 10,000.
std::string numeric_cause(std::string_view source, std::string_view target) {
  constexpr std::size_t kHead = 8;
  constexpr std::size_t kScaleAt = 6;
  if (source.size() < kHead || target.size() < kHead) return {};
  const bool same_digits = source.substr(kHead) == target.substr(kHead) &&
                           source.substr(0, kScaleAt) == target.substr(0, kScaleAt);
  if (same_digits) return "the scale: 1.0 for 1.00";
  const bool same_size = source.substr(2, 4) == target.substr(2, 4);  // Weight and sign.
  const bool shorter = target.substr(kScaleAt, 2) < source.substr(kScaleAt, 2);
  return same_size && shorter ? "digits behind the point are lost on the target" : "";
}

std::string value_cause(const Unequal& column) {
  const std::string_view source = column.source.bytes;
  const std::string_view target = column.target.bytes;
  const bool eight_bytes = source.size() == 8 && target.size() == 8;
  switch (column.text ? TypeKind::Text : column.kind) {
    case TypeKind::Text:
    case TypeKind::Varchar:
    case TypeKind::Bpchar:
    case TypeKind::Name:
    case TypeKind::Citext:
      return text_cause(source, target);
    case TypeKind::Json:
      return without_space(source) == without_space(target) ? "white space of the JSON text"
                                                            : text_cause(source, target);
    case TypeKind::Enum:
      return "another label of the enum";
    case TypeKind::Time:
    case TypeKind::Timestamp:
    case TypeKind::TimestampTz:
      return eight_bytes ? time_cause(static_cast<std::int64_t>(read_be64(source)),
                                      static_cast<std::int64_t>(read_be64(target)))
                         : "";
    case TypeKind::Float8:
      return eight_bytes ? float8_cause(read_be64(source), read_be64(target)) : "";
    case TypeKind::Numeric:
      return numeric_cause(source, target);
    default:
      return {};
  }
}

std::string column_cause(const Unequal& column) {
  if (column.target.presence == Presence::Null) return "NULL on the target";
  if (column.source.presence == Presence::Null)
    return column.target.bytes.empty() ? "an empty value for NULL" : "a value for NULL";
  return value_cause(column);
}

}  // namespace

std::string cause_of(const TableMap& table, std::string_view source, std::string_view target) {
  if (source.empty() || target.empty()) return {};
  std::vector<Unequal> unequal;
  CellReader left(source);
  CellReader right(target);
  for (std::size_t i = 0; i < table.columns.size(); ++i) {
    const ColumnMap& column = table.columns[i];
    const Unequal cells{table.target_column(i).type.kind, column.plane == Plane::Text, left.next(),
                        right.next()};
    if (!same_value(table, i, cells.source, cells.target)) unequal.push_back(cells);
  }
  if (unequal.size() == 2 && unequal[0].source == unequal[1].target &&
      unequal[1].source == unequal[0].target)
    return "the values of two columns are swapped";
  std::optional<std::string> common;
  for (const Unequal& column : unequal) {
    std::string cause = column_cause(column);
    if (common && *common != cause) return {};
    common = std::move(cause);
  }
  return common.value_or("");
}

}  // namespace lockstep
