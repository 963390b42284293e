// Whose state directory is it?  Two manifests may name one by mistake: nothing of the one migration
// is told, ordered or taken away in the name of the other.
#pragma once

#include <optional>
#include <string>

#include "checkpoint/checkpoint_reader.h"
#include "checkpoint/state_lock.h"
#include "config/manifest.h"
#include "pipeline/base/result.h"

namespace lockstep {

// The process that owns the manifest's state directory and may be asked or ordered; nothing: there
// is none.  Halt, exit Config: it runs another migration, which is named.
Result<std::optional<LockOwner>> find_owner(const Manifest& manifest);

// What the directory holds of the manifest's migration, beside a running owner or without one;
// nothing: it holds no checkpoint yet.  Halt, exit BadData: it is damaged or another migration's.
Result<std::optional<CheckpointReader>> open_checkpoint(const Manifest& manifest);

// Whether what it holds is of the manifest's migration, whatever else is damaged.  Halt, exit
// BadData: it is another one's; with `Error::code` kUnreadable where that cannot be told.
inline constexpr const char* kUnreadable = "unreadable";
Status check_whose(const Manifest& manifest);

}  // namespace lockstep
