// Versions of the libraries that this binary was built with, for `lockstep version`.
//
// CMake hands them in as definitions, so that no layer has to include another one's library.
#pragma once

#include <string>
#include <utility>
#include <vector>

namespace lockstep {

inline std::vector<std::pair<std::string, std::string>> library_versions() {
  return {{"rocksdb", LOCKSTEP_ROCKSDB_VERSION},
          {"librdkafka", LOCKSTEP_RDKAFKA_VERSION},
          {"libpq", LOCKSTEP_LIBPQ_VERSION},
          {"boost", LOCKSTEP_BOOST_VERSION},
          {"simdjson", LOCKSTEP_SIMDJSON_VERSION},
          {"xxhash", LOCKSTEP_XXHASH_VERSION},
          {"spdlog", LOCKSTEP_SPDLOG_VERSION},
          {"yaml-cpp", LOCKSTEP_YAML_VERSION},
          {"prometheus-cpp", LOCKSTEP_PROMETHEUS_VERSION}};
}

}  // namespace lockstep
