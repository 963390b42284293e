#include <fmt/format.h>
#include <sys/resource.h>
#include <unistd.h>

#include <boost/json.hpp>
#include <csignal>
#include <iostream>
#include <memory>
#include <optional>
#include <set>

#include "checkpoint/rocksdb_store.h"
#include "config/selection.h"
#include "connectors/postgres/wire/open_connections.h"
#include "daemon/aggregates/watch.h"
#include "daemon/breakers.h"
#include "daemon/commands/commands.h"
#include "daemon/control_server.h"
#include "daemon/end_watch.h"
#include "daemon/event_log.h"
#include "daemon/journal.h"
#include "daemon/load_watch.h"
#include "daemon/metrics/page.h"
#include "daemon/offline_status.h"
#include "daemon/prepare.h"
#include "daemon/resume_watch.h"
#include "daemon/resync.h"
#include "daemon/run_log.h"
#include "daemon/run_parts.h"
#include "daemon/run_state.h"
#include "daemon/service_notice.h"
#include "daemon/state_directory.h"
#include "daemon/status_json.h"
#include "daemon/sweep_json.h"
#include "daemon/system_clock.h"
#include "daemon/validate/first_start.h"
#include "daemon/web_page.h"
#include "pipeline/base/backoff.h"
#include "pipeline/ports/events.h"
#include "pipeline/ports/meters.h"
#include "pipeline/run/runner.h"

namespace lockstep {
namespace {

// Where a run comes from and where it tells about itself, before and while it runs.
struct Begin {
  const Manifest& manifest;
  const RunCommand& command;
  RocksdbStore& store;
  RunState& state;
  const Control& control;
  Events& events;
  RunLog& log;
  AggregateBoard& aggregates;
  Meters& meters;
  EndWatch& ending;
  bool checked;  // check_first_start() found nothing that speaks against it.

  // Waits.  False: somebody wants the program to end.
  bool wait(const std::string& reason, std::chrono::milliseconds time) {
    state.waiting(reason);
    log.waiting(reason, std::chrono::steady_clock::now());
    return state.wait(time);
  }
};

// SIGTERM and SIGINT wait until there is somebody who ends the run in order.
class HeldSignals {
 public:
  HeldSignals() {
    sigemptyset(&ours_);
    sigaddset(&ours_, SIGTERM);
    sigaddset(&ours_, SIGINT);
    pthread_sigmask(SIG_BLOCK, &ours_, &before_);
  }
  ~HeldSignals() { release(); }
  HeldSignals(const HeldSignals&) = delete;
  HeldSignals& operator=(const HeldSignals&) = delete;
  void release() { pthread_sigmask(SIG_SETMASK, &before_, nullptr); }

