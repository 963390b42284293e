// What RunState answers at the control socket: one route for each resource of openapi.json.
#include <fmt/format.h>

#include <algorithm>
#include <boost/json.hpp>
#include <chrono>
#include <set>
#include <utility>

#include "daemon/findings_api.h"
#include "daemon/metrics/page.h"
#include "daemon/openapi.h"
#include "daemon/quarantine.h"
#include "daemon/repair_json.h"
#include "daemon/resync.h"
#include "daemon/run_state.h"
#include "daemon/status_json.h"
#include "daemon/sweep_json.h"
#include "daemon/verdict.h"
#include "daemon/waits.h"
#include "daemon/web_page.h"

namespace lockstep {

// Whatever would write waits for a resume, which says so.
std::optional<ControlResponse> RunState::refused(const ControlRequest& request) const {
  const bool steers = request.path == kPausePath || request.path == kSettingsPath ||
                      request.path == kResumePath || request.path == kStopPath ||
                      request.path == kAbortPath || request.path == kReloadPath ||
                      request.path == kConfigPath;
  const Pauses pauses = steering_.control().pauses();
  const auto abort = pauses.find(kAbort);
  if (request.method == "GET" || steers || abort == pauses.end()) return std::nullopt;
  return problem(409, held_text(abort->first, abort->second, manifest_.path) + " first");
}

// Nothing runs that could be asked: whoever asks again is told the rest later, but for an abort.
ControlResponse RunState::preparing() const {
  const Pauses pauses = steering_.control().pauses();
  if (const auto abort = pauses.find(kAbort); abort != pauses.end())
    return problem(409, held_text(abort->first, abort->second, manifest_.path));
  const auto waits = prepare_wait_.shown(std::chrono::steady_clock::now());
  const std::string why = waits ? ", and waits for " + joined_waits({waits->reason}) : "";
  return problem(503, fmt::format("lockstep is still preparing{}; next: lockstep status {}", why,
                                  manifest_.path));
}

namespace {

// In every answer that is not well: what RFC 9457 asks for.
ControlResponse as_problem(ControlResponse response) {
  if (response.status < 400) return response;
  boost::system::error_code broken;
  const boost::json::value parsed = boost::json::parse(response.body, broken);
  boost::json::object document =
      !broken && parsed.is_object() ? parsed.get_object() : boost::json::object();
  document["type"] = "about:blank";
  document["status"] = response.status;
  response.body = boost::json::serialize(document);
  return response;
}

constexpr std::string_view kAnyTable = "/api/v1/tables/";

}  // namespace

// A path that ends in "/" stands for all below it.
const std::vector<RunState::Route>& RunState::routes() {
  static const std::vector<Route> kRoutes{
      {kStatusPath, "GET", &RunState::answer_status},
      {kTablesPath, "GET", &RunState::answer_tables},
      {kAnyTable, "GET", &RunState::answer_tables},
      {kSettingsPath, "GET, PATCH", &RunState::answer_settings},
      {kPausePath, "GET, POST", &RunState::answer_pause},
      {kResumePath, "POST", &RunState::answer_resume},
      {kAbortPath, "GET, POST", &RunState::answer_abort},
      {kStopPath, "POST", &RunState::answer_stop},
      {kReloadPath, "POST", &RunState::answer_reload},
      {kConfigPath, "GET, POST", &RunState::answer_reload},
      {kEventsPath, "GET", &RunState::answer_events},
      {kFindingsPath, "GET", &RunState::answer_findings},
      {kMarkPath, "POST", &RunState::answer_mark},
      {kQuarantinePath, "GET, POST", &RunState::answer_rows_set_aside},
      {kReconcilePath, "GET, POST", &RunState::answer_reconcile},
      {kRepairPath, "GET, POST", &RunState::answer_repair},
      {kResyncPath, "POST", &RunState::answer_resync},
      {kProofPath, "GET, POST", &RunState::answer_proof},
      {kRowPath, "POST", &RunState::answer_row},
      {kOpenApiPath, "GET", &RunState::answer_openapi},
      {kLivePath, "GET", &RunState::answer_live},
      {kReadyPath, "GET", &RunState::answer_ready},
      {kMetricsPath, "GET", &RunState::answer_metrics},
      {kHistoryPath, "GET", &RunState::answer_history},
      {kPagePath, "GET", &RunState::answer_page},
  };
  return kRoutes;
}

ControlResponse RunState::answer(const ControlRequest& request) {
  const auto found = std::ranges::find_if(routes(), [&](const Route& route) {
    return route.path.ends_with('/') && route.path != kPagePath
               ? request.path.starts_with(route.path) && request.path.size() > route.path.size()
               : request.path == route.path;
  });
  if (found == routes().end()) return as_problem(problem(404, "no such resource"));
  if (found->methods.find(request.method) == found->methods.npos) {
    ControlResponse refusal = problem(405, fmt::format("{} takes {}", found->path, found->methods));
    refusal.allow = found->methods;
    return as_problem(std::move(refusal));
  }
  if (auto refusal = refused(request)) return as_problem(*std::move(refusal));
  ControlResponse response = (this->*found->answer)(request);
  if (response.later)
    response.later = [later = std::move(response.later)] { return as_problem(later()); };
  return as_problem(std::move(response));
}

// With the reasons and next steps of what stopped.
RunStatus RunState::shown_status() const {
  const MutexLock lock(mutex_);
  RunStatus now = status();
  for (RunTableStatus& table : now.tables)
    if (!table.stopped.empty()) table.stopped = explained(table);
  return now;
}

namespace {

// Keys may be anybody's name: they are told to whoever asks for them at the control socket.
ShowValues values_of(const ControlRequest& request) {
  return request.query_value("values") == "1" ? ShowValues::Yes : ShowValues::No;
}

}  // namespace

ControlResponse RunState::answer_status(const ControlRequest& request) {
  return {200, status_json({manifest_.migration.value, manifest_.path, parts_->history.eta(),
                            steering_.set_by_hand(), values_of(request)},
                           shown_status(), aggregates_.results())};
}

ControlResponse RunState::answer_tables(const ControlRequest& request) {
  const RunStatus now = shown_status();
  if (request.path == kTablesPath) return {200, tables_json(now, values_of(request))};
  const std::string name = request.path.substr(kAnyTable.size());
  const auto found = std::ranges::find(now.tables, name, &RunTableStatus::table);
  if (found == now.tables.end())
    return problem(404, "there is no table " + name + ": see " + kTablesPath);
  return {200, table_json(*found, values_of(request))};
}

ControlResponse RunState::answer_settings(const ControlRequest& request) {
  return answer_steering(steering_, request);
}

ControlResponse RunState::answer_reload(const ControlRequest& request) {
  return parts_->reload.answer(request);
}

ControlResponse RunState::answer_events(const ControlRequest& request) {
  return parts_->events.answer(request);
}

ControlResponse RunState::answer_findings(const ControlRequest& request) {
  return lockstep::answer_findings(store_.read(), request, [this](const std::string& table) {
    const RunStatus now = run_status();
    return now.tables.empty() ||  // They are not known yet.
           std::ranges::find(now.tables, table, &RunTableStatus::table) != now.tables.end();
  });
}

// It asks the target, and the source for keys.
ControlResponse RunState::answer_rows_set_aside(const ControlRequest& request) {
  ControlResponse response;
  response.later = [this, request] {
    if (auto refusal = refused(request)) return *std::move(refusal);  // By now.
    ControlResponse answer = answer_quarantine(manifest_, store_, request);
    if (request.method == "GET" || answer.status != 200) return answer;
    const MutexLock lock(mutex_);
    for (LeftOut& table : left_out_) table.debts = table.quarantined = std::nullopt;
    return answer;
  };
  return response;
}

ControlResponse RunState::answer_openapi(const ControlRequest&) {
  return {200, std::string(openapi_document())};
}

std::string RunState::stuck() const {
  constexpr double kSilentMax = 60;
  const double silent = run_status().silent_seconds;
  if (silent < kSilentMax) return {};
  return fmt::format("the supervisor has said nothing for {:.0f} s", silent);
}

ControlResponse RunState::answer_live(const ControlRequest&) {
  const std::string why = stuck();
  return why.empty() ? ControlResponse{200, R"({"live":true})"} : problem(503, why);
}

ControlResponse RunState::answer_ready(const ControlRequest&) {
  const std::vector<std::string> why = not_ready(run_status(), run() != 0);
  const bool ready = why.empty();
  boost::json::object document{{"ready", ready},
                               {"reasons", boost::json::array(why.begin(), why.end())}};
  if (!ready) document["title"] = "not ready";
  return {ready ? 200U : 503U, boost::json::serialize(document)};
}

ControlResponse RunState::answer_metrics(const ControlRequest&) {
  const RunStatus now = run_status();
  const std::int64_t now_us = std::chrono::duration_cast<std::chrono::microseconds>(
                                  std::chrono::system_clock::now().time_since_epoch())
                                  .count();
  const ReconcileSection& reconcile = manifest_.reconcile;
  std::optional<std::chrono::seconds> every;
  if (reconcile.mode.value == ReconcileMode::Continuous) every = reconcile.every;
  const bool running = run() != 0 && now.looked;
  ControlResponse response;
  response.type = kMetricsType;
  response.body = metrics_text(
      {manifest_.migration.value, parts_->version, not_ready(now, run() != 0).empty(), running, now,
       steering_.control(), parts_->meters, aggregates_.results(), every, now_us,
       running && every ? uncompared_.look(now, now_us) : Uncompared::Since()});
  return response;
}

ControlResponse RunState::answer_history(const ControlRequest&) {
  return {200, parts_->history.json()};
}

ControlResponse RunState::answer_page(const ControlRequest&) {
  ControlResponse page{200, std::string(web_page())};
  page.type = "text/html; charset=utf-8";
  return page;
}

ControlResponse RunState::answer_proof(const ControlRequest& request) {
  const MutexLock lock(mutex_);
  boost::json::object answer;
  if (runner_ != nullptr && request.method == "POST") answer["proof"] = runner_->prove();
  if (runner_ != nullptr) answer["applied"] = runner_->applied_proof();
  return {200, boost::json::serialize(answer)};
}

ControlResponse RunState::answer_row(const ControlRequest& request) {
  boost::system::error_code broken;
  const boost::json::value parsed = boost::json::parse(request.body, broken);
  const boost::json::object* wanted = broken ? nullptr : parsed.if_object();
  const boost::json::value* hash = wanted == nullptr ? nullptr : wanted->if_contains("key_hash");
  const auto key =
      parse_key_hash(hash != nullptr && hash->is_string() ? std::string_view(hash->get_string())
                                                          : std::string_view());
  if (!key) return {400, R"({"title":"expected {\"table\": text, \"key_hash\": hex}"})"};
  const std::string table = text_of(*wanted, "table");
  const MutexLock lock(mutex_);
  if (runner_ == nullptr) return preparing();
  boost::json::object answer{{"transaction", nullptr}};
  for (const TableMap* map : prepared_->tables)
    if (map->text() == table)
      if (const auto xid = runner_->last_change(map->id, *key)) answer["transaction"] = *xid;
  return {200, boost::json::serialize(answer)};
}

// A POST answers what was known before it: the sweep that it asks for has a higher number.
ControlResponse RunState::answer_reconcile(const ControlRequest& request) {
  const MutexLock lock(mutex_);
  if (runner_ == nullptr) return preparing();
  SweepStatus status = runner_->sweep_status();
  status.running = status.running || aggregates_.asked();
  if (request.method == "POST") {
    // Whoever waits for the one under way would be told the result of another.
    if (status.running)
      return {409, R"({"title":"a comparison is under way: ask again when it is over"})"};
    boost::system::error_code broken;
    const boost::json::value parsed = boost::json::parse(request.body, broken);
    const boost::json::object* wanted = broken ? nullptr : parsed.if_object();
    if (wanted == nullptr) return {400, R"({"title":"no JSON object"})"};
    const std::string table = text_of(*wanted, "table");
    auto ids = tables_to_compare(prepared_->tables, table == "-" ? "" : table, manifest_.path);
    if (!ids)
      return {404, boost::json::serialize(boost::json::object{{"title", ids.error().message}})};
    asked_of_ = *ids;
    asked_after_ = status.sweep;
    runner_->sweep(std::move(*ids));
    aggregates_wanted_ = table == "-";
    if (aggregates_wanted_) aggregates_.ask();
  }
  return {200,
          sweep_json(status, prepared_->tables, left_out_,
                     aggregates_wanted_ ? aggregates_.results() : std::vector<AggregateResult>(),
                     waits_of(status))};
}

// Of a comparison that somebody waits for.
std::vector<std::string> RunState::waits_of(const SweepStatus& sweep) const {
  if (!sweep.running) return {};
  std::set<TableId> over;
  if (sweep.sweep > asked_after_)  // Else a pause keeps it from its beginning.
    for (const auto& [id, table] : sweep.asked)
      if (table.over) over.insert(id);
  std::vector<std::string> tables;
  for (const TableId id : asked_of_)
    if (!over.contains(id)) tables.push_back(prepared_->tables.at(id)->text());
  return comparison_waits(steering_.control().pauses(), status(), tables, manifest_.path);
}

// What keeps repairs from their end, and which run is asked for them.
std::string RunState::repairs_state() const {
  std::vector<std::string> waits = repair_waits(steering_.control().pauses(), manifest_.path);
  const std::string held_back = runner_ == nullptr ? "" : runner_->sweep_counts().held_back;
  if (!held_back.empty()) waits.push_back(held_back);
  return repairs_json({joined_waits(waits), runner_ == nullptr ? 0 : runs_});
}

// As whoever asks has seen them, or else as they are now.
Result<WantedRepairs> RunState::wanted_repairs(const RepairRequest& request) const {
  WantedRepairs wanted;
  for (const auto& [id, as] : request.seen) wanted[id] = {request.scope, as};
  std::set<std::uint64_t> rest;
  for (const std::uint64_t id : request.ids)
    if (!wanted.contains(id)) rest.insert(id);
  if (rest.empty()) return wanted;
  LOCKSTEP_TRY(store_.read().for_each_finding([&](const Finding& finding) -> Status {
    if (rest.contains(finding.id)) wanted[finding.id] = {request.scope, seen_as(finding)};
    return {};
  }));
  return wanted;
}

// First the log: what nobody can trace would be worse than a line about something that failed.
ControlResponse RunState::answer_repair(const ControlRequest& request) {
  if (request.method == "GET") {
    const MutexLock lock(mutex_);
    return {200, repairs_state()};
  }
  if (manifest_.reconcile.repair.value == RepairPolicy::Off)
    return problem(409, fmt::format("this run began with repair: off: end it, and start lockstep "
                                    "run {} again",
                                    manifest_.path));
  const auto asked = parse_repair(request.body);
  if (!asked) return problem(400, asked.error().message);
  auto wanted = wanted_repairs(*asked);
  if (!wanted) return problem(wanted.error());
  const MutexLock lock(mutex_);
  if (runner_ == nullptr) return preparing();
  if (const Status saved = store_.append_audit(audit_of(*asked, request.actor)); !saved)
    return problem(saved.error());
  runner_->repair(std::move(*wanted));
  return {200, repairs_state()};
}

// First it is under way, then it is asked whether it may be: a pause that is ordered meanwhile sees
// it, or it sees the pause.
ControlResponse RunState::answer_undo_write(const UndoWrite& write) {
  if (!write.writes) {
    undoing_.ends(write.finding);
    return {200, "{}"};
  }
  undoing_.begins(write.finding, std::chrono::steady_clock::now());
  const Status may = refuse_while_held(steering_.control().pauses(), manifest_.path);
  if (may) return {200, "{}"};
  undoing_.ends(write.finding);
  return problem(may.error());
}

ControlResponse RunState::answer_mark(const ControlRequest& request) {
  if (const auto write = parse_undo_write(request.body)) return answer_undo_write(*write);
  const auto mark = parse_mark(request.body);
  if (!mark) return problem(400, mark.error().message);
  const MutexLock lock(mutex_);
  if (runner_ == nullptr) return preparing();
  if (const Status saved = store_.append_audit(audit_of(*mark, request.actor)); !saved)
    return problem(saved.error());
  runner_->mark(*mark);
  return {200, "{}"};
}

// While nothing runs it is prepared, and a note that comes in the middle of that might be lost.
ControlResponse RunState::answer_resync(const ControlRequest& request) {
  const auto wanted = parse_resync(request.body);
  if (!wanted) return problem(400, wanted.error().message);
  const MutexLock lock(mutex_);
  if (runner_ == nullptr) return preparing();
  if (const Status fits = check_resync(*wanted, prepared_->tables, manifest_.path); !fits)
    return problem(fits.error());
  if (const Status asked = ask_for_resync(store_, *wanted, request.actor); !asked)
    return problem(asked.error());
  resume_ = true;
  runner_->stop();
  return {200, "{}"};
}

namespace {

// Why an order that was carried out stands nowhere; null: it does.
boost::json::value not_noted(const Status& noted) {
  return noted ? boost::json::value(nullptr) : boost::json::value(noted.error().message);
}

}  // namespace

// The run is left at once; whoever asks looks again until nothing can be written any more.
ControlResponse RunState::answer_abort(const ControlRequest& request) {
  Status noted;
  if (request.method == "POST") {
    boost::system::error_code broken;
    const boost::json::value parsed = boost::json::parse(request.body, broken);
    const boost::json::object* wanted = broken ? nullptr : parsed.if_object();
    if (wanted == nullptr) return problem(400, "no JSON object");
    const std::string reason = text_of(*wanted, "reason");
    noted = steering_.abort({request.actor, reason == "-" ? "" : reason});
    {
      const MutexLock lock(mutex_);
      broken_off_ = true;
      if (runner_ != nullptr) runner_->stop();
    }
    stopped_.wake();
    parts_->abort.order();
  }
  const std::string left = aborted() ? parts_->abort.waits_for() : "an order to abort";
  return {200, boost::json::serialize(boost::json::object{
                   {"ended", left.empty()}, {"waits_for", left}, {"not_noted", not_noted(noted)}})};
}

ControlResponse RunState::answer_stop(const ControlRequest& request) {
  const Status noted = audit(store_, request.actor, "stop", "drain and end");
  stop();
  return {200, boost::json::serialize(boost::json::object{{"not_noted", not_noted(noted)}})};
}

// A table that the manifest selects need not be there.  What it still waits for is of this run:
// one that begins later finds the pause.
ControlResponse RunState::answer_pause(const ControlRequest& request) {
  if (request.method == "GET") return {200, pauses_json(run_status().paused)};
  boost::system::error_code broken;
  const boost::json::value parsed = boost::json::parse(request.body, broken);
  const boost::json::object* wanted = broken ? nullptr : parsed.if_object();
  if (const std::string table = wanted == nullptr ? "-" : text_of(*wanted, "table"); table != "-") {
    const MutexLock lock(mutex_);
    const auto& tables = status().tables;
    if (runner_ != nullptr && !tables.empty() &&
        std::ranges::find(tables, table, &RunTableStatus::table) == tables.end())
      return problem(
          404, fmt::format("there is no table {}: see lockstep status {}", table, manifest_.path));
  }
  ControlResponse answer = answer_steering(steering_, request);
  if (answer.status == 200) answer.body = pauses_json(run_status().paused);
  return answer;
}

// Pauses end, and stopped tables are tried again: both unless one of them is named.  A table that
// was paused goes on with the next run, within this process.
ControlResponse RunState::answer_resume(const ControlRequest& request) {
  boost::system::error_code broken;
  const boost::json::value parsed = boost::json::parse(request.body, broken);
  const boost::json::object* wanted = broken ? nullptr : parsed.if_object();
  if (wanted == nullptr) return {400, R"({"title":"no JSON object"})"};
  const std::string table = text_of(*wanted, "table");
  boost::json::array tried;
  if (!wanted->contains("scope"))
    for (const StoppedTable& one : stopped_tables())
      if (table == "-" || table == one.table) tried.emplace_back(one.table);
  const auto names = resume_held(steering_, *wanted, request.actor);
  if (!names) return problem(names.error());
  boost::json::array scopes;
  for (const std::string& name : *names) {
    if (auto held = table_of_held(name); !held)
      scopes.emplace_back(name);
    else if (std::ranges::find(tried, boost::json::value(*held)) == tried.end())
      tried.emplace_back(*std::move(held));
  }
  const std::string left = abort_left(steering_.control().pauses(), manifest_.path);
  if (table != "-" && tried.empty() && left.empty())
    return problem(
        404, fmt::format("table {} is neither paused nor has it stopped: see lockstep status {}",
                         table, manifest_.path));
  if (!tried.empty()) resume();
  return {200,
          boost::json::serialize(boost::json::object{
              {"resumed", std::move(tried)},
              {"scopes", std::move(scopes)},
              {"aborted", left.empty() ? boost::json::value(nullptr) : boost::json::value(left)}})};
}

}  // namespace lockstep
