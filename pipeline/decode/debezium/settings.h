// DecodeSettings: what the decoder must know of the connector's configuration, because the events
// themselves do not say it (without a schema part) or say it only sometimes.
//
// The defaults are the connector that `lockstep connector-config` writes.  interval.handling.mode
// and hstore.handling.mode are not here: their values can be told apart as they arrive.
#pragma once

#include <cstdint>
#include <string>

namespace lockstep {

// The unit of time and timestamp columns (time.precision.mode).
enum class TimePrecision : std::uint8_t {
  Adaptive,        // adaptive: both follow the column's precision.
  AdaptiveMicros,  // adaptive_time_microseconds: time is always microseconds.
  Micros,          // microseconds: everything is.
};

struct DecodeSettings {
  std::string placeholder = "__debezium_unavailable_value";  // Its bytes, `hex:` already undone.
  // User data may equal the default placeholder: then what looks like one is read again (W1).
  bool placeholder_is_default = true;
  TimePrecision time = TimePrecision::AdaptiveMicros;
  bool include_unknown = true;  // include.unknown.datatypes
  // replace.null.with.default of the converters: a NULL in a column with a default arrives as the
  // default (seen on the wire), so no value of such a column is to be believed.
  bool null_becomes_default = false;
  bool failure_mode_warn = false;       // event.converting.failure.handling.mode is warn or skip.
  bool snapshot_events_reread = false;  // Manifest `snapshot_events: reread` (I16).
  // Debezium takes timestamp[] and timestamptz[] through the time zone of Connect's JVM, and hours
  // that a daylight-saving zone repeats or skips get lost.  False: such arrays are read again.
  bool connect_runs_in_utc = true;
  // From PostgreSQL 17 on: an infinite interval arrives as one of 0, so that 0 is not to be
  // believed.
  bool infinite_intervals = false;
};

}  // namespace lockstep