 private:
  sigset_t ours_{};
  sigset_t before_{};
};

std::unexpected<Error> asked_to_stop() {
  return fail(Reaction::Cancel, "asked to stop", ExitCode::Ok);
}

ExitCode refuse_start(const FirstStart& found) {
  for (const Problem& problem : found.problems) std::cerr << problem.print() << "\n";
  return found.exit;
}

// Looks again until everybody has answered.
Status check_patiently(Begin& begin) {
  Backoff backoff(1);
  while (!begin.checked) {
    const FirstStart found = check_first_start(begin.manifest);
    if (!found.away.empty()) {
      if (!begin.wait(found.away, backoff.next(std::chrono::steady_clock::now())))
        return asked_to_stop();
      continue;
    }
    if (refuse_start(found) != ExitCode::Ok)
      return fail(Reaction::Halt, "nothing was begun: see the problems above", found.exit);
    begin.checked = true;
  }
  return {};
}

// Prepares until it succeeds, fails for good, or somebody wants the program to end.
Result<Prepared> prepare_patiently(Begin& begin) {
  LOCKSTEP_TRY(check_patiently(begin));
  Backoff backoff(1);
  std::shared_ptr<ExportedSnapshot> exported;
  constexpr std::chrono::milliseconds kPause{200};
  const auto patience = [&](const std::string& reason) { return begin.wait(reason, kPause); };
  for (;;) {
    auto prepared = prepare(begin.manifest, begin.store, patience, exported);
    if (prepared || prepared.error().reaction != Reaction::Retry) return prepared;
    if (!begin.wait(prepared.error().message, backoff.next(std::chrono::steady_clock::now())))
      return asked_to_stop();
  }
}

// `backfill.snapshot: exported`.
void share_snapshot(const Manifest& manifest, const Prepared& prepared, RunOptions& options,
                    Events& events) {
  if (manifest.backfill.snapshot.value != SnapshotMode::Exported) return;
  const std::shared_ptr<ExportedSnapshot>& exported = prepared.exported;
  if (exported == nullptr)
    return events.copying("by merge, where not done yet: no snapshot of the slot is held");
  events.copying("under the exported snapshot of the slot; the stream is held back");
  exported->listen([&events](std::string_view why) {
    events.copying("the stream begins: " + std::string(why));
  });
  options.hold_stream = [&exported = *exported](std::string_view why) {
    if (!why.empty()) exported.end(why);
    return exported.held();
  };
}

// Tables that the manifest selects by now and that were not there when the run was prepared.
std::function<Result<std::vector<std::string>>()> watch_newcomers(const Manifest& manifest,
                                                                  const Prepared& prepared,
                                                                  PostgresProbe& probe) {
  std::set<std::string> known;
  for (const TableMap* table : prepared.tables) known.insert(table->text());
  for (const LeftOut& table : prepared.left_out) known.insert(table.table);
  return [&manifest, &probe, known]() -> Result<std::vector<std::string>> {
    LOCKSTEP_ASSIGN(const std::vector<TableName> names, probe.tables());
    std::vector<ListedTable> listed;
    for (const TableName& name : names) listed.push_back({name, std::nullopt});
    std::vector<std::string> newcomers;
    for (const SelectedTable& table : select_tables(manifest, listed).tables)
      if (!known.contains(table.source.text())) newcomers.push_back(table.source.text());
    return newcomers;
  };
}

Result<ExitCode> run_prepared(Begin& begin) {
  const Manifest& manifest = begin.manifest;
  Events& events = begin.events;
  begin.state.preparing_anew();
  LOCKSTEP_ASSIGN(const Prepared prepared, prepare_patiently(begin));
  ConnectorGap gap(manifest, begin.store, prepared, [&state = begin.state] { state.resume(); });
  LOCKSTEP_ASSIGN(RunParts parts, make_parts(manifest, prepared, gap));
  events.started(version_text(), prepared.claim.epoch);
  events.prepared(prepared.tables.size(), prepared.options.progress.size());
  if (!prepared.resynced.empty()) events.stream_begins_anew(prepared.resynced);
  if (!prepared.target_lost.empty()) {
    events.target_went_back(prepared.target_lost);
    LOCKSTEP_TRY(begin.store.remove_note(kTargetLost));
  }
  LOCKSTEP_TRY(note_left_out(begin.store, prepared.left_out));
  for (const LeftOut& table : prepared.left_out) events.table_stopped(table.table, table.reason);
  const SystemClock clock;
  RunOptions options = prepared.options;
  options.until_synced = begin.command.until_synced;
  options.until_compared = begin.command.compare.wanted;
  // What was asked for, and no more.
  if (options.until_compared) options.sweep.continuous = options.sweep.repairs = false;
  options.compared_too = [&board = begin.aggregates] { return !board.asked(); };
  options.tables_left_out = !prepared.left_out.empty();
  options.on_progress = [&](const RunStatus& status) { begin.log.progress(status, clock.now()); };
  share_snapshot(manifest, prepared, options, events);
  options.newcomers = watch_newcomers(manifest, prepared, *parts.marker_probe);
  options.plan_again = [&state = begin.state] { state.resume(); };
  options.on_end = [&ending = begin.ending] { ending.run_ends(); };
  Runner runner(std::move(options), prepared.tables,
                {*parts.source,
                 *parts.probe,
                 *parts.marker_probe,
                 *parts.proof,
                 *parts.ledger,
                 begin.store,
                 clock,
                 events,
                 std::move(parts.lane_targets),
                 std::move(parts.scans),
                 {*parts.compare_source, *parts.compare_target, *parts.compare_target,
                  begin.store.verified()},
                 begin.control,
                 begin.meters});
  const CompareRun& compare = begin.command.compare;
  if (compare.wanted) {
    LOCKSTEP_ASSIGN(std::vector<TableId> ids,
                    tables_to_compare(prepared.tables, compare.table, manifest.path));
    runner.sweep(std::move(ids));
  }
  begin.state.running(runner, prepared);
  Result<ExitCode> ended = runner.run();
  begin.ending.run_is_over();
  if (compare.wanted)
    *compare.document = sweep_json(
        runner.sweep_status(), prepared.tables, prepared.left_out,
        compare.table.empty() ? begin.aggregates.results() : std::vector<AggregateResult>());
  const RunStatus last = runner.status();
  begin.state.finished(last);  // Before anything that may leave: the runner is about to be gone.
  if (ended == ExitCode::Ok && last.proof && last.proof->complete)
    if (const Status saved = begin.store.save_note(kLastProof, proof_note(*last.proof)); !saved)
      return fail(saved.error());
  return ended;
}

// Runs until somebody stops it; an operator, or a table that may go on, has it prepared again.
// During an abort nothing is prepared; what it broke off is no error, and goes on once it is over,
// however soon somebody resumed.
Result<ExitCode> run_repeatedly(Begin& begin) {
  for (;;) {
    if (begin.state.aborted()) {
      if (!begin.state.park()) return asked_to_stop();
      begin.events.resumed("everything, after an abort");
    }
    Result<ExitCode> ended = run_prepared(begin);
    const bool broken_off = !ended && ended.error().reaction != Reaction::Halt;
    if (begin.state.take_abort() && (ended || broken_off)) continue;
    if (!begin.state.take_resume() || !ended) return ended;
    begin.events.resumed("every table, also those that stopped or came later");
  }
}

// Whether an earlier run came as far as knowing both servers.
bool knows_servers(const Manifest& manifest) {
  const auto checkpoint = open_checkpoint(manifest);
  if (!checkpoint || !*checkpoint) return false;
  const auto identity = (*checkpoint)->identity();
  return identity && !identity->source_system.empty() && !identity->target_system.empty();
}

// Says how the run ended, in the log and in the note that `status` shows.
ExitCode tell_end(Result<ExitCode> ended, const Begin& begin) {
  Events& events = begin.events;
  RocksdbStore& store = begin.store;
  if (!ended && asks_for_resync(ended.error().message))
    ended.error().message += "; " + resync_hint(begin.manifest.path);
  // Asked to stop while it prepared: what was to end synced is not.
  if (!ended && ended.error().reaction == Reaction::Cancel)
    ended = stopped_code(begin.command.ends());
  const bool failed = !ended;
  const ExitCode code = ended ? *ended : ended.error().exit;
  std::string how = failed                        ? ended.error().message
                    : code == ExitCode::Ok        ? "as asked"
                    : code == ExitCode::Temporary ? "before all was applied"
                                                  : "incomplete";
  if (const std::string rest = begin.state.unfinished();
      code == ExitCode::Incomplete && !rest.empty())
    how += ": " + rest;
  events.ended(how, static_cast<int>(code));
  const std::string note = fmt::format("with exit code {}: {}", static_cast<int>(code), how);
  if (code != ExitCode::Ok)
    if (const Status saved = store.save_note(kLastEnd, note); !saved) complain(saved.error());
  return failed ? complain(ended.error()) : code;
}

// One process: what outlives its runs, and what goes on beside them.
class Daemon {
 public:
  Daemon(const Manifest& manifest, RocksdbStore& store)
      : manifest_(manifest),
        store_(store),
        open_events_(open_events(manifest.migration.value, manifest.path)),
        events_(*open_events_),
        told_(store),
        aggregates_(manifest, store),
        steering_(manifest, store, [this](const std::string& what) { events_.steered(what); }),
        state_(manifest, store, steering_, aggregates_),
        aborting_(manifest, {[this] { return steering_.control().aborted(); },
                             [this] { return state_.parked(); }}),
        ending_({[this] { return state_.stopping(); },
                 [this] { return state_.aborted() && !state_.parked(); },
                 std::chrono::floor<std::chrono::seconds>(RunOptions().drain_limit),
                 OpenConnections::shut, leave_hung_process}),
        reload_(manifest, steering_),
        notice_({[this] { return progress_line(state_.run_status()); },
                 [this] { return state_.stuck(); }}) {
    events_.listen([this](const Events::Told& event) {
      told_.add(event);
      meters_.told.add(event.level, event.message);
    });
    state_.answer_by({aborting_, reload_, told_, meters_, history_, version_text()});
  }

