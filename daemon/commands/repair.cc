#include <fmt/format.h>

#include <algorithm>
#include <boost/json.hpp>
#include <chrono>
#include <iostream>

#include "checkpoint/state_lock.h"
#include "daemon/commands/commands.h"
#include "daemon/control_client.h"
#include "daemon/key_text.h"
#include "daemon/repair_sql.h"
#include "daemon/run_state.h"
#include "pipeline/base/stop_flag.h"

namespace lockstep {
namespace {

namespace json = boost::json;

constexpr std::chrono::seconds kRepairingMax{120};
constexpr std::chrono::milliseconds kLookEvery{200};

Status print_sql(const Manifest& manifest, const FindingsFilter& filter) {
  LOCKSTEP_ASSIGN(const FindingsList list, list_findings(manifest, filter));
  KeyTexts texts(manifest);
  for (const Finding& finding : list.findings) std::cout << repair_sql(finding, texts) << "\n";
  if (list.findings.empty())
    std::cout << "nothing is to be repaired: no finding is open\n";
  else
    std::cout << fmt::format(
        "-- {} rows; nothing was done: --yes reads each of them from the "
        "source again and writes it\n",
        list.total);
  return {};
}

// Which of `before` are not equal yet.
Result<std::size_t> left_of(const Manifest& manifest, const std::vector<Finding>& before) {
  FindingsFilter filter;
  for (const Finding& finding : before) filter.ids.push_back(finding.id);
  LOCKSTEP_ASSIGN(const FindingsList now, list_findings(manifest, filter));
  return static_cast<std::size_t>(std::ranges::count_if(
      now.findings, [](const Finding& finding) { return is_open(finding.state); }));
}

Result<ExitCode> repair(const Manifest& manifest, const FindingsFilter& filter) {
  if (manifest.reconcile.repair.value == RepairPolicy::Off)
    return fail(Reaction::Halt,
                "nothing was repaired: say `reconcile: {repair: confirm}` in " + manifest.path,
                ExitCode::Config);
  LOCKSTEP_ASSIGN(const auto owner, read_lock_owner(manifest.state_dir.value.string()));
  if (!owner || owner->socket.empty())
    return fail(Reaction::Halt, "nothing was repaired: lockstep run is what repairs; start it",
                ExitCode::Temporary);
  LOCKSTEP_ASSIGN(const FindingsList list, list_findings(manifest, filter));
  json::array ids;
  for (const Finding& finding : list.findings) ids.emplace_back(finding.id);
  if (ids.empty()) {
    std::cout << "nothing is to be repaired: no finding is open\n";
    return ExitCode::Ok;
  }
  const std::string body = json::serialize(json::object{{"ids", std::move(ids)}});
  LOCKSTEP_TRY(ask_owner(*owner, {"POST", kRepairPath, body}));
  const auto until = std::chrono::steady_clock::now() + kRepairingMax;
  StopFlag never;
  std::size_t left = list.findings.size();
  while (left > 0 && std::chrono::steady_clock::now() < until) {
    never.wait(kLookEvery);
    LOCKSTEP_ASSIGN(left, left_of(manifest, list.findings));
  }
  std::cout << fmt::format("{} of {} rows are equal now\n", list.findings.size() - left,
                           list.findings.size());
  if (left == 0) return ExitCode::Ok;
  std::cout << "the others differ in another way than when they were found, or the target refuses "
               "them: see lockstep findings list, lockstep quarantine list\n";
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
