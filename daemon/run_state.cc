#include "daemon/run_state.h"

#include <fmt/format.h>

#include <algorithm>
#include <boost/json.hpp>
#include <utility>

#include "connectors/postgres/wire/rows.h"
#include "daemon/offline_status.h"
#include "daemon/quarantine.h"
#include "daemon/repair_json.h"
#include "daemon/resync.h"
#include "daemon/status_json.h"
#include "daemon/sweep_json.h"

namespace lockstep {

void RunState::waiting(const std::string& reason) {
  const MutexLock lock(mutex_);
  last_.waiting_for = {reason};
}

bool RunState::wait(std::chrono::milliseconds time) {
  if (!aborted()) stopped_.wait(time);
  return !stopped_.raised() && !aborted();
}

bool RunState::park() {
  constexpr std::chrono::milliseconds kLook{200};
  parked_.store(true, std::memory_order_release);
  abort_->wake();
  while (aborted() && !stopped_.raised()) {
    {
      const MutexLock lock(mutex_);
      const std::string left = abort_->waits_for();
      last_.waiting_for.clear();
      if (!left.empty()) last_.waiting_for.push_back(left);
    }
    stopped_.wait(kLook);
  }
  parked_.store(false, std::memory_order_release);
  return !stopped_.raised();
}

void RunState::running(Runner& runner, const Prepared& prepared) {
  {
    const MutexLock lock(mutex_);
    runner_ = &runner;
    ++runs_;
    prepared_ = &prepared;
    left_out_ = prepared.left_out;
    resume_ = false;
  }
  if (stopped_.raised() || aborted()) runner.stop();
}

void RunState::finished(RunStatus last) {
  const MutexLock lock(mutex_);
  runner_ = nullptr;
  prepared_ = nullptr;
  last_ = std::move(last);
}

void RunState::stop() {
  stopped_.raise();
  const MutexLock lock(mutex_);
  if (runner_ != nullptr) runner_->stop();
}

void RunState::resume() {
  const MutexLock lock(mutex_);
  resume_ = true;
  if (runner_ != nullptr) runner_->stop();
}

bool RunState::take_resume() {
  const MutexLock lock(mutex_);
  return std::exchange(resume_, false) && !stopped_.raised();
}

std::vector<StoppedTable> RunState::stopped_tables() const {
  const MutexLock lock(mutex_);
  std::vector<StoppedTable> stopped;
  if (runner_ == nullptr) return stopped;
  for (const RunTableStatus& table : status().tables)
    if (!table.stopped.empty() && !table.counts.life.paused)
      stopped.push_back({table.table, table.stopped});
  return stopped;
}

void RunState::explain(const ResumeWatch::Obstacles& obstacles) {
  const MutexLock lock(mutex_);
  obstacles_ = obstacles;
}

// The supervisor keeps that of a table of the run for a daemon that is down; of one that the run
// left alone nobody else does.
Status RunState::restate(const StoppedTable& table) {
  const MutexLock lock(mutex_);
  if (runner_ == nullptr) return {};
  for (const TableMap* map : prepared_->tables)
    if (map->text() == table.table) runner_->restate(map->id, table.reason);
  const auto left_out = std::ranges::find(left_out_, table.table, &LeftOut::table);
  if (left_out == left_out_.end()) return {};
  left_out->reason = table.reason;
  return note_left_out(store_, left_out_);
}

std::string RunState::explained(const RunTableStatus& table) const {
  if (table.counts.life.paused)
    return fmt::format(
        "{}; its changes wait in the source's log; next: lockstep resume {} --table '{}'",
        table.stopped, manifest_.path, table.table);
  const auto known = obstacles_.find(table.table);
  if (known == obstacles_.end())
    return fmt::format(
        "{}; next: put that right, then lockstep resume {} --table '{}'; or leave it "
        "out with `skip: true`",
        table.stopped, manifest_.path, table.table);
  const std::string obstacles = fmt::format("{}", fmt::join(known->second, "; "));
  const std::string reason = table.stopped == obstacles ? "" : table.stopped + "; next: ";
  return reason + obstacles + "; it goes on by itself then, or is left out with `skip: true`";
}

std::string RunState::unfinished() const {
  constexpr std::size_t kShownMax = 3;
  const MutexLock lock(mutex_);
  std::vector<std::string> lines = last_.waiting_for;
  if (lines.size() > kShownMax) {
    const std::string more = fmt::format("and {} more", lines.size() - kShownMax);
    lines.resize(kShownMax);
    lines.push_back(more);
  }
  return fmt::format("{}", fmt::join(lines, "; "));
}

RunStatus RunState::status() const {
  RunStatus status = runner_ != nullptr ? runner_->status() : last_;
  if (runner_ == nullptr) {  // Nobody measures, and what was proven is of then.
    status.lag_seconds.reset();
    status.proof.reset();
    status.synced = false;
    show_pauses(steering_.control().pauses(), status);
  }
  if (aborted()) status.phase = Phase::Aborted;
  status.synced = status.synced && left_out_.empty();
  if (prepared_ != nullptr) status.foreign_writers = prepared_->foreign_writers;
  for (const LeftOut& table : left_out_) {
    RunTableStatus entry;
    entry.table = table.table;
    entry.target = table.target;
    entry.stopped = table.reason;
    status.tables.push_back(std::move(entry));
  }
  return status;
}

std::uint64_t RunState::run() const {
  const MutexLock lock(mutex_);
  return runner_ == nullptr ? 0 : runs_;
}

bool RunState::with_moment(std::uint64_t run, const std::function<void(Moment&)>& act) {
  const MutexLock lock(mutex_);
  if (runner_ == nullptr || run != runs_) return false;
  act(runner_->moment());
  return true;
}

// Whatever would write waits for a resume, which says so.
std::optional<ControlResponse> RunState::refused(const ControlRequest& request) const {
  const bool steers = request.path == kPausePath || request.path == kSettingsPath ||
                      request.path == kResumePath || request.path == kStopPath ||
                      request.path == kAbortPath;
  if (request.method == "GET" || steers || !aborted()) return std::nullopt;
  return problem(409, "all writes are aborted: lockstep resume " + manifest_.path + " first");
}

ControlResponse RunState::answer(const ControlRequest& request) {
  if (auto refusal = refused(request)) return *std::move(refusal);
  if (request.path == kProofPath) return answer_proof(request);
  if (request.path == kRowPath) return answer_row(request);
  if (request.path == kStatusPath) {
    if (request.method != "GET") return {405, R"({"title":"status is read with GET"})"};
    const MutexLock lock(mutex_);
    RunStatus now = status();
    for (RunTableStatus& table : now.tables)
      if (!table.stopped.empty()) table.stopped = explained(table);
    return {200, status_json(manifest_.migration.value, now, aggregates_.results())};
  }
  if (request.path.starts_with(kQuarantinePath))
    return answer_quarantine(manifest_, store_, request);
  if (request.path == kResumePath) return answer_resume(request);
  if (request.path == kPausePath) return answer_pause(request);
  if (request.path == kSettingsPath) return answer_steering(steering_, request);
  if (request.path == kStopPath) return answer_stop(request);
  if (request.path == kAbortPath) return answer_abort(request);
  if (request.path == kResyncPath) return answer_resync(request);
  if (request.path == kReconcilePath) return answer_reconcile(request);
  if (request.path == kRepairPath) return answer_repair(request);
  if (request.path == kMarkPath) return answer_mark(request);
  return {404, R"({"title":"no such resource"})"};
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
  if (runner_ == nullptr) return {503, R"({"title":"lockstep is still preparing: ask again"})"};
  boost::json::object answer{{"transaction", nullptr}};
  for (const TableMap* map : prepared_->tables)
    if (map->text() == table)
      if (const auto xid = runner_->last_change(map->id, *key)) answer["transaction"] = *xid;
  return {200, boost::json::serialize(answer)};
}

// A POST answers what was known before it: the sweep that it asks for has a higher number.
ControlResponse RunState::answer_reconcile(const ControlRequest& request) {
  const MutexLock lock(mutex_);
  if (runner_ == nullptr)
    return {503,
            R"({"title":"lockstep is still preparing: lockstep status says what it waits for"})"};
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
    auto ids = tables_to_compare(prepared_->tables, table == "-" ? "" : table);
    if (!ids)
      return {404, boost::json::serialize(boost::json::object{{"title", ids.error().message}})};
    runner_->sweep(std::move(*ids));
    aggregates_wanted_ = table == "-";
    if (aggregates_wanted_) aggregates_.ask();
  }
  return {200,
          sweep_json(status, prepared_->tables, left_out_,
                     aggregates_wanted_ ? aggregates_.results() : std::vector<AggregateResult>())};
}

