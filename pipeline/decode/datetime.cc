#include "pipeline/decode/datetime.h"

#include <limits>

#include "pipeline/model/row.h"

namespace lockstep {
namespace {

constexpr std::int64_t kMicrosPerDay = 86'400'000'000;
constexpr std::int64_t kEpochDays = 10957;  // 2000-01-01 in days since 1970.
constexpr std::int64_t kEpochMicros = kEpochDays * kMicrosPerDay;

// PostgreSQL's valid range, in its own counting.
constexpr std::int64_t kDateMin = -2'451'545;
constexpr std::int64_t kDateMax = 2'145'031'948;
constexpr std::int64_t kTimestampMin = -211'813'488'000'000'000;
constexpr std::int64_t kTimestampEnd = 9'223'371'331'200'000'000;

constexpr std::int64_t kInfinity = std::numeric_limits<std::int64_t>::max();
constexpr std::int64_t kMinusInfinity = std::numeric_limits<std::int64_t>::min();

// What Debezium 3.6 sends for infinities.
constexpr std::int64_t kWireDateInfinity = -2'147'472'692;
constexpr std::int64_t kWireDateMinusInfinity = -2'147'472'691;
constexpr std::int64_t kWireMillisInfinity = 9'223'372'036'825'200;
constexpr std::int64_t kWireMillisMinusInfinity = -9'223'372'036'832'400;

// From this second on (year 294247) its seconds-to-microseconds arithmetic saturates, and then
// wraps when it adds the fraction: the seconds are lost.
constexpr std::int64_t kWireMicrosLost = std::numeric_limits<std::int64_t>::max() / 1'000'000;

void append_days(std::string& out, std::int32_t days) {
  append_be32(out, static_cast<std::uint32_t>(days));
}
void append_micros(std::string& out, std::int64_t micros) {
  append_be64(out, static_cast<std::uint64_t>(micros));
}

Carry append_valid_timestamp(std::string& out, std::int64_t micros) {
  if (micros < kTimestampMin || micros >= kTimestampEnd) return Carry::Unreadable;
  append_micros(out, micros);
  return Carry::Value;
}

// Days since 1970 of a date of the proleptic Gregorian calendar (year 0 is 1 BC).
std::int64_t days_from_civil(std::int64_t year, int month, int day) {
  if (month <= 2) --year;
  const std::int64_t era = (year >= 0 ? year : year - 399) / 400;
  const std::int64_t year_of_era = year - era * 400;
  const std::int64_t day_of_year = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;
  const std::int64_t day_of_era =
      year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
  return era * 146097 + day_of_era - 719468;
}

int days_in_month(std::int64_t year, int month) {
  constexpr int kDays[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
  const bool leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
  return month == 2 && leap ? 29 : kDays[month - 1];
}

// Reads a text from left to right.
class TextCursor {
 public:
  explicit TextCursor(std::string_view text) : rest_(text) {}

  bool done() const { return rest_.empty(); }
  bool next_is(char c) const { return rest_.starts_with(c); }
  bool take(char c) {
    if (!rest_.starts_with(c)) return false;
    rest_.remove_prefix(1);
    return true;
  }
  bool take(std::string_view text) {
    if (!rest_.starts_with(text)) return false;
    rest_.remove_prefix(text.size());
    return true;
  }
  // Takes between `least` and `most` digits.
  bool number(std::size_t least, std::size_t most, std::int64_t& value) {
    std::size_t n = 0;
    value = 0;
    while (n < most && n < rest_.size() && rest_[n] >= '0' && rest_[n] <= '9') {
      value = value * 10 + (rest_[n++] - '0');
    }
    rest_.remove_prefix(n);
    return n >= least;
  }
  // Takes the digits of a fraction as microseconds; further digits must be zeros.
  bool fraction(std::int64_t& micros) {
    micros = 0;
    std::size_t n = 0;
    for (; n < rest_.size() && rest_[n] >= '0' && rest_[n] <= '9'; ++n) {
      if (n < 6) micros = micros * 10 + (rest_[n] - '0');
      if (n >= 6 && rest_[n] != '0') return false;
    }
    for (std::size_t i = n; i < 6; ++i) micros *= 10;
    rest_.remove_prefix(n);
    return n > 0;
  }

 private:
  std::string_view rest_;
};

// A moment as text, taken apart: the date's days since 1970, the time of day, the zone.
struct CivilTime {
  std::int64_t year = 0;
  int month = 0;
  int day = 0;
  std::int64_t micros = 0;
  std::int64_t offset_seconds = 0;

  bool valid() const {
    return month >= 1 && month <= 12 && day >= 1 && day <= days_in_month(year, month) &&
           micros <= kMicrosPerDay;
  }
  std::int64_t days() const { return days_from_civil(year, month, day); }
  std::int64_t micros_since_2000() const {
    return (days() - kEpochDays) * kMicrosPerDay + micros - offset_seconds * 1'000'000;
  }
};

// The year has at most 7 digits: its days stay far inside 64 bits.
bool read_date(TextCursor& cursor, CivilTime& moment) {
  const bool negative = cursor.take('-');
  if (!negative) cursor.take('+');
  std::int64_t month = 0;
  std::int64_t day = 0;
  if (!cursor.number(4, 7, moment.year) || !cursor.take('-') || !cursor.number(2, 2, month) ||
      !cursor.take('-') || !cursor.number(2, 2, day)) {
    return false;
  }
  if (negative) moment.year = -moment.year;
  moment.month = static_cast<int>(month);
  moment.day = static_cast<int>(day);
  return true;
}

bool read_time(TextCursor& cursor, CivilTime& moment) {
  std::int64_t hours = 0;
  std::int64_t minutes = 0;
  std::int64_t seconds = 0;
  std::int64_t fraction = 0;
  if (!cursor.number(2, 2, hours) || !cursor.take(':') || !cursor.number(2, 2, minutes)) {
    return false;
  }
  if (cursor.take(':')) {
    if (!cursor.number(2, 2, seconds)) return false;
    if (cursor.take('.') && !cursor.fraction(fraction)) return false;
  }
  if (minutes > 59 || seconds > 59) return false;
  moment.micros = ((hours * 60 + minutes) * 60 + seconds) * 1'000'000 + fraction;
  return true;
}

bool read_zone(TextCursor& cursor, CivilTime& moment) {
  if (cursor.take('Z')) return true;
  const bool west = cursor.next_is('-');
  if (!cursor.take('+') && !cursor.take('-')) return false;
  std::int64_t hours = 0;
  std::int64_t minutes = 0;
  std::int64_t seconds = 0;
  if (!cursor.number(2, 2, hours)) return false;
  if (cursor.take(':') && !cursor.number(2, 2, minutes)) return false;
  if (cursor.take(':') && !cursor.number(2, 2, seconds)) return false;
  moment.offset_seconds = (hours * 60 + minutes) * 60 + seconds;
  if (west) moment.offset_seconds = -moment.offset_seconds;
  return true;
}

// Takes PostgreSQL's " BC", if it is there, and ends the text.
bool read_era(TextCursor& cursor, CivilTime& moment) {
  if (cursor.take(" BC")) moment.year = 1 - moment.year;
  return cursor.done() && moment.valid();
}

Carry append_moment(std::string& out, const CivilTime& moment) {
  // Beyond these years the microseconds might not fit the computation.
  constexpr std::int64_t kYearMax = 294'277;
  if (moment.year > kYearMax || moment.year < -kYearMax) return Carry::Unreadable;
  return append_valid_timestamp(out, moment.micros_since_2000());
}

bool infinite(std::string_view text, bool& positive) {
  positive = text == "infinity";
  return positive || text == "-infinity";
}

// A part of an interval: what stands before the unit, in millionths.
bool read_part(TextCursor& cursor, std::int64_t& millionths) {
  const bool negative = cursor.take('-');
  std::int64_t whole = 0;
  std::int64_t fraction = 0;
  if (!cursor.number(1, 12, whole)) return false;
  if (cursor.take('.') && !cursor.fraction(fraction)) return false;
  millionths = whole * 1'000'000 + fraction;
  if (negative) millionths = -millionths;
  return true;
}

struct Interval {
  std::int64_t months = 0;
  std::int64_t days = 0;
  std::int64_t micros = 0;
};

bool add(std::int64_t& sum, std::int64_t value, std::int64_t factor) {
  std::int64_t product = 0;
  return !__builtin_mul_overflow(value, factor, &product) &&
         !__builtin_add_overflow(sum, product, &sum);
}

// Adds a part of the date half; those have no fractions.
bool add_date_part(Interval& interval, char unit, std::int64_t millionths) {
  if (millionths % 1'000'000 != 0) return false;
  const std::int64_t whole = millionths / 1'000'000;
  if (unit == 'Y') return add(interval.months, whole, 12);
  if (unit == 'M') return add(interval.months, whole, 1);
  return unit == 'D' && add(interval.days, whole, 1);
}

bool add_time_part(Interval& interval, char unit, std::int64_t millionths) {
  if (unit == 'H') return add(interval.micros, millionths, 3600);
  if (unit == 'M') return add(interval.micros, millionths, 60);
  return unit == 'S' && add(interval.micros, millionths, 1);
}

bool read_interval(TextCursor& cursor, Interval& interval) {
  if (!cursor.take('P') || cursor.done()) return false;
  bool in_time = false;
  while (!cursor.done()) {
    if (!in_time && cursor.take('T')) {
      in_time = true;
      continue;
    }
    std::int64_t millionths = 0;
    if (!read_part(cursor, millionths)) return false;
    char unit = 0;
    for (const char candidate : {'Y', 'M', 'D', 'H', 'S'}) {
      if (unit == 0 && cursor.take(candidate)) unit = candidate;
    }
    const bool ok = in_time ? add_time_part(interval, unit, millionths)
                            : add_date_part(interval, unit, millionths);
    if (!ok) return false;
  }
  return true;
}

bool fits_int32(std::int64_t value) {
  return value >= std::numeric_limits<std::int32_t>::min() &&
         value <= std::numeric_limits<std::int32_t>::max();
}

}  // namespace

Carry append_date(std::string& out, std::int64_t days_since_1970) {
  if (days_since_1970 == kWireDateInfinity) {
    append_days(out, std::numeric_limits<std::int32_t>::max());
    return Carry::Value;
  }
  if (days_since_1970 == kWireDateMinusInfinity) {
    append_days(out, std::numeric_limits<std::int32_t>::min());
    return Carry::Value;
  }
  if (days_since_1970 < kDateMin + kEpochDays || days_since_1970 > kDateMax + kEpochDays) {
    return Carry::Unreadable;
  }
  append_days(out, static_cast<std::int32_t>(days_since_1970 - kEpochDays));
  return Carry::Value;
}

Carry append_time(std::string& out, std::int64_t count, TimeUnit unit) {
  if (count < 0 || count > kMicrosPerDay) return Carry::Unreadable;
  const std::int64_t micros = unit == TimeUnit::Millis ? count * 1000 : count;
  if (micros > kMicrosPerDay) return Carry::Unreadable;
  append_micros(out, micros);
  return Carry::Value;
}

Carry append_timestamp(std::string& out, std::int64_t count, TimeUnit unit) {
  const std::int64_t scale = unit == TimeUnit::Millis ? 1 : 1000;
  for (const std::int64_t factor : {scale, std::int64_t{1000}}) {
    if (count == kWireMillisInfinity * factor || count == kWireMillisMinusInfinity * factor) {
      append_micros(out, count > 0 ? kInfinity : kMinusInfinity);
      return Carry::Value;
    }
  }
  if (unit == TimeUnit::Millis) {
    std::int64_t micros = 0;
    // Shifted before it is multiplied: the last valid millisecond does not fit otherwise.
    if (__builtin_sub_overflow(count, kEpochMicros / 1000, &micros) ||
        __builtin_mul_overflow(micros, std::int64_t{1000}, &micros)) {
      return Carry::Unreadable;
    }
    return append_valid_timestamp(out, micros);
  }
  if (count >= kWireMicrosLost * 1'000'000) return Carry::Doubtful;
  if (count < kTimestampMin + kEpochMicros) return Carry::Doubtful;
  return append_valid_timestamp(out, count - kEpochMicros);
}

Carry append_timestamptz(std::string& out, std::string_view iso) {
  bool positive = false;
  if (infinite(iso, positive)) {
    append_micros(out, positive ? kInfinity : kMinusInfinity);
    return Carry::Value;
  }
  TextCursor cursor(iso);
  CivilTime moment;
  if (!read_date(cursor, moment) || !cursor.take('T') || !read_time(cursor, moment) ||
      !read_zone(cursor, moment) || !cursor.done() || !moment.valid()) {
    return Carry::Unreadable;
  }
  return append_moment(out, moment);
}

Carry append_interval(std::string& out, std::string_view iso) {
  TextCursor cursor(iso);
  Interval interval;
  if (!read_interval(cursor, interval) || !fits_int32(interval.months) ||
      !fits_int32(interval.days)) {
    return Carry::Unreadable;
  }
  append_micros(out, interval.micros);
  append_days(out, static_cast<std::int32_t>(interval.days));
  append_days(out, static_cast<std::int32_t>(interval.months));
  return Carry::Value;
}

Carry append_date_text(std::string& out, std::string_view text) {
  bool positive = false;
  if (infinite(text, positive)) {
    append_days(out, positive ? std::numeric_limits<std::int32_t>::max()
                              : std::numeric_limits<std::int32_t>::min());
    return Carry::Value;
  }
  TextCursor cursor(text);
  CivilTime moment;
  if (!read_date(cursor, moment) || !read_era(cursor, moment)) return Carry::Unreadable;
  const std::int64_t days = moment.days() - kEpochDays;
  if (days < kDateMin || days > kDateMax) return Carry::Unreadable;
  append_days(out, static_cast<std::int32_t>(days));
  return Carry::Value;
}

Carry append_timestamp_text(std::string& out, std::string_view text) {
  bool positive = false;
  if (infinite(text, positive)) {
    append_micros(out, positive ? kInfinity : kMinusInfinity);
    return Carry::Value;
  }
  TextCursor cursor(text);
  CivilTime moment;
  if (!read_date(cursor, moment) || !cursor.take(' ') || !read_time(cursor, moment) ||
      !read_era(cursor, moment)) {
    return Carry::Unreadable;
  }
  return append_moment(out, moment);
}

Carry append_timestamptz_text(std::string& out, std::string_view text) {
  bool positive = false;
  if (infinite(text, positive)) {
    append_micros(out, positive ? kInfinity : kMinusInfinity);
    return Carry::Value;
  }
  TextCursor cursor(text);
  CivilTime moment;
  if (!read_date(cursor, moment) || !cursor.take(' ') || !read_time(cursor, moment) ||
      !read_zone(cursor, moment) || !read_era(cursor, moment)) {
    return Carry::Unreadable;
  }
  return append_moment(out, moment);
}

}  // namespace lockstep
