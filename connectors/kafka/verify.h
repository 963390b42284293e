// Is this log still the one we read?  The checks of I16 at start: offsets expired, topic shrunk or
// created again.
//
// A stream's Position carries, in `minor`, the identity of the last record before `major`.  Given
// the log, `minor` follows from `major`, so positions compare as offsets do; given another log of
// the same name, it differs, and that is noticed even where the new log has grown past our offset.
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <span>
#include <vector>

#include "connectors/kafka/client.h"
#include "pipeline/base/result.h"
#include "pipeline/model/change.h"

namespace lockstep {

// Returns the identity of a record: of its offset, timestamp, key and value; never 0.
std::uint64_t record_identity(const rd_kafka_message_s& message);

struct KnownPosition {
  TopicPartition at;
  Position position;
};

// The error of a position that the log [ends.low, ends.end) does not reach, or nothing (I16).
Status check_within(const KnownPosition& known, const PartitionEnds& ends);

// Checks that each position lies in its log and that the record before it is the one we read.
// Halt: I16.  Retry: no answer until `timeout`.  REQUIRES: the partitions exist.
Status verify_positions(const KafkaOptions& options, std::span<const KnownPosition> known,
                        std::chrono::milliseconds timeout);

}  // namespace lockstep
