#include "daemon/resume_watch.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <iterator>
#include <set>
#include <utility>

#include "connectors/postgres/wire/broken_functions.h"
#include "connectors/postgres/wire/facts.h"
#include "daemon/tables.h"
#include "pipeline/model/table.h"

namespace lockstep {
namespace {

constexpr std::chrono::seconds kObstaclesEvery{10};
constexpr std::chrono::seconds kNewsEvery{1};
constexpr std::chrono::seconds kPauseMax{600};
constexpr const char* kNoPrivilege = "(42501)";

// One side's half of a look.
class SideLook {
 public:
  // `source_of`: what the tables of this side are called on the source.
  SideLook(PostgresConnection& connection, const std::map<TableName, std::string>& source_of,
           ResumeWatch::Obstacles& obstacles)
      : connection_(connection), source_of_(source_of), obstacles_(obstacles) {
    for (const auto& [name, source] : source_of) names_.push_back(name);
  }

  Status privileges(bool writes) {
    LOCKSTEP_ASSIGN(const auto all, read_privileges(connection_, names_));
    for (const TablePrivileges& held : all) {
      std::string lacking = held.select ? "" : ", SELECT";
      if (writes && !held.insert) lacking += ", INSERT";
      if (writes && !held.update) lacking += ", UPDATE";
      if (writes && !held.remove) lacking += ", DELETE";
      if (writes && !held.truncate) lacking += ", TRUNCATE";
      if (!held.usage)
        add(held.name, "GRANT USAGE ON SCHEMA " + quote_identifier(held.name.schema));
      if (!lacking.empty())
        add(held.name, "GRANT " + lacking.substr(2) + " ON TABLE " + quoted(held.name));
    }
    return {};
  }

  // `failed`: tables, as the source calls them, for which a statement has failed in a function.
  Status functions(const std::set<std::string>& failed) {
    LOCKSTEP_ASSIGN(std::vector<BrokenFunction> broken, find_broken_functions(connection_, names_));
    std::vector<TableName> suspects;
    for (const TableName& name : names_)
      if (failed.contains(source_of_.at(name))) suspects.push_back(name);
    LOCKSTEP_ASSIGN(std::vector<BrokenFunction> assumed,
                    find_broken_functions(connection_, suspects, FunctionFails::Assumed));
    std::ranges::move(assumed, std::back_inserter(broken));
    for (const BrokenFunction& each : broken) add(each.table, each.text + ": " + each.cure);
    return {};
  }

 private:
  void add(const TableName& name, const std::string& what) {
    obstacles_[source_of_.at(name)].push_back(
        fmt::format("{} on the {}", what, connection_.options().side));
  }

  PostgresConnection& connection_;
  const std::map<TableName, std::string>& source_of_;
  ResumeWatch::Obstacles& obstacles_;
  std::vector<TableName> names_;
};

// What speaks against copying each table as things are.
Result<ResumeWatch::Obstacles> find_obstacles(const Manifest& manifest,
                                              const std::vector<StoppedTable>& stopped) {
  PostgresConnection source = connect(manifest, Side::Source, "resume watch");
  PostgresConnection target = connect(manifest, Side::Target, "resume watch");
  LOCKSTEP_ASSIGN(const TablePlan plan, plan_tables(source, target, manifest));
  std::set<std::string> wanted;
  std::set<std::string> failed;  // In a function.
  for (const StoppedTable& table : stopped) {
    wanted.insert(table.table);
    if (table.reason.find(" function ") != table.reason.npos) failed.insert(table.table);
  }
  ResumeWatch::Obstacles obstacles;
  std::map<TableName, std::string> sources;
  std::map<TableName, std::string> targets;
  for (const PlannedTable& table : plan.tables) {
    const std::string name = table.selected.source.text();
    if (!wanted.contains(name)) continue;
    for (const Problem& problem : table.problems)
      if (problem.severity == Severity::Error)
        obstacles[name].push_back(problem.hint.empty() ? problem.text
                                                       : problem.text + ": " + problem.hint);
    sources[table.selected.source] = name;
    targets[table.selected.target] = name;
  }
  SideLook at_source(source, sources, obstacles);
  SideLook at_target(target, targets, obstacles);
  LOCKSTEP_TRY(at_source.privileges(false));
  LOCKSTEP_TRY(at_target.privileges(true));
  LOCKSTEP_TRY(at_source.functions({}));
  LOCKSTEP_TRY(at_target.functions(failed));
  return obstacles;
}

}  // namespace

void ResumeWatch::run() {
  Time next{};
  while (!over_.drained()) {
    over_.take(1, kNewsEvery);
    if (over_.drained()) return;
    const Time begun = std::chrono::steady_clock::now();
    const std::vector<StoppedTable> stopped = ports_.stopped();
    const bool news = has_news(stopped);
    if (stopped.empty() || (begun < next && !news)) continue;
    look(stopped, begun);
    // Catalogs of thousands of tables take a while: looks cost the servers 5 % at most.
    const Time ended = std::chrono::steady_clock::now();
    next = ended + std::max<std::chrono::nanoseconds>(kObstaclesEvery, 20 * (ended - begun));
  }
}

bool ResumeWatch::has_news(const std::vector<StoppedTable>& stopped) {
  std::set<std::string> names;
  for (const StoppedTable& table : stopped) names.insert(table.table);
  for (auto& [name, seen] : seen_) seen.stopped = seen.stopped && names.contains(name);
  return std::ranges::any_of(names, [&](const std::string& name) { return !seen_[name].stopped; });
}

void ResumeWatch::look(const std::vector<StoppedTable>& stopped, Time now) {
  const auto found = find_obstacles(manifest_, stopped);
  if (!found) return;  // The run itself tells who is away.
  ports_.explain(*found);
  const StoppedTable* again = nullptr;
  for (const StoppedTable& table : stopped) {
    const auto obstacles = found->find(table.table);
    if (may_go_on(table, obstacles == found->end() ? std::vector<std::string>() : obstacles->second,
                  now))
      again = &table;
  }
  if (again == nullptr) return;
  tried(stopped, now);
  ports_.resume(again->table);
}

bool ResumeWatch::may_go_on(const StoppedTable& table, std::vector<std::string> obstacles,
                            Time now) {
  Seen& seen = seen_[table.table];
  const bool is_new = !std::exchange(seen.stopped, true);
  const bool lasts = now < seen.next && table.reason == seen.reason;
  if (is_new) seen.untried = !lasts;
  const std::vector<std::string> before = std::exchange(seen.obstacles, std::move(obstacles));
  if (!seen.obstacles.empty()) {
    seen.untried = false;
    if (!is_new && before != seen.obstacles)
      ports_.restate({table.table, fmt::format("{}", fmt::join(seen.obstacles, "; "))});
    return false;
  }
  const bool are_gone = !is_new && !before.empty();
  const bool lacked = table.reason.find(kNoPrivilege) != table.reason.npos && now >= seen.next;
  return are_gone || lacked || (seen.untried && now >= next_try_);
}

// Every stopped table is tried again with one.
void ResumeWatch::tried(const std::vector<StoppedTable>& stopped, Time now) {
  next_try_ = now + kObstaclesEvery;
  for (const StoppedTable& table : stopped) {
    Seen& seen = seen_[table.table];
    seen.untried = false;
    seen.reason = table.reason;
    seen.pause = std::clamp(2 * seen.pause, kObstaclesEvery, kPauseMax);
    seen.next = now + seen.pause;
  }
}

}  // namespace lockstep
