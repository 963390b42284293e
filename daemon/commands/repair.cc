#include <fmt/format.h>

#include <algorithm>
#include <boost/json.hpp>
#include <chrono>
#include <iostream>
#include <limits>
#include <map>
#include <set>

#include "checkpoint/state_lock.h"
#include "daemon/commands/commands.h"
#include "daemon/control_client.h"
#include "daemon/key_text.h"
#include "daemon/repair_json.h"
#include "daemon/repair_sql.h"
#include "daemon/resync.h"
#include "daemon/state_directory.h"
#include "daemon/status_json.h"
#include "daemon/waits.h"
#include "pipeline/base/stop_flag.h"

namespace lockstep {
namespace {

constexpr std::chrono::seconds kRepairingMax{120};
constexpr std::chrono::milliseconds kLookAtRepairsEvery{500};
// A look that was under way when the repair was asked for finds the row as it was.
constexpr int kLooksToGiveUp = 6;
constexpr std::size_t kAtOnce = 1000;
constexpr std::uint64_t kNoLimit = std::numeric_limits<std::uint64_t>::max();

// The open findings that a command is about.
Result<FindingsList> choose(const Manifest& manifest, FindingsFilter filter) {
  filter.undone = !filter.ids.empty();  // Somebody took the repair back: he is not overruled.
  LOCKSTEP_ASSIGN(FindingsList list, list_findings(manifest, filter));
  list.total -=
      std::erase_if(list.findings, [](const Finding& finding) { return !is_open(finding.state); });
  return list;
}

std::string left_out_text(const FindingsList& chosen) {
  std::string text;
  if (chosen.left_out > 0)
    text += fmt::format("; {} rows of another kind are left out", chosen.left_out);
  if (chosen.undone > 0)
    text += fmt::format("; {} undone rows are left out: --id takes them", chosen.undone);
  return text;
}

std::string nothing_text(const FindingsList& chosen) {
  return fmt::format("nothing is to be repaired: no finding {}{}\n",
                     chosen.left_out == 0 ? "is open" : "of that kind is open",
                     left_out_text(chosen));
}

Status print_sql(const Manifest& manifest, FindingsFilter filter) {
  filter.grouped = true;
  LOCKSTEP_ASSIGN(const FindingsList chosen, choose(manifest, filter));
  if (chosen.findings.empty()) {
    std::cout << nothing_text(chosen);
    return {};
  }
  KeyTexts texts(manifest);
  if (texts.fault()) return fail(*texts.fault());
  std::cout << sql_session();
  for (const Finding& finding : chosen.findings) {
    const auto sql = repair_sql(finding, texts);
    std::cout << (sql ? *sql : fmt::format("-- finding {}: {}", finding.id, sql.error().message))
              << "\n";
  }
  if (chosen.findings.size() < chosen.total)
    std::cout << fmt::format("-- these are the first {} of {}: --table or --id chooses others\n",
                             chosen.findings.size(), chosen.total);
  for (const auto& [table, lacking] : chosen.lacking)
    if (const std::string advice =
            resync_advice(table, lacking.missing, lacking.rows, manifest.path);
        !advice.empty())
      std::cout << "-- " << advice << "\n";
  std::cout << fmt::format(
      "-- {} rows{}; nothing was done: --yes reads each of them from the source again and writes "
      "it\n",
      chosen.total, left_out_text(chosen));
  return {};
}

// Findings, each with what was seen of it.
using Asked = std::map<std::uint64_t, Hash128>;

// How many of what was asked for are not equal yet, and of how many no more is to be expected: some
// of these are not on the target any more as they were seen.
struct Left {
  std::size_t all = 0;
  std::size_t given_up = 0;
  std::size_t changed = 0;
};
Result<Left> left_of(const Manifest& manifest, const Asked& asked, std::int64_t since_us) {
  FindingsFilter open;
  open.limit = kNoLimit;
  open.with_rows = false;
  LOCKSTEP_ASSIGN(const FindingsList now, list_findings(manifest, open));
  Left left;
  for (const Finding& finding : now.findings) {
    const auto seen = asked.find(finding.id);
    if (seen == asked.end()) continue;
    ++left.all;
    left.changed += now.seen.at(finding.id) == seen->second ? 0 : 1;
    if (finding.state == FindingState::Open && finding.last_seen_us > since_us) ++left.given_up;
  }
  return left;
}

// So many of how many were to be made equal, of all that the command is about.
struct EqualSoFar {
  std::size_t equal = 0;
  std::size_t wanted = 0;
};

std::unexpected<Error> has_ended(const Manifest& manifest, const EqualSoFar& progress) {
  return fail(Reaction::Halt,
              fmt::format("lockstep run has ended: {} of {} rows are equal so far; next: lockstep "
                          "run {}, then lockstep repair {} --yes again",
                          progress.equal, progress.wanted, manifest.path, manifest.path),
              ExitCode::Unreachable);
}

// Asks for some repairs and waits for the end of them.  Returns what is left of them then.
Result<Left> repair_some(const Manifest& manifest, const LockOwner& owner, const Asked& asked,
                         RepairScope scope, const EqualSoFar& before) {
  const auto since = std::chrono::system_clock::now().time_since_epoch();
  const std::int64_t since_us =
      std::chrono::duration_cast<std::chrono::microseconds>(since).count();
  RepairRequest request{{}, scope, asked};
  for (const auto& [id, seen] : asked) request.ids.push_back(id);
  const ControlRequest post{"POST", kRepairPath, repair_json(request)};
  LOCKSTEP_ASSIGN(const std::string begun, ask_patiently(owner, post));
  LOCKSTEP_ASSIGN(RepairsState state, parse_repairs(begun));
  std::uint64_t run = state.run;
  auto until = std::chrono::steady_clock::now() + kRepairingMax;
  StopFlag never;
  WaitNotice notice;
  Left left{asked.size()};
  for (int looks = 0; looks < kLooksToGiveUp && std::chrono::steady_clock::now() < until;) {
    never.wait(kLookAtRepairsEvery);
    LOCKSTEP_ASSIGN(left, left_of(manifest, asked, since_us));
    if (left.all == 0) break;
    looks = left.given_up == left.all ? looks + 1 : 0;
    LOCKSTEP_ASSIGN(const auto now, find_owner(manifest));
    if (!now || now->pid != owner.pid)
      return has_ended(manifest, {before.equal + asked.size() - left.all, before.wanted});
    LOCKSTEP_ASSIGN(const std::string answer, ask_owner(owner, {"GET", kRepairPath, ""}));
    LOCKSTEP_ASSIGN(state, parse_repairs(answer));
    notice.tell(state.waits);
    // A run that was prepared anew knows nothing of the request, which an abort refuses.
    if (state.run != run) {
      LOCKSTEP_ASSIGN(const std::string again, ask_patiently(owner, post));
      LOCKSTEP_ASSIGN(state, parse_repairs(again));
      run = state.run;
    }
    if (state.waits.empty()) continue;
    looks = 0;  // What waits is looked at, too.
    until = std::chrono::steady_clock::now() + kRepairingMax;
  }
  return left;
}

// Tables of which nothing is written now, by name, with the reason.
Result<std::map<std::string, std::string>> held_tables(const LockOwner& owner) {
  LOCKSTEP_ASSIGN(const std::string answer, ask_patiently(owner, {"GET", kStatusPath, ""}));
  std::map<std::string, std::string> held;
  const boost::json::value status = boost::json::parse(answer);
  for (const boost::json::value& value : status.at("tables").as_array()) {
    const boost::json::object& table = value.as_object();
    const std::string state = text_of(table, "state");
    if (state == "paused" || state == "stopped")
      held[text_of(table, "table")] = text_of(table, "reason");
  }
  return held;
}

// The findings that can be repaired now.  Says of the others what keeps them, table by table.
Result<Asked> wanted_of(const FindingsList& chosen, const LockOwner& owner) {
  LOCKSTEP_ASSIGN(const auto held, held_tables(owner));
  Asked wanted;
  std::map<std::string, std::size_t> left;
  for (const Finding& finding : chosen.findings) {
    if (held.contains(finding.table))
      ++left[finding.table];
    else
      wanted[finding.id] = chosen.seen.at(finding.id);
  }
  for (const auto& [table, rows] : left)
    std::cerr << fmt::format("{} rows of {} are not repaired now: {}\n", rows, table,
                             held.at(table));
  return wanted;
}

Result<ExitCode> repair(const Manifest& manifest, FindingsFilter filter) {
  if (manifest.reconcile.repair.value == RepairPolicy::Off)
    return fail(Reaction::Halt,
                fmt::format("nothing was repaired: say `reconcile: {{repair: confirm}}` in {}, and "
                            "start lockstep run {} again",
                            manifest.path, manifest.path),
                ExitCode::Config);
  LOCKSTEP_ASSIGN(const auto owner, find_owner(manifest));
  if (!owner || owner->socket.empty())
    return runs_not("nothing was repaired; next: lockstep run " + manifest.path);
  filter.limit = kNoLimit;
  filter.with_rows = false;
  LOCKSTEP_ASSIGN(const FindingsList chosen, choose(manifest, filter));
  if (chosen.findings.empty()) {
    std::cout << nothing_text(chosen);
    return ExitCode::Ok;
  }
  LOCKSTEP_ASSIGN(const auto wanted, wanted_of(chosen, *owner));
  const std::size_t all = chosen.findings.size();
  std::size_t equal = 0;
  std::size_t changed = 0;
  for (auto next = wanted.begin(); next != wanted.end();) {
    Asked some;
    for (; next != wanted.end() && some.size() < kAtOnce; ++next) some.insert(*next);
    LOCKSTEP_ASSIGN(const Left left,
                    repair_some(manifest, *owner, some, filter.scope, {equal, all}));
    equal += some.size() - left.all;
    changed += left.changed;
    if (left.all > left.changed) break;  // Whatever keeps them keeps the others, too.
  }
  std::cout << fmt::format("{} of {} rows are equal now{}\n", equal, all, left_out_text(chosen));
  if (equal == all) return ExitCode::Ok;
  if (changed > 0)
    std::cout << fmt::format(
        "{} rows were left alone: somebody has changed them on the target since this command read "
        "the findings; see lockstep findings list {}, then lockstep repair {} --yes again\n",
        changed, manifest.path, manifest.path);
  if (equal + changed < wanted.size())
    std::cout << fmt::format(
        "the others are still under way, or refused by the target: see lockstep findings list {}, "
        "lockstep quarantine list {}\n",
        manifest.path, manifest.path);
  return ExitCode::Incomplete;
}

}  // namespace

ExitCode repair_command(const RepairCommand& command) {
  const auto manifest = load_or_complain(command.manifest);
  if (!manifest) return ExitCode::Config;
  if (!command.yes) {
    const Status printed = print_sql(*manifest, command.filter);
    return printed ? ExitCode::Ok : complain(printed.error());
  }
  const auto repaired = repair(*manifest, command.filter);
  return repaired ? *repaired : complain(repaired.error());
}

}  // namespace lockstep
