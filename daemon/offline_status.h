// offline_status: what `status` says when no daemon runs, from the target and the state directory.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "checkpoint/rocksdb_store.h"
#include "config/manifest.h"
#include "daemon/prepare.h"
#include "pipeline/base/result.h"

namespace lockstep {

// The note of the checkpoint in which a run says why it ended; one that ended as asked, or was
// killed, leaves none.
inline constexpr std::string_view kLastEnd = "last_end";
// The one in which a run says which tables it had to leave out: {"public.orders": "why"}.
inline constexpr std::string_view kLeftOut = "left_out";
// The one in which a run that ended synced says what was proven.
inline constexpr std::string_view kLastProof = "last_proof";

// Writes that one, or removes it when there are none.
Status note_left_out(RocksdbStore& store, const std::vector<LeftOut>& tables);

// The status document (08-manifest.md) with phase "stopped".  The target knows progress, chunks and
// debts; when it is away the document says so.
// Waits for both servers, a few seconds at most.
Result<std::string> offline_status(const Manifest& manifest);

}  // namespace lockstep
