#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <iostream>
#include <limits>
#include <set>

#include "checkpoint/state_lock.h"
#include "daemon/commands/commands.h"
#include "daemon/control_client.h"
#include "daemon/key_text.h"
#include "daemon/repair_json.h"
#include "daemon/repair_sql.h"
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

Status print_sql(const Manifest& manifest, const FindingsFilter& filter) {
  LOCKSTEP_ASSIGN(const FindingsList chosen, choose(manifest, filter));
  if (chosen.findings.empty()) {
    std::cout << nothing_text(chosen);
    return {};
  }
  KeyTexts texts(manifest);
  for (const Finding& finding : chosen.findings) {
    const auto sql = repair_sql(finding, texts);
    std::cout << (sql ? *sql : fmt::format("-- finding {}: {}", finding.id, sql.error().message))
              << "\n";
  }
  if (chosen.findings.size() < chosen.total)
    std::cout << fmt::format("-- these are the first {} of {}: --table or --id chooses others\n",
                             chosen.findings.size(), chosen.total);
  std::cout << fmt::format(
      "-- {} rows{}; nothing was done: --yes reads each of them from the source again and writes "
      "it\n",
      chosen.total, left_out_text(chosen));
  return {};
}

// How many of what was asked for are not equal yet, and of how many no more is to be expected.
struct Left {
  std::size_t all = 0;
  std::size_t given_up = 0;
};
Result<Left> left_of(const Manifest& manifest, const std::set<std::uint64_t>& asked,
                     std::int64_t since_us) {
  FindingsFilter open;
  open.limit = kNoLimit;
  open.with_rows = false;
  LOCKSTEP_ASSIGN(const FindingsList now, list_findings(manifest, open));
  Left left;
  for (const Finding& finding : now.findings) {
    if (!asked.contains(finding.id)) continue;
    ++left.all;
    if (finding.state == FindingState::Open && finding.last_seen_us > since_us) ++left.given_up;
  }
  return left;
}

// Asks for some repairs and waits for the end of them.  Returns how many rows are equal then.
Result<std::size_t> repair_some(const Manifest& manifest, const LockOwner& owner,
                                const std::set<std::uint64_t>& asked, RepairScope scope) {
  const auto since = std::chrono::system_clock::now().time_since_epoch();
  const std::int64_t since_us =
      std::chrono::duration_cast<std::chrono::microseconds>(since).count();
  const RepairRequest request{{asked.begin(), asked.end()}, scope};
  LOCKSTEP_TRY(ask_owner(owner, {"POST", kRepairPath, repair_json(request)}));
  auto until = std::chrono::steady_clock::now() + kRepairingMax;
  StopFlag never;
  Left left{asked.size()};
  std::string told;
  for (int looks = 0; looks < kLooksToGiveUp && std::chrono::steady_clock::now() < until;) {
    never.wait(kLookAtRepairsEvery);
    LOCKSTEP_ASSIGN(left, left_of(manifest, asked, since_us));
    if (left.all == 0) break;
    looks = left.given_up == left.all ? looks + 1 : 0;
    LOCKSTEP_ASSIGN(const auto now, read_lock_owner(manifest.state_dir.value.string()));
    if (!now || now->pid != owner.pid)
      return fail(Reaction::Halt,
                  fmt::format("lockstep run ended before {} of {} rows were equal: start it, and "
                              "say lockstep repair --yes again",
                              left.all, asked.size()),
                  ExitCode::Temporary);
    LOCKSTEP_ASSIGN(const std::string answer, ask_owner(owner, {"GET", kRepairPath, ""}));
    const std::string waits = parse_waits(answer);
    if (waits.empty()) continue;
    looks = 0;  // What waits is looked at, too.
    until = std::chrono::steady_clock::now() + kRepairingMax;
    if (told.empty()) std::cerr << (told = waits) << "\n";
  }
  return asked.size() - left.all;
}

Result<ExitCode> repair(const Manifest& manifest, FindingsFilter filter) {
  if (manifest.reconcile.repair.value == RepairPolicy::Off)
    return fail(Reaction::Halt,
                "nothing was repaired: say `reconcile: {repair: confirm}` in " + manifest.path +
                    " and start lockstep run again",
                ExitCode::Config);
  LOCKSTEP_ASSIGN(const auto owner, read_lock_owner(manifest.state_dir.value.string()));
  if (!owner || owner->socket.empty())
    return fail(Reaction::Halt, "nothing was repaired: lockstep run is what repairs; start it",
                ExitCode::Temporary);
  filter.limit = kNoLimit;
  filter.with_rows = false;
  LOCKSTEP_ASSIGN(const FindingsList chosen, choose(manifest, filter));
  std::set<std::uint64_t> wanted;
  for (const Finding& finding : chosen.findings) wanted.insert(finding.id);
  if (wanted.empty()) {
    std::cout << nothing_text(chosen);
    return ExitCode::Ok;
  }
  std::size_t equal = 0;
  for (auto next = wanted.begin(); next != wanted.end();) {
    std::set<std::uint64_t> some;
    for (; next != wanted.end() && some.size() < kAtOnce; ++next) some.insert(*next);
    LOCKSTEP_ASSIGN(const std::size_t done, repair_some(manifest, *owner, some, filter.scope));
    equal += done;
    if (done < some.size()) break;  // Whatever keeps them keeps the others, too.
  }
  std::cout << fmt::format("{} of {} rows are equal now{}\n", equal, wanted.size(),
                           left_out_text(chosen));
  if (equal == wanted.size()) return ExitCode::Ok;
  std::cout
      << "the others are still under way, or on the target in another way than when they were "
         "found, or refused by it: see lockstep findings list, lockstep quarantine list\n";
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
