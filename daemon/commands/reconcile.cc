#include <fmt/format.h>

#include <algorithm>
#include <boost/json.hpp>
#include <chrono>
#include <iostream>

#include "checkpoint/state_lock.h"
#include "connectors/postgres/target/bookkeeping.h"
#include "daemon/commands/commands.h"
#include "daemon/control_client.h"
#include "daemon/state_directory.h"
#include "daemon/status_json.h"
#include "daemon/steering.h"
#include "daemon/sweep_json.h"
#include "daemon/tables.h"
#include "daemon/waits.h"
#include "pipeline/base/stop_flag.h"

namespace lockstep {
namespace {

namespace json = boost::json;

// How often its end is looked for: of a short comparison sooner.
constexpr std::chrono::milliseconds kAskSweepFirst{20};
constexpr std::chrono::milliseconds kAskSweepEvery{200};
constexpr int kAskSweepPart = 20;  // Of the time that it takes.

// Has the running daemon compare, and waits for the end of it.
Result<std::string> ask_and_wait(const LockOwner& owner, const ReconcileCommand& command) {
  json::object wanted;
  if (!command.table.empty()) wanted["table"] = command.table;
  const ControlRequest begin{"POST", kReconcilePath, json::serialize(wanted)};
  LOCKSTEP_ASSIGN(const std::string begun, ask_patiently(owner, begin));
  LOCKSTEP_ASSIGN(SweepOutcome before, sweep_outcome(begun));
  StopFlag never;
  WaitNotice notice;
  const auto asked = std::chrono::steady_clock::now();
  for (;;) {
    LOCKSTEP_ASSIGN(std::string document, ask_patiently(owner, {"GET", kReconcilePath, ""}));
    LOCKSTEP_ASSIGN(const SweepOutcome now, sweep_outcome(document));
    if (now.sweep > before.sweep + 1)
      return fail(Reaction::Halt, "another comparison began before this one's result was read",
                  ExitCode::Temporary);
    if (now.sweep == before.sweep + 1 && !now.running) return document;
    // A run that was prepared anew meanwhile knows nothing of the request.
    if (now.sweep <= before.sweep && !now.running) {
      LOCKSTEP_ASSIGN(const std::string again, ask_patiently(owner, begin));
      LOCKSTEP_ASSIGN(before, sweep_outcome(again));
    }
    notice.tell(now.waits);
    const auto took = std::chrono::duration_cast<std::chrono::milliseconds>(
        std::chrono::steady_clock::now() - asked);
    never.wait(std::clamp(took / kAskSweepPart, kAskSweepFirst, kAskSweepEvery));
  }
}

// Before this process compares by itself, and waits as the daemon would.
Status may_compare(const Manifest& manifest) {
  LOCKSTEP_ASSIGN(const auto checkpoint, open_checkpoint(manifest));
  if (checkpoint) {
    LOCKSTEP_TRY(refuse_while_aborted(*checkpoint, manifest.path));
    LOCKSTEP_ASSIGN(const Pauses pauses, stored_pauses(*checkpoint));
    const std::string waits = joined_waits(comparison_waits(pauses, {}, {}, manifest.path));
    if (!waits.empty()) std::cerr << "waits: " << waits << '\n';
  }
  Bookkeeping bookkeeping(bookkeeping_options(manifest, "reconcile"));
  LOCKSTEP_ASSIGN(const bool begun, bookkeeping.exists());
  if (begun) return {};
  return fail(
      Reaction::Halt,
      "there is nothing to compare: the migration has not begun on the target; lockstep run " +
          manifest.path + " begins it",
      ExitCode::Incomplete);
}

}  // namespace

ExitCode reconcile_command(const ReconcileCommand& command) {
  const auto manifest = load_or_complain(command.manifest);
  if (!manifest) return ExitCode::Config;
  const auto owner = await_owner(*manifest);
  if (!owner) return complain(owner.error());
  std::string document;
  ExitCode ended = ExitCode::Ok;
  if (*owner && !(*owner)->socket.empty()) {
    auto answered = ask_and_wait(**owner, command);
    if (!answered) return complain(answered.error());
    document = *std::move(answered);
  } else {
    if (const Status may = may_compare(*manifest); !may) return complain(may.error());
    RunCommand run;
    run.manifest = command.manifest;
    run.compare = {true, command.table, &document};
    ended = run_command(run);
    if (document.empty()) return ended;  // It has said why.
  }
  const auto outcome = sweep_outcome(document);
  if (!outcome) return complain(outcome.error());
  document = with_key_texts(document, *manifest, command.format == OutputFormat::Json);
  std::cout << (command.format == OutputFormat::Json ? document + "\n"
                                                     : sweep_text(document, command.manifest));
  return outcome->running ? ended : outcome->exit;
}

}  // namespace lockstep