  // Listens on the control socket, for signals too.
  Status open(const std::string& socket) {
    if (const auto& dropped = store_.dropped(); !dropped.empty())
      events_.forgotten(dropped.size(), dropped.front());
    LOCKSTEP_TRY(steering_.load());
    const auto hung_up = [this] {
      notice_.reloading();
      const auto outcome = reload_.reload({"SIGHUP", ""});
      events_.reloaded(outcome ? outcome->text() : outcome.error().message);
      notice_.reloaded();
    };
    const auto asked_to_end = [this] {
      notice_.stopping();
      state_.stop();
    };
    LOCKSTEP_ASSIGN(server_, ControlServer::open(socket,
                                                 [this](const ControlRequest& request) {
                                                   return state_.answer(request);
                                                 },
                                                 {asked_to_end, hung_up}));
    told_.listen([this] { server_->wake(); });
    const ListenSection& listen = manifest_.listen;
    if (listen.port == 0) return {};
    std::vector<std::string> shown{kMetricsPath, kLivePath, kReadyPath};
    if (listen.page) shown.insert(shown.end(), {kPagePath, kStatusPath, kHistoryPath, kEventsPath});
    return server_->show({listen.address, listen.port, listen.hosts, std::move(shown)});
  }

  // REQUIRES: open().  `checked`: as in Begin.
  ExitCode run(const RunCommand& command, bool checked) {
    // First, so that it goes last: all that follows may wait for a server.
    const Beside leaving([this] { ending_.run(); }, [this] { ending_.stop(); });
    const Beside control([this] { server_->run(); }, [this] { server_->stop(); });
    notice_.ready();
    const Beside noticing([this] { notice_.run(); }, [this] { notice_.stop(); });
    for (const std::string_view note : {kLastEnd, kLastProof})
      if (const Status forgotten = store_.remove_note(note); !forgotten)
        return complain(forgotten.error());
    RunLog log(events_, {manifest_.migration.value, manifest_.path});
    Begin begin{manifest_,   command, store_,  state_, steering_.control(), events_, log,
                aggregates_, meters_, ending_, checked};
    if (command.compare.wanted && command.compare.table.empty()) aggregates_.ask();
    ResumeWatch watch(manifest_, resume_ports());
    AggregateWatch taking(manifest_, state_, aggregates_, !command.ends());
    const Beside aggregating([&] { taking.run(); }, [&] { taking.stop(); });
    const Beside ending([this] { aborting_.run(); }, [this] { aborting_.stop(); });
    Breakers breakers(steering_.control(),
                      {[this] { return state_.run_status(); }, [this] { return state_.run(); },
                       [this](const std::string& why) {
                         return steering_.pause_free({"apply", "backfill"},
                                                     {std::string(kBreaker), why}, kProbingBreaker);
                       }},
                      {try_breaker({Worker::Lane, Worker::Debts}, Scope::Apply,
                                   "tries to write to the target or to read rows that are owed"),
                       try_breaker({Worker::Scan}, Scope::Backfill, "tries to copy rows"),
                       try_breaker({Worker::Sweep}, Scope::Reconcile, "tries to compare rows")});
    const Beside breaking([&] { breakers.run(); }, [&] { breakers.stop(); });
    const Beside remembering([this] { history_.run(); }, [this] { history_.stop(); });
    LoadWatch load(manifest_, steering_);
    const Beside measuring([&] { load.run(); }, [&] { load.stop(); });
    const Beside watching([&] { watch.run(); }, [&] { watch.stop(); });
    const ExitCode code = tell_end(run_repeatedly(begin), begin);
    ending_.run_ends();  // What goes on beside it may wait for a server, too.
    return code;
  }

