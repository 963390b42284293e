// abort: the kill switch, over the daemon's socket or without one.
#include "daemon/abort.h"

#include <fmt/format.h>

#include <boost/json.hpp>
#include <chrono>
#include <iostream>

#include "checkpoint/state_lock.h"
#include "daemon/actor.h"
#include "daemon/commands/commands.h"
#include "daemon/control_client.h"
#include "daemon/status_json.h"
#include "daemon/steering.h"
#include "daemon/waits.h"
#include "pipeline/base/stop_flag.h"

namespace lockstep {
namespace {

namespace json = boost::json;

constexpr std::chrono::milliseconds kAbortedEvery{20};
constexpr std::chrono::seconds kAbortedWithin{60};

// Until nothing can be written any more.
Status await_end(const Manifest& manifest, const LockOwner& owner, std::string answer) {
  const auto until = std::chrono::steady_clock::now() + kAbortedWithin;
  StopFlag never;
  WaitNotice notice;
  for (;;) {
    const json::value document = json::parse(answer);
    if (document.at("ended").as_bool()) return {};
    if (std::chrono::steady_clock::now() >= until)
      return fail(Reaction::Halt,
                  fmt::format("the abort is ordered and stays so, but waits for {}; next: lockstep "
                              "status {}, or kill -9 {} and lockstep abort {} again",
                              text_of(document.as_object(), "waits_for"), manifest.path, owner.pid,
                              manifest.path),
                  ExitCode::Temporary);
    notice.tell(text_of(document.as_object(), "waits_for"));
    never.wait(kAbortedEvery);
    LOCKSTEP_ASSIGN(answer, ask_owner(owner, {"GET", kAbortPath, ""}));
  }
}

// A process that does not answer may be stopped, and go on later.
Status abort_without_answer(const Manifest& manifest, const LockOwner& owner, const Error& error) {
  LOCKSTEP_TRY(end_our_sessions(manifest));
  return fail(Reaction::Halt,
              fmt::format("{}; its sessions on the target were ended, but it may open others: kill "
                          "-9 {}, then lockstep abort {} again",
                          error.message, owner.pid, manifest.path),
              ExitCode::Temporary);
}

Status store_abort(const Manifest& manifest, const std::string& reason) {
  LOCKSTEP_ASSIGN(const StoredSteering stored, open_steering(manifest));
  return stored.steering->abort({own_actor(), reason});
}

// Nobody runs: the next run finds the order, and what a killed one left behind is ended here, also
// where the order cannot be stored.
Status abort_offline(const Manifest& manifest, const std::string& reason) {
  const Status stored = store_abort(manifest, reason);
  const Status ended = end_our_sessions(manifest);
  if (stored) return ended;
  return fail(
      Reaction::Halt,
      fmt::format("{}, but the abort is not stored, and the next lockstep run writes again: "
                  "{}; next: lockstep abort {} again before anything starts it",
                  ended ? "its sessions on the target were ended" : ended.error().message,
                  stored.error().message, manifest.path),
      stored.error().exit);
}

// One that could not be stored counts for as long as the daemon lives.  One of which the daemon
// ends meanwhile, as a disk that is full has it do, is carried out here.
Status abort_running(const Manifest& manifest, const LockOwner& owner, std::string answer,
                     const std::string& reason) {
  const std::string why = text_of(json::parse(answer).as_object(), "not_noted");
  const Status ended = await_end(manifest, owner, std::move(answer));
  if (!ended && ended.error().exit == ExitCode::Unreachable) return abort_offline(manifest, reason);
  if (!ended || why == "-") return ended;
  return fail(Reaction::Halt,
              fmt::format("nothing is written to the target for as long as pid {} lives, but the "
                          "abort is not stored, and the next lockstep run writes again: {}; then: "
                          "lockstep abort {} again",
                          owner.pid, why, manifest.path),
              ExitCode::Io);
}

Status abort(const Manifest& manifest, const std::string& reason) {
  LOCKSTEP_ASSIGN(const auto owner, await_owner(manifest));
  if (!owner || owner->socket.empty()) return abort_offline(manifest, reason);
  auto answer =
      ask_owner(*owner, {"POST", kAbortPath, json::serialize(json::object{{"reason", reason}})});
  if (answer) return abort_running(manifest, *owner, *std::move(answer), reason);
  if (answer.error().exit != ExitCode::Unreachable) return fail(std::move(answer).error());
  return abort_without_answer(manifest, *owner, answer.error());
}

}  // namespace

ExitCode abort_command(const AbortCommand& command) {
  const auto manifest = load_or_complain(command.manifest);
  if (!manifest) return ExitCode::Config;
  const Status aborted = abort(*manifest, command.reason);
  if (!aborted) return complain(aborted.error());
  std::cout
      << "nothing is written to the target any more, also over restarts, until lockstep resume "
      << command.manifest << "\n";
  return ExitCode::Ok;
}

}  // namespace lockstep
