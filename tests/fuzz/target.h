// Fuzz targets: what reads bytes from outside, and what must hold whatever the bytes are.
//
// Each is run by clang's libFuzzer (preset `fuzz`), and over its corpus by every build
// (replay_test.cc): what was once found stays found.  A broken property ends the process.
#pragma once

#include <string_view>

namespace lockstep::fuzz {

// Records of the checkpoint: one byte of key length, the key, the fields.
void codec(std::string_view input);
// Kafka records of Debezium: key and value, each on a line of its own.
void debezium(std::string_view input);
// Messages of the replication stream, each behind two bytes of length.
void pgoutput(std::string_view input);
// A manifest.
void manifest(std::string_view input);

}  // namespace lockstep::fuzz
