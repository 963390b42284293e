#include "pipeline/decode/decimal.h"

#include <algorithm>
#include <cstdint>
#include <limits>

#include "pipeline/base/number.h"
#include "pipeline/model/row.h"

namespace lockstep {
namespace {

// PostgreSQL's own limits of the unconstrained type.
constexpr std::int64_t kIntegerDigitsMax = 131072;
constexpr std::int64_t kFractionDigitsMax = 16383;
constexpr std::int64_t kExponentMax = 200000;

constexpr std::uint16_t kNegative = 0x4000;
constexpr std::uint16_t kNan = 0xC000;
constexpr std::uint16_t kPositiveInfinity = 0xD000;
constexpr std::uint16_t kNegativeInfinity = 0xF000;
// What numeric_send makes of an infinity's header bits when it reads them as a display scale.
constexpr std::uint16_t kInfinityScale = 0x20;

// A decimal taken apart; the digits are those of `integer` and then those of `fraction`.
struct Decimal {
  bool negative = false;
  std::string_view integer;
  std::string_view fraction;
  std::int64_t exponent = 0;

  std::int64_t size() const { return static_cast<std::int64_t>(integer.size() + fraction.size()); }
  // Number of digits before the point, after the exponent is applied; may be negative.
  std::int64_t point() const { return static_cast<std::int64_t>(integer.size()) + exponent; }
  std::int64_t scale() const {
    return std::max<std::int64_t>(0, static_cast<std::int64_t>(fraction.size()) - exponent);
  }
  int digit(std::int64_t i) const {
    if (i < 0 || i >= size()) return 0;
    const auto index = static_cast<std::size_t>(i);
    return (index < integer.size() ? integer[index] : fraction[index - integer.size()]) - '0';
  }
};

std::string_view take_digits(std::string_view& text) {
  std::size_t n = 0;
  while (n < text.size() && text[n] >= '0' && text[n] <= '9') ++n;
  const std::string_view digits = text.substr(0, n);
  text.remove_prefix(n);
  return digits;
}

bool take_exponent(std::string_view text, std::int64_t& exponent) {
  if (text.empty()) return true;
  if (text[0] != 'E' && text[0] != 'e') return false;
  text.remove_prefix(1);
  if (text.starts_with('+')) text.remove_prefix(1);
  return parse_number(text, exponent) && exponent >= -kExponentMax && exponent <= kExponentMax;
}

bool parse(std::string_view text, Decimal& out) {
  if (text.starts_with('-')) {
    out.negative = true;
    text.remove_prefix(1);
  }
  out.integer = take_digits(text);
  if (out.integer.empty()) return false;
  if (text.starts_with('.')) {
    text.remove_prefix(1);
    out.fraction = take_digits(text);
    if (out.fraction.empty()) return false;
  }
  return take_exponent(text, out.exponent);
}

void append_header(std::string& out, std::size_t digits, std::int64_t weight, std::uint16_t sign) {
  append_be16(out, static_cast<std::uint16_t>(digits));
  append_be16(out, static_cast<std::uint16_t>(weight));
  append_be16(out, sign);
}

std::int64_t floor_div4(std::int64_t value) { return value >= 0 ? value / 4 : -((3 - value) / 4); }

// Appends the groups of four digits from the first to the last that is not zero.
void append_groups(std::string& out, const Decimal& value, std::int64_t scale) {
  std::int64_t first = 0;
  std::int64_t last = value.size() - 1;
  while (first <= last && value.digit(first) == 0) ++first;
  while (last > first && value.digit(last) == 0) --last;
  if (first > last) {
    append_header(out, 0, 0, 0);
    append_be16(out, static_cast<std::uint16_t>(scale));
    return;
  }
  const std::int64_t high = floor_div4(value.point() - 1 - first);
  const std::int64_t low = floor_div4(value.point() - 1 - last);
  append_header(out, static_cast<std::size_t>(high - low + 1), high,
                value.negative ? kNegative : std::uint16_t{0});
  append_be16(out, static_cast<std::uint16_t>(scale));
  std::int64_t index = value.point() - 1 - (4 * high + 3);
  for (std::int64_t group = high; group >= low; --group, index += 4) {
    const int number = value.digit(index) * 1000 + value.digit(index + 1) * 100 +
                       value.digit(index + 2) * 10 + value.digit(index + 3);
    append_be16(out, static_cast<std::uint16_t>(number));
  }
}

Carry append_special(std::string& out, std::uint16_t sign) {
  append_header(out, 0, 0, sign);
  append_be16(out, sign == kNan ? std::uint16_t{0} : kInfinityScale);
  return Carry::Value;
}

bool all_zeros(std::string_view digits) {
  return digits.find_first_not_of('0') == std::string_view::npos;
}

}  // namespace

Carry append_decimal(std::string& out, std::string_view text, std::optional<int> scale) {
  Decimal value;
  if (!parse(text, value)) {
    if (text == "NAN" || text == "NaN") return append_special(out, kNan);
    if (scale.has_value()) return Carry::Unreadable;
    if (text == "POSITIVE_INFINITY" || text == "Infinity") {
      return append_special(out, kPositiveInfinity);
    }
    if (text == "NEGATIVE_INFINITY" || text == "-Infinity") {
      return append_special(out, kNegativeInfinity);
    }
    return Carry::Unreadable;
  }
  std::int64_t display = value.scale();
  if (value.point() > kIntegerDigitsMax || display > kFractionDigitsMax) return Carry::Unreadable;
  if (scale.has_value() && *scale >= 0 && display != *scale) return Carry::Unreadable;
  if (scale.has_value() && *scale < 0) {
    if (!all_zeros(value.fraction)) return Carry::Unreadable;
    display = 0;
  }
  append_groups(out, value, display);
  return Carry::Value;
}

Carry append_money(std::string& out, std::string_view text) {
  Decimal value;
  if (!parse(text, value) || value.exponent != 0 || value.fraction.size() != 2) {
    return Carry::Unreadable;
  }
  // Collected as a negative number: the smallest money has no positive counterpart.
  constexpr std::int64_t kLowest = std::numeric_limits<std::int64_t>::min();
  std::int64_t cents = 0;
  for (std::int64_t i = 0; i < value.size(); ++i) {
    const int digit = value.digit(i);
    if (cents < (kLowest + digit) / 10) return Carry::Unreadable;
    cents = cents * 10 - digit;
  }
  if (!value.negative && cents == kLowest) return Carry::Unreadable;
  append_be64(out, static_cast<std::uint64_t>(value.negative ? cents : -cents));
  return Carry::Value;
}

}  // namespace lockstep
