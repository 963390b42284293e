// ConnectRest: what lockstep asks of a Kafka Connect worker over its REST interface.
//
// `validate` compares the running connector's settings, kafka_proof reads how far the connector has
// come (V3), and both say what keeps it from working.  Plain http only.
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
  bool restart_failed = false;                   // May tell Connect to restart what has failed.
};

struct ConnectorStatus {
  struct Task {
    std::int64_t id = 0;
    std::string state;
    std::string cause;  // Of one that has failed: the last cause that its stack trace names.
  };
  std::string state;  // "RUNNING", "PAUSED", "STOPPED", "FAILED", "UNASSIGNED", "RESTARTING".
  std::string cause;  // Of a connector that has failed itself.
  std::vector<Task> tasks;
};

// Why a connector, or its task, is not RUNNING.
struct ConnectorFault {
  std::string what;
  std::string remedy;   // What to do about it; may be empty.
  bool failed = false;  // It has ended; else it may be about to run, or somebody paused it.

  std::string text() const { return remedy.empty() ? what : what + "; " + remedy; }
};

// Nothing while both are.
std::optional<ConnectorFault> connector_fault(const ConnectorStatus& status,
                                              const ConnectOptions& options);

// Source offsets that Connect has stored for one source partition, all records up to them being
// acknowledged by the broker.
struct ConnectorOffset {
  std::string server;             // The topic prefix.
  std::optional<Lsn> lsn;         // Of the last record, or of the last commit.
  std::optional<Lsn> lsn_proc;    // Of the last record fully processed.
  std::optional<Lsn> lsn_commit;  // End of the last transaction all of whose records are stored.
};

// Not thread-safe.  Each call is one blocking request, at most `timeout` long.
//
// Errors: Retry with exit code Unreachable when the worker cannot be reached, is busy (409, 5xx) or
// does not know the connector (code "404": it may be created later); Halt with exit code Config
// when the address is wrong (refused, not Connect, needs a login).
class ConnectRest {
 public:
  // Halt with exit code Config when the address is not a usable http URL.
  static Result<ConnectRest> open(ConnectOptions options);

  Result<ConnectorStatus> status();
  // Has Connect start again what has failed, if the options allow it, at most once in half a
  // minute.  Connect 3.0 and later.
  Status restart_failed();
  // The running connector's settings, passwords included: never print them.
  Result<std::map<std::string, std::string>> config();
  // Kafka 3.5 and later, distributed and standalone.
  Result<std::vector<ConnectorOffset>> offsets();

  const ConnectOptions& options() const { return options_; }

 private:
  ConnectRest() = default;
  // Returns the body that /connectors/NAME/`what` answers.
  Result<std::string> get(std::string_view what);
  Result<std::string> post(std::string_view what);
  Result<std::string> ask(bool post, std::string_view what);

  ConnectOptions options_;
  std::string host_;
  std::string port_;
  std::string base_path_;
  std::chrono::steady_clock::time_point next_restart_;
};

// The parsers of the three answers; `body` comes from outside.
Result<ConnectorStatus> parse_connector_status(std::string_view body);
Result<std::map<std::string, std::string>> parse_connector_config(std::string_view body);
Result<std::vector<ConnectorOffset>> parse_connector_offsets(std::string_view body);

}  // namespace lockstep
