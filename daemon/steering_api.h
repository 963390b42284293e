// The control socket's half of Steering: JSON in, JSON out, for the running daemon and for a verb
// that finds none.
#pragma once

#include <boost/json/fwd.hpp>
#include <string>
#include <vector>

#include "daemon/control_server.h"
#include "daemon/steering.h"

namespace lockstep {

// POST {"scope": "all", "reason": "release 17"}, or {"table": "public.orders"}; either that or GET
// answers pauses_json().
inline constexpr const char* kPausePath = "/api/v1/pause";
// GET, and PATCH {"values": {"NAME": 1000}, "reason": ""}; null: as the manifest says.
inline constexpr const char* kSettingsPath = "/api/v1/settings";

// All that is held: {"paused": [..], "ended": false, "waits_for": ".."} until nothing is under way
// that began before somebody held it.
std::string pauses_json(const std::vector<PausedScope>& paused);

// {"settings": [{"name", "value", "manifest", "by", "since"}]}.
std::string settings_json(const std::vector<ShownSetting>& all);

// Answers a request of either path, of a migration that nobody runs, or which has begun nothing.
ControlResponse answer_steering(Steering& steering, const ControlRequest& request);

// Ends the pauses of {"scope": "apply", "reason": ""} or {"table": "public.orders"}, with neither
// of them all there are, an abort among them.  Returns the names of what was held (run/control.h).
Result<std::vector<std::string>> resume_held(Steering& steering, const boost::json::object& wanted,
                                             const std::string& actor);

// An answer that says what is wrong: {"title": why}, and of an error {"exit": code of the verb}.
ControlResponse problem(unsigned status, const std::string& why);
ControlResponse problem(const Error& error);

// Writes a line of the audit log, as of now.
Status audit(RocksdbStore& store, const std::string& actor, const std::string& verb,
             const std::string& details);

}  // namespace lockstep