namespace {

ControlResponse preparing() {
  return {503, R"({"title":"lockstep is still preparing: ask again"})"};
}

}  // namespace

// First the log: what nobody can trace would be worse than a line about something that failed.
ControlResponse RunState::answer_repair(const ControlRequest& request) {
  if (request.method == "GET") {
    const MutexLock lock(mutex_);
    return {200, waits_json(runner_ == nullptr ? "" : runner_->sweep_counts().held_back)};
  }
  if (request.method != "POST") return {405, R"({"title":"a repair is asked for with POST"})"};
  if (manifest_.reconcile.repair.value == RepairPolicy::Off)
    return {409, R"({"title":"this run began with repair: off: start lockstep run again"})"};
  const auto wanted = parse_repair(request.body);
  if (!wanted) return problem(400, wanted.error().message);
  const MutexLock lock(mutex_);
  if (runner_ == nullptr) return preparing();
  if (const Status saved = store_.append_audit(audit_of(*wanted, request.actor)); !saved)
    return problem(500, saved.error().message);
  runner_->repair(wanted->ids, wanted->scope);
  return {200, "{}"};
}

ControlResponse RunState::answer_mark(const ControlRequest& request) {
  if (request.method != "POST") return {405, R"({"title":"a finding is marked with POST"})"};
  const auto mark = parse_mark(request.body);
  if (!mark) return problem(400, mark.error().message);
  const MutexLock lock(mutex_);
  if (runner_ == nullptr) return preparing();
  if (const Status saved = store_.append_audit(audit_of(*mark, request.actor)); !saved)
    return problem(500, saved.error().message);
  runner_->mark(*mark);
  return {200, "{}"};
}

