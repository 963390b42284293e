#include <fmt/format.h>
#include <unistd.h>

#include <iostream>
#include <memory>
#include <optional>
#include <set>

#include "checkpoint/rocksdb_store.h"
#include "config/selection.h"
#include "daemon/commands/commands.h"
#include "daemon/control_server.h"
#include "daemon/offline_status.h"
#include "daemon/prepare.h"
#include "daemon/run_parts.h"
#include "daemon/run_state.h"
#include "daemon/status_json.h"
#include "pipeline/base/backoff.h"
#include "pipeline/ports/events.h"
#include "pipeline/run/runner.h"

namespace lockstep {
namespace {

// Prepares until it succeeds, fails for good, or somebody wants the program to end.
Result<Prepared> prepare_patiently(const Manifest& manifest, RocksdbStore& store, RunState& state,
                                   Events& events) {
  Backoff backoff(1);
  std::string told;
  std::shared_ptr<ExportedSnapshot> exported;
  const auto wait = [&](const std::string& reason, std::chrono::milliseconds time) {
    state.waiting(reason);
    if (reason != told) events.waiting("prepare", reason);
    told = reason;
    return state.wait(time);
  };
  constexpr std::chrono::milliseconds kPause{200};
  for (;;) {
    auto prepared = prepare(
        manifest, store, [&](const std::string& reason) { return wait(reason, kPause); }, exported);
    if (prepared || prepared.error().reaction != Reaction::Retry) return prepared;
    if (!wait(prepared.error().message, backoff.next()))
      return fail(Reaction::Cancel, "asked to stop", ExitCode::Ok);
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

Result<ExitCode> run_prepared(const Manifest& manifest, const RunCommand& command,
                              RocksdbStore& store, RunState& state, Events& events) {
  LOCKSTEP_ASSIGN(const Prepared prepared, prepare_patiently(manifest, store, state, events));
  LOCKSTEP_ASSIGN(RunParts parts, make_parts(manifest, prepared));
  events.started(version_text(), prepared.claim.epoch);
  events.prepared(prepared.tables.size(), prepared.options.progress.size());
  for (const LeftOut& table : prepared.left_out) events.table_stopped(table.table, table.reason);
  const SystemClock clock;
  RunOptions options = prepared.options;
  options.until_synced = command.until_synced;
  options.tables_left_out = !prepared.left_out.empty();
  options.on_progress = [&events](const RunStatus& status) {
    events.progress(progress_line(status));
  };
  share_snapshot(manifest, prepared, options, events);
  options.newcomers = watch_newcomers(manifest, prepared, *parts.marker_probe);
  Runner runner(std::move(options), prepared.tables,
                {*parts.source, *parts.probe, *parts.marker_probe, *parts.proof, *parts.ledger,
                 store, clock, events, std::move(parts.lane_targets), std::move(parts.scans)});
  state.running(runner, prepared.left_out);
  Result<ExitCode> ended = runner.run();
  state.finished(runner.status());
  return ended;
}

}  // namespace

ExitCode run_command(const RunCommand& command) {
  const auto manifest = load_or_complain(command.manifest);
  if (!manifest) return ExitCode::Config;
  const std::vector<Problem> unsupported = check_supported(*manifest);
  for (const Problem& problem : unsupported) std::cerr << problem.print() << "\n";
  if (has_errors(unsupported)) return ExitCode::Config;

  const std::string socket =
      control_socket_path(manifest->migration.value, manifest->state_dir.value).string();
  StoreOptions store_options;
  store_options.directory = manifest->state_dir.value.string();
  store_options.identity.migration = manifest->migration.value;
  store_options.socket = socket;
  const auto store = RocksdbStore::open(store_options);
  if (!store) return complain(store.error());

  Events events(::isatty(STDERR_FILENO) == 1 ? LogFormat::Logfmt : LogFormat::Json,
                manifest->migration.value);
  RunState state(*manifest, **store);
  const auto server = ControlServer::open(
      socket, [&state](const ControlRequest& request) { return state.answer(request); },
      [&state] { state.stop(); });
  if (!server) return complain(server.error());
  const Beside control([&server] { (*server)->run(); }, [&server] { (*server)->stop(); });

  if (const Status forgotten = (*store)->remove_note(kLastEnd); !forgotten)
    return complain(forgotten.error());
  const auto ended = run_prepared(*manifest, command, **store, state, events);
  const bool failed = !ended && ended.error().reaction != Reaction::Cancel;
  const ExitCode code = ended ? *ended : ended.error().exit;
  const std::string how = failed                 ? ended.error().message
                          : code == ExitCode::Ok ? "as asked"
                                                 : "incomplete";
  events.ended(how, static_cast<int>(code));
  const std::string note = fmt::format("with exit code {}: {}", static_cast<int>(code), how);
  if (code != ExitCode::Ok)
    if (const Status saved = (*store)->save_note(kLastEnd, note); !saved) complain(saved.error());
  return failed ? complain(ended.error()) : code;
}

}  // namespace lockstep