 private:
  // Of the workers that a pause of the part holds.
  TryBreaker try_breaker(std::vector<Worker> workers, Scope scope, std::string tries) {
    const std::string part(part_text(scope));
    const std::string actor(kProbingBreaker);
    return {steering_.control(),
            scope,
            std::move(tries),
            {[this, workers = std::move(workers)] { return refused_tries(meters_, workers); },
             [this, part, actor](const std::string& why) {
               return steering_.pause_free({part}, {actor, why});
             },
             [this, part, actor]() -> Status {
               LOCKSTEP_TRY(steering_.resume({part}, {actor, "a probe"}, actor));
               return {};
             }}};
  }

  ResumeWatch::Ports resume_ports() {
    return {[this] { return state_.stopped_tables(); },
            [this](const ResumeWatch::Obstacles& found) { state_.explain(found); },
            [this](const StoppedTable& table) {
              if (const Status noted = state_.restate(table); !noted) complain(noted.error());
            },
            [this](const std::string& table) {
              events_.resumed("table " + table + ": what stopped it may be gone");
              state_.resume();
            }};
  }

  const Manifest& manifest_;
  RocksdbStore& store_;
  const std::unique_ptr<Events> open_events_;
  Events& events_;
  EventLog told_;
  Meters meters_;
  AggregateBoard aggregates_;
  Steering steering_;
  RunState state_;
  History history_{[this] { return state_.run_status(); }};
  AbortWatch aborting_;
  EndWatch ending_;
  Reload reload_;
  ServiceNotice notice_;
  std::unique_ptr<ControlServer> server_;
};

}  // namespace

ExitCode run_command(const RunCommand& command) {
  HeldSignals signals;
  // A core file would hold passwords and rows.
  constexpr rlimit kNone{0, 0};
  ::setrlimit(RLIMIT_CORE, &kNone);
  std::signal(SIGHUP, SIG_IGN);  // A terminal that closes ends nobody; ControlServer answers it.
  auto manifest = load_or_complain(command.manifest, Secrets::Needed);
  if (!manifest) return ExitCode::Config;
  manifest->source.connect.known = manifest->target.connect.known = knows_servers(*manifest);
  const FirstStart first = check_first_start(*manifest);
  if (first.away.empty())
    if (const ExitCode refused = refuse_start(first); refused != ExitCode::Ok) return refused;

  StoreOptions store_options;
  store_options.directory = manifest->state_dir.value.string();
  store_options.identity.migration = manifest->migration.value;
  store_options.socket =
      control_socket_path(manifest->migration.value, manifest->state_dir.value).string();
  const auto store = RocksdbStore::open(store_options);
  if (!store) return complain(store.error());
  Daemon daemon(*manifest, **store);
  if (const Status opened = daemon.open(store_options.socket); !opened)
    return complain(opened.error());
  signals.release();
  return daemon.run(command, first.away.empty());
}

}  // namespace lockstep