// While nothing runs it is prepared, and a note that comes in the middle of that might be lost.
ControlResponse RunState::answer_resync(const ControlRequest& request) {
  if (request.method != "POST") return {405, R"({"title":"a resync is asked for with POST"})"};
  const auto wanted = parse_resync(request.body);
  if (!wanted) return problem(400, wanted.error().message);
  const MutexLock lock(mutex_);
  if (runner_ == nullptr)
    return problem(503, "lockstep is still preparing: ask again, or stop it first");
  if (const std::string fault = resync_fault(*wanted, prepared_->tables); !fault.empty())
    return problem(404, fault);
  if (const Status asked = ask_for_resync(store_, *wanted, request.actor); !asked)
    return problem(500, asked.error().message);
  resume_ = true;
  runner_->stop();
  return {200, "{}"};
}

// The run is left at once; whoever asks looks again until nothing can be written any more.
ControlResponse RunState::answer_abort(const ControlRequest& request) {
  if (request.method == "POST") {
    boost::system::error_code broken;
    const boost::json::value parsed = boost::json::parse(request.body, broken);
    const boost::json::object* wanted = broken ? nullptr : parsed.if_object();
    if (wanted == nullptr) return problem(400, "no JSON object");
    const std::string reason = text_of(*wanted, "reason");
    const Status ordered =
        steering_.pause({std::string(kAbort)}, {request.actor, reason == "-" ? "" : reason});
    if (!ordered) return problem(ordered.error());
    {
      const MutexLock lock(mutex_);
      if (runner_ != nullptr) runner_->stop();
    }
    stopped_.wake();
    abort_->wake();
  }
  const std::string left = aborted() ? abort_->waits_for() : "an order to abort";
  return {200, boost::json::serialize(
                   boost::json::object{{"ended", left.empty()}, {"waits_for", left}})};
}

ControlResponse RunState::answer_stop(const ControlRequest& request) {
  if (request.method != "POST") return {405, R"({"title":"a stop is asked for with POST"})"};
  if (const Status noted = audit(store_, request.actor, "stop", "drain and end"); !noted)
    return problem(500, noted.error().message);
  stop();
  return {200, "{}"};
}

// A table that the manifest selects need not be there.
ControlResponse RunState::answer_pause(const ControlRequest& request) {
  boost::system::error_code broken;
  const boost::json::value parsed = boost::json::parse(request.body, broken);
  const boost::json::object* wanted = broken ? nullptr : parsed.if_object();
  if (const std::string table = wanted == nullptr ? "-" : text_of(*wanted, "table"); table != "-") {
    const MutexLock lock(mutex_);
    const auto& tables = status().tables;
    if (runner_ != nullptr && !tables.empty() &&
        std::ranges::find(tables, table, &RunTableStatus::table) == tables.end())
      return problem(404, "there is no table " + table + ": see lockstep status");
  }
  return answer_steering(steering_, request);
}

// Pauses end, and stopped tables are tried again: both unless one of them is named.  A table that
// was paused goes on with the next run, within this process.
ControlResponse RunState::answer_resume(const ControlRequest& request) {
  if (request.method != "POST") return {405, R"({"title":"a resume is asked for with POST"})"};
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
  if (table != "-" && tried.empty())
    return problem(404, "that table is neither paused nor has it stopped: see lockstep status");
  if (!tried.empty()) resume();
  return {200, boost::json::serialize(boost::json::object{{"resumed", std::move(tried)},
                                                          {"scopes", std::move(scopes)}})};
}

}  // namespace lockstep
