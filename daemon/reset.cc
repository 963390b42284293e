#include "daemon/reset.h"

#include <fmt/format.h>

#include <filesystem>
#include <memory>
#include <utility>

#include "checkpoint/state_lock.h"
#include "connectors/postgres/source/slot.h"
#include "connectors/postgres/target/bookkeeping.h"
#include "connectors/postgres/wire/facts.h"
#include "daemon/prepare.h"
#include "daemon/state_directory.h"
#include "daemon/tables.h"

namespace lockstep {
namespace {

std::unexpected<Error> in_use(std::string message) {
  return fail(Reaction::Halt, std::move(message), ExitCode::Temporary);
}

// Both steps on the source share its connection.
using Source = std::shared_ptr<PostgresConnection>;

ResetStep run_on(const Source& source, std::string what, const std::string& sql) {
  return {std::move(what), sql + ";  -- on the source", [source, sql]() -> Status {
            LOCKSTEP_TRY(source->open());
            LOCKSTEP_TRY(source->ask(sql));
            return {};
          }};
}

Status plan_source_steps(const Manifest& manifest, std::vector<ResetStep>& steps) {
  const auto source =
      std::make_shared<PostgresConnection>(connection_options(manifest, Side::Source, "reset"));
  const std::string& slot_name = manifest.source.slot.value;
  LOCKSTEP_ASSIGN(const SlotFacts slot, read_slot(*source, slot_name));
  if (slot.active && manifest.source.debezium)
    return in_use(fmt::format("slot {} is read by pid {} of the source: delete the connector first",
                              slot_name, slot.active_pid));
  if (slot.active)
    return in_use(
        fmt::format("slot {} is read by pid {} of the source: stop the lockstep that "
                    "reads it first",
                    slot_name, slot.active_pid));
  if (slot.exists)
    steps.push_back(run_on(source, fmt::format("drop slot {} of the source", slot_name),
                           "SELECT pg_drop_replication_slot(" + quote_literal(slot_name) + ")"));
  const std::string& name = manifest.source.publication.value;
  LOCKSTEP_ASSIGN(const PublicationFacts publication, read_publication(*source, name, {}));
  if (publication.exists)
    steps.push_back(run_on(source, fmt::format("drop publication {} of the source", name),
                           "DROP PUBLICATION " + quote_identifier(name)));
  return {};
}

Status plan_target_step(const Manifest& manifest, std::vector<ResetStep>& steps) {
  const auto target = std::make_shared<Bookkeeping>(bookkeeping_options(manifest, "reset"));
  LOCKSTEP_ASSIGN(const bool begun, target->exists());
  if (!begun) return {};
  const std::string& schema = manifest.target.schema.value;
  steps.push_back({fmt::format("remove what schema {} of the target remembers of migration {}, and "
                               "the schema once it remembers no other",
                               schema, manifest.migration.value),
                   fmt::format("DROP SCHEMA {} CASCADE;  -- on the target, if it holds no other "
                               "migration and nothing of yours",
                               quote_identifier(schema)),
                   [target]() -> Status {
                     LOCKSTEP_TRY(target->claim());  // What an old process still sends is refused.
                     return target->forget_migration();
                   }});
  return {};
}

// One that another migration has is left alone, and is a reason to take nothing else away either.
// One that is damaged may be in nobody's way, and whose it is is said to be unknown.
Status plan_directory_step(const Manifest& manifest, std::vector<ResetStep>& steps) {
  const std::filesystem::path directory = manifest.state_dir.value;
  std::error_code unknown;
  if (!std::filesystem::exists(directory, unknown)) return {};
  const Status whose = check_whose(manifest);
  if (!whose && whose.error().code != kUnreadable) return fail(whose.error());
  const std::string doubt =
      whose ? ""
            : " (nobody can tell whether it is this migration's: " + whose.error().message + ")";
  steps.push_back({"remove the state directory " + directory.string() + doubt,
                   "rm -r " + directory.string(), [directory]() -> Status {
                     // Only what is ours: the path may have been a mistake.
                     std::error_code failed;
                     for (const char* const name :
                          {"db", "db.new", "seal", "seal.new", "control.sock", "lock"})
                       if (!failed) std::filesystem::remove_all(directory / name, failed);
                     if (failed)
                       return fail(state_error("remove " + directory.string(), failed.value()));
                     // One that holds something else stays.
                     std::filesystem::remove(directory, failed);
                     return {};
                   }});
  return {};
}

}  // namespace

Result<std::vector<ResetStep>> plan_reset(const Manifest& manifest) {
  LOCKSTEP_ASSIGN(const auto owner, find_owner(manifest));
  if (owner)
    return in_use(fmt::format("lockstep runs (pid {}): stop it first, with SIGTERM", owner->pid));
  std::vector<ResetStep> steps;
  LOCKSTEP_TRY(plan_source_steps(manifest, steps));
  LOCKSTEP_TRY(plan_target_step(manifest, steps));
  LOCKSTEP_TRY(plan_directory_step(manifest, steps));
  return steps;
}

}  // namespace lockstep
