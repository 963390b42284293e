// ControlServer: HTTP over a Unix socket, for `status` and the verbs that talk to a running daemon;
// it also receives the signals that end a run.
//
//   SIGTERM, SIGINT, SIGHUP ──┐
//   HTTP requests ────────────┴─> run() on the control thread ──> handler, on_stop, on_hangup
#pragma once

#include <filesystem>
#include <functional>
#include <memory>
#include <string>

#include "pipeline/base/result.h"

namespace lockstep {

inline constexpr const char* kStatusPath = "/api/v1/status";
// POST: begin a proof now, {"proof": N, "applied": M}; GET: {"applied": M}, the last one of which
// all is applied that was committed before it was asked for.
inline constexpr const char* kProofPath = "/api/v1/proof";

struct ControlRequest {
  std::string method;  // "GET", "POST"
  std::string path;    // "/api/v1/status"
  std::string body;
  std::string actor{};  // Who asks, as the kernel says: "uid 1000".  Set by the server.
};

struct ControlResponse {
  unsigned status = 200;
  std::string body;  // One JSON document.
};

// run() on the control thread; stop() from any thread.
class ControlServer {
 public:
  using Handler = std::function<ControlResponse(const ControlRequest&)>;
  struct Signals {
    std::function<void()> on_stop;    // SIGTERM, SIGINT.
    std::function<void()> on_hangup;  // SIGHUP.
  };

  // Binds `socket` (mode 0660), replacing one that nobody listens on any more.
  // REQUIRES: the state directory's lock is held, so no other daemon of this migration lives.
  static Result<std::unique_ptr<ControlServer>> open(const std::filesystem::path& socket,
                                                     Handler handler, Signals signals);
  ~ControlServer();

  // Serves until stop().  `handler` and those of `signals` are called on this thread.
  void run();
  void stop();

 private:
  class Impl;
  explicit ControlServer(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace lockstep
