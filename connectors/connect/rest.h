// ConnectRest: what lockstep asks of a Kafka Connect worker over its REST interface.
//
// `validate` compares the running connector's settings, kafka_proof reads how far the connector has
// come (V3).  Plain http only.
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "pipeline/base/result.h"
#include "pipeline/model/snapshot.h"

namespace lockstep {

struct ConnectOptions {
  std::string url;                               // "http://connect:8083", a path in it is kept.
  std::string connector;                         // Its name in Connect.
  std::chrono::milliseconds timeout{5000};       // Of one request, connecting included.
  std::uint64_t answer_bytes_max = 4ULL << 20U;  // A longer answer is an error.
};

struct ConnectorStatus {
  struct Task {
    std::int64_t id = 0;
    std::string state;
    std::string trace;  // First line of a failed task's stack trace.
  };
  std::string state;  // "RUNNING", "PAUSED", "STOPPED", "FAILED", "UNASSIGNED", "RESTARTING".
  std::vector<Task> tasks;
};

// Source offsets that Connect has stored for one source partition, all records up to them being
// acknowledged by the broker.
struct ConnectorOffset {
  std::string server;             // The topic prefix.
  std::optional<Lsn> lsn;         // Of the last record, or of the last commit.
  std::optional<Lsn> lsn_proc;    // Of the last record fully processed.
  std::optional<Lsn> lsn_commit;  // End of the last transaction all of whose records are stored.
};

// Not thread-safe.  Each call is one blocking GET, at most `timeout` long.
//
// Errors: Retry with exit code Unreachable when the worker cannot be reached, is busy (409, 5xx) or
// does not know the connector (code "404": it may be created later); Halt with exit code Config
// when the address is wrong (refused, not Connect, needs a login).
class ConnectRest {
 public:
  // Halt with exit code Config when the address is not a usable http URL.
  static Result<ConnectRest> open(ConnectOptions options);

  Result<ConnectorStatus> status();
  // The running connector's settings, passwords included: never print them.
  Result<std::map<std::string, std::string>> config();
  // Kafka 3.5 and later, distributed and standalone.
  Result<std::vector<ConnectorOffset>> offsets();

  const std::string& connector() const { return options_.connector; }

 private:
  ConnectRest() = default;
  // Returns the body of GET /connectors/NAME/`what`.
  Result<std::string> get(std::string_view what);

  ConnectOptions options_;
  std::string host_;
  std::string port_;
  std::string base_path_;
};

// The parsers of the three answers; `body` comes from outside.
Result<ConnectorStatus> parse_connector_status(std::string_view body);
Result<std::map<std::string, std::string>> parse_connector_config(std::string_view body);
Result<std::vector<ConnectorOffset>> parse_connector_offsets(std::string_view body);

}  // namespace lockstep
