// Envelope: the outer fields of a Debezium event, read in one pass whatever their order.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "pipeline/decode/debezium/json.h"
#include "pipeline/model/change.h"

namespace lockstep {

// Borrows from the message it was read from.
struct Envelope {
  char op = 0;  // Lower case; '?' for anything but one letter; 0: no field.
  std::optional<ondemand::object> after;
  bool has_source = false;
  std::string_view schema;
  std::string_view table;
  std::string_view snapshot;  // "false", "incremental", "first", ...
  std::optional<std::uint64_t> tx_id;
  std::int64_t commit_us = 0;
  Position sequence;  // [last commit LSN, own LSN]; 0 for null.
};

// Returns false when the JSON breaks off or a field has an impossible type.
bool read_envelope(ondemand::object& root, Envelope& envelope);

// Whether a message without `op` and `source` is one that Debezium writes beside the events:
// a heartbeat ("ts_ms" alone) or a transaction's begin or end ("status" and "id").
bool is_marker(ondemand::object& root);

}  // namespace lockstep
