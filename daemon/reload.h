// Reload: the manifest is read again while lockstep runs.  What is hot counts at once; a file that
// is wrong, or that changes anything else, changes nothing, and the answer says so key by key.
#pragma once

#include <boost/json/value.hpp>
#include <string>
#include <vector>

#include "config/effective.h"
#include "config/manifest.h"
#include "daemon/control_server.h"
#include "daemon/steering.h"
#include "pipeline/base/sync.h"

namespace lockstep {

// POST {"reason": ""}: 200 {"changed": [{"key", "before", "after", "stays"}]}, where `stays` says
// what somebody has set by hand and null is nothing; 409 {"title", "keys": [{"key", "before",
// "after", "problem"}]} when nothing was changed.
inline constexpr const char* kReloadPath = "/api/v1/reload";
// GET: what the running daemon goes by, secrets left out.  POST {"secrets":
// {"source.connect.password":
// ".."}}: {"changed": [..]}, the keys of those that are not what it goes by; they are told to
// nobody.
inline constexpr const char* kConfigPath = "/api/v1/config";

// Safe for concurrent use.
class Reload {
 public:
  // What came of it.
  struct Outcome {
    struct Refused {
      ConfigChange change;
      std::string problem;  // What is wrong with the key, and what to do.
    };
    struct Changed {
      ConfigChange change;
      std::string stays;  // Somebody has set another value, which counts; "": the manifest's does.
    };
    std::vector<Changed> changed;
    std::vector<Refused> refused;  // Not empty: nothing was changed.
    // For people, one line.
    std::string text() const;
  };

  // Both outlive it.
  Reload(const Manifest& manifest, Steering& steering)
      : manifest_(manifest), steering_(steering), config_(effective_config(manifest)) {}

  // Reads the manifest's file.
  Result<Outcome> reload(const Order& order);
  boost::json::value config() const;
  // Of secrets that stand in a file: the keys of those that the process goes by with another value.
  ControlResponse compare_secrets(const boost::json::object& wanted) const;
  ControlResponse answer(const ControlRequest& request);

 private:
  const Manifest& manifest_;  // As the process began.
  Steering& steering_;
  mutable Mutex mutex_;
  boost::json::object config_ GUARDED_BY(mutex_);  // By now.
};

}  // namespace lockstep
