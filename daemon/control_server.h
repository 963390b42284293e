// ControlServer: HTTP over a Unix socket, for `status` and the verbs that talk to a running daemon;
// it also receives the signals that end a run.
//
//   SIGTERM, SIGINT, SIGHUP ──┐
//   HTTP requests ────────────┴─> run() on the control thread ──> handler, on_stop, on_hangup
//   GET over TCP, if asked for ─┘        what waits for a server └─> ControlResponse::later on a
//                                                                    thread of its own
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "pipeline/base/result.h"

namespace lockstep {

inline constexpr const char* kStatusPath = "/api/v1/status";
// POST: begin a proof now, {"proof": N, "applied": M}; GET: {"applied": M}, the last one of which
// all is applied that was committed before it was asked for.
inline constexpr const char* kProofPath = "/api/v1/proof";

struct ControlRequest {
  std::string method;  // "GET", "POST"
  // "/api/v1/status"; on its way to the server percent-encoded and with its query, "?limit=10".
  std::string path;
  std::string body;
  // Set by the server.
  std::string actor{};  // Who gives an order, as the kernel says: "uid 1000 (anna)"; "": who reads.
  std::string query{};  // "limit=10&after=3"; percent-encoded.
  std::string accept{};
  std::string last_event_id{};

  // A value of the query, decoded; "": there is none.
  std::string query_value(std::string_view name) const;
};

struct ControlResponse {
  unsigned status = 200;
  std::string body;  // One document of `type`.
  // Of a stream of events: returns what came since the last call, "" when that is nothing.  Called
  // again and again, on the server's thread, for as long as the peer listens.
  std::function<std::string()> more{};
  std::string allow{};                    // With 405: the methods that there are.
  std::string type = "application/json";  // Of a body that is well.
  // Of an answer that waits for a server: returns it.  Called on a thread of its own, one such
  // request after another, while others are answered.
  std::function<ControlResponse()> later{};
};

// Where anybody may read the few resources that are public, over TCP: GET only, no password.
struct PublicListen {
  std::string address;             // "127.0.0.1", "::1"
  std::uint16_t port = 0;          // 0: any that is free.
  std::vector<std::string> hosts;  // Names that it may be asked by, besides addresses.
  std::vector<std::string> paths;  // What is shown.
};

// Whether a request with this Host was meant for us: a page of somebody else, whose name was made
// to lead here (DNS rebinding), asks for that name.  Addresses and localhost cannot be taken over.
bool is_our_host(std::string_view host, const std::vector<std::string>& hosts);

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

  // Listens there, too.  Before run().  Not Ok: why it cannot.
  Status show(PublicListen listen);
  // Of show(), the port that it has got.
  std::uint16_t public_port() const;

  // Somebody who listens to a stream is to be told something.  From any thread.
  void wake();

  // Serves until stop().  `handler` and those of `signals` are called on this thread.  An answer of
  // `later` that is under way is waited for by the destructor.
  void run();
  void stop();

 private:
  class Impl;
  explicit ControlServer(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace lockstep
