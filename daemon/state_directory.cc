#include "daemon/state_directory.h"

#include <fmt/format.h>

#include <utility>

namespace lockstep {

// An owner of a version before says no migration.
Result<std::optional<LockOwner>> find_owner(const Manifest& manifest) {
  auto owner = read_lock_owner(manifest.state_dir.value.string());
  if (!owner || !*owner || (*owner)->migration.empty() ||
      (*owner)->migration == manifest.migration.value)
    return owner;
  return fail(Reaction::Halt,
              fmt::format("state directory {} belongs to migration '{}', which runs (pid {}), not "
                          "to '{}': nothing was asked of it; give {} a state_dir of its own",
                          (*owner)->directory, (*owner)->migration, (*owner)->pid,
                          manifest.migration.value, manifest.path),
              ExitCode::Config);
}

Result<std::optional<CheckpointReader>> open_checkpoint(const Manifest& manifest) {
  return CheckpointReader::open(manifest.state_dir.value.string(), manifest.migration.value);
}

Status check_whose(const Manifest& manifest) {
  const std::string directory = manifest.state_dir.value.string();
  auto stored = CheckpointReader::migration_of(directory);
  if (!stored) {
    Error error = std::move(stored).error();
    error.code = kUnreadable;
    return fail(std::move(error));
  }
  const MigrationIdentity held{*stored, {}, {}, {}, {}};
  const MigrationIdentity wanted{manifest.migration.value, {}, {}, {}, {}};
  const std::string differences = identity_differences(held, wanted);
  return differences.empty() ? Status() : fail(foreign(directory, differences));
}

}  // namespace lockstep
