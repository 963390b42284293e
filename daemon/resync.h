// Resync: somebody asks that rows be made equal by comparison, since events of them are lost.
//
//   lockstep resync ──> note of the checkpoint ──> prepare(), which carries it out and removes it
//
// Of single tables: each is healed, and the stream goes on.  Of all: the stream begins anew, at a
// new slot or the present ends of the topics, and every table is healed.
#pragma once

#include <cstdint>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "checkpoint/rocksdb_store.h"
#include "pipeline/base/result.h"
#include "pipeline/model/table.h"

namespace lockstep {

// Where the control socket takes what resync_text() writes.
inline constexpr const char* kResyncPath = "/api/v1/resync";

struct Resync {
  bool all = false;
  std::set<std::string> tables;  // As status names them; empty with `all`.

  bool wanted() const { return all || !tables.empty(); }
};

// One JSON document: {"all": true}, or {"tables": ["public.orders"]}.
std::string resync_text(const Resync& resync);
Result<Resync> parse_resync(std::string_view text);

// What somebody has asked for and no run has carried out yet.
Result<Resync> load_resync(const CheckpointReader& checkpoint);
// Adds to that.  `actor`: as the audit log names people.
Status ask_for_resync(RocksdbStore& store, const Resync& resync, const std::string& actor);
Status forget_resync(RocksdbStore& store);

// Whether a message advises to begin the migration anew, and how that is done without copying.
bool asks_for_resync(std::string_view message);
std::string resync_hint(const std::string& manifest);
// Of a table of which the target lacks `missing` rows, of `rows` that were compared: where that is
// most of them, as after a TRUNCATE, what it looks like and the command that cures it; else "".
std::string resync_advice(const std::string& table, std::uint64_t missing, std::uint64_t rows,
                          const std::string& manifest);

// Whether it can be done with the migration's tables.  Halt, exit Usage: it names one that is none;
// exit Config: rows that only the target has go, and one is meant to keep such rows.
Status check_resync(const Resync& resync, const std::vector<const TableMap*>& tables,
                    const std::string& manifest);

}  // namespace lockstep
