// Dates and times as Debezium writes them (numbers since 1970, ISO 8601 text) and as PostgreSQL
// prints them inside ranges, to PostgreSQL's binary values (days and microseconds since 2000).
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "pipeline/decode/carry.h"

namespace lockstep {

enum class TimeUnit : std::uint8_t { Millis, Micros };

// The first day of the Gregorian calendar, in days since 1970.  Java's old date classes, through
// which Debezium takes array elements, do not count earlier days as PostgreSQL does.
inline constexpr std::int64_t kFirstGregorianDay = -141427;

// Each appends the send() form of one value.
Carry append_date(std::string& out, std::int64_t days_since_1970);
Carry append_time(std::string& out, std::int64_t count, TimeUnit unit);
// Microseconds that Debezium's arithmetic saturated or wrapped (years after 294246) are Doubtful.
Carry append_timestamp(std::string& out, std::int64_t count, TimeUnit unit);
// "2024-02-29T11:14:15.123456Z", "+294276-...", "-0043-...", "infinity".
Carry append_timestamptz(std::string& out, std::string_view iso);
// "P1Y2M3DT4H5M6.789012S", every part with a sign of its own.
Carry append_interval(std::string& out, std::string_view iso);

// The same types in PostgreSQL's text form under DateStyle ISO: "2024-01-01 00:00:00.5+00 BC".
Carry append_date_text(std::string& out, std::string_view text);
Carry append_timestamp_text(std::string& out, std::string_view text);
Carry append_timestamptz_text(std::string& out, std::string_view text);

}  // namespace lockstep
