// offline_status: what `status` says when no daemon runs, from the target and the state directory.
#pragma once

#include <string>

#include "config/manifest.h"
#include "pipeline/result.h"

namespace lockstep {

// The status document (08-manifest.md) with phase "stopped".  The target knows progress, chunks and
// debts; when it is away the document says so and shows the checkpoint's mirror of progress.
// Waits for both servers, a few seconds at most.
Result<std::string> offline_status(const Manifest& manifest);

}  // namespace lockstep
