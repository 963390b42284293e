// Ledger: the target's bookkeeping of whole tables.
//
// Every call is blocking and bounded.  A connection that is lost answers Reaction::Retry; the next
// call connects again.  No port is thread-safe unless it says so: each object belongs to one
// thread.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "pipeline/base/result.h"
#include "pipeline/model/table.h"
#include "pipeline/ports/target.h"

namespace lockstep {

struct DebtCount {
  TableId table = 0;
  std::uint64_t open = 0;
  std::uint64_t quarantined = 0;
  std::int64_t oldest_commit_us = 0;  // Of the open ones; 0 when none.
};

// What somebody has made of a table of the target means for its rows.
enum class TargetEffect : std::uint8_t {
  Harmless,  // They go on; an operator should know.
  Replan,    // They go on once they are planned anew: they must take one lane from now on.
  Stop,      // They cannot be written as they were planned.
};

struct TargetChange {
  TableId table = 0;
  TargetEffect effect = TargetEffect::Stop;
  std::string why;  // And what to do.
};

// The target's bookkeeping of whole tables.  Supervisor thread only.
class Ledger {
 public:
  virtual ~Ledger() = default;
  // One entry per table that has debts or quarantined rows.
  virtual Result<std::vector<DebtCount>> count_debts() = 0;
  // Whether the target still has what it has answered (I13).  `committed` tells what lanes have
  // committed; it is asked only where the server may be another one than it was.
  // Halt "target_history": it has lost something.
  virtual Status still_has(const std::function<std::vector<ProgressRow>()>& committed) = 0;
  // What all chunks of the table were read from (I15); `files` as files_text() writes them.
  virtual Status save_files(TableId table, const std::string& files) = 0;
  // The table has stopped, for who asks while no daemon runs.
  virtual Status save_stop(TableId table, const std::string& reason) = 0;
  // No chunk of the table is done any more.
  virtual Status forget_chunks(TableId table) = 0;
  // Tables of which the target's, or a mapped column of it, is not the one that the run began with:
  // it may have its name, and has nothing of what was written.
  virtual Result<std::vector<TableId>> replaced_targets() = 0;
  // What is new about the target's tables since the last call: of the first call all that is worth
  // a word.
  virtual Result<std::vector<TargetChange>> target_changes() = 0;
  // Sessions of others that hold a lock which one of our writing sessions waits for right now, one
  // sentence each: who they are, and the first words of their statement, without values.
  virtual Result<std::vector<std::string>> lock_holders() = 0;
};

}  // namespace lockstep
