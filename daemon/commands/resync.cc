#include "daemon/resync.h"

#include <fmt/format.h>

#include <iostream>

#include "daemon/actor.h"
#include "daemon/commands/commands.h"
#include "daemon/control_client.h"
#include "daemon/tables.h"

namespace lockstep {
namespace {

// Of a migration that does not run.
Status check_tables(const Manifest& manifest, const Resync& resync) {
  PostgresConnection source = connect(manifest, Side::Source, "resync");
  PostgresConnection target = connect(manifest, Side::Target, "resync");
  Bookkeeping bookkeeping(bookkeeping_options(manifest, "resync"));
  LOCKSTEP_ASSIGN(const bool begun, bookkeeping.exists());
  if (!begun)
    return fail(Reaction::Halt,
                fmt::format("the target knows nothing of migration {}: say `existing: heal` in {}, "
                            "and lockstep run {} compares what is there",
                            manifest.migration.value, manifest.path, manifest.path),
                ExitCode::Config);
  LOCKSTEP_ASSIGN(const TablePlan plan, plan_tables(source, target, manifest));
  std::vector<const TableMap*> tables;
  for (const PlannedTable& table : plan.tables)
    if (table.map) tables.push_back(&*table.map);
  return check_resync(resync, tables, manifest.path);
}

// Returns whether a daemon was there to be asked.
Result<bool> ask_running(const Manifest& manifest, const Resync& resync) {
  LOCKSTEP_ASSIGN(const auto owner, await_owner(manifest));
  if (!owner || owner->socket.empty()) return false;
  const auto asked = ask_patiently(*owner, {"POST", kResyncPath, resync_text(resync)});
  if (!asked && asked.error().code == kHasEnded) return false;
  if (!asked) return fail(asked.error());
  return true;
}

Result<bool> ask(const Manifest& manifest, const Resync& resync) {
  LOCKSTEP_ASSIGN(const bool asked, ask_running(manifest, resync));
  if (asked) return true;
  LOCKSTEP_TRY(check_tables(manifest, resync));
  StoreOptions options;
  options.directory = manifest.state_dir.value.string();
  options.identity.migration = manifest.migration.value;
  const auto store = RocksdbStore::open(options);
  // A daemon has begun meanwhile.
  if (!store && store.error().exit == ExitCode::Temporary) return ask_running(manifest, resync);
  if (!store) return fail(store.error());
  LOCKSTEP_TRY(ask_for_resync(**store, resync, own_actor()));
  return false;
}

}  // namespace

ExitCode resync_command(const ResyncCommand& command) {
  const auto manifest = load_or_complain(command.manifest);
  if (!manifest) return ExitCode::Config;
  const Resync resync{command.tables.empty(), {command.tables.begin(), command.tables.end()}};
  const auto running = ask(*manifest, resync);
  if (!running) return complain(running.error());
  if (resync.all)
    std::cout << "the stream begins anew, and every table is compared: what differs is read from "
                 "the source again, and rows that it lacks go\n";
  else
    std::cout << "the table is compared: what differs is read from the source again, and rows that "
                 "it lacks go\n";
  std::cout << (*running ? "lockstep status " + command.manifest + " says how far that is\n"
                         : "lockstep run " + command.manifest + " does it\n");
  return ExitCode::Ok;
}

}  // namespace lockstep
