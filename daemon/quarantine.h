// Quarantine: rows that were set aside (I17), listed and edited for an operator.
//
//   control socket ──> answer_quarantine ──┐
//   quarantine command without a daemon ───┴─> the target's debt table, the checkpoint's evidence
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "checkpoint/checkpoint_reader.h"
#include "checkpoint/rocksdb_store.h"
#include "config/manifest.h"
#include "daemon/control_server.h"
#include "daemon/show_values.h"
#include "pipeline/base/result.h"

namespace lockstep {

// Where the control socket serves it.
inline constexpr const char* kQuarantinePath = "/api/v1/quarantine";

struct QuarantineQuery {
  ShowValues values = ShowValues::No;  // Keys and event bytes, too.
  std::vector<std::string> ids{};      // None: all; else no more than kIdsMax.
  static constexpr std::size_t kIdsMax = 100;
  static constexpr std::size_t kRowsMax = 10'000;  // Listed.
};
// "/api/v1/quarantine?values=1&ids=a,b".
std::string path_of(const QuarantineQuery& query);

// {"rows": [{"id", "table", "reason", "state", "xid", "commit_time", "attempts", "detail",
// "event_bytes"}], "total", "groups": [{"table", "state", "reason", "detail", "rows",
// "first_id"}]}; with values the rows have also "key", "holder" and "event". `checkpoint` may be
// null: then there are no event bytes.  Waits for the target (and, for keys in their text form, for
// the source).
Result<std::string> quarantine_json(const Manifest& manifest, const CheckpointReader* checkpoint,
                                    const QuarantineQuery& query);

struct QuarantineEdit {
  enum class Verb : std::uint8_t { Retry, Drop };
  Verb verb = Verb::Retry;
  std::vector<std::string> ids;  // None: all.
};

// {"verb": "retry", "ids": [...]}, as POST takes it.
std::string edit_json(const QuarantineEdit& edit);
// Halt with exit code Usage: it is no such document.
Result<QuarantineEdit> parse_edit(const std::string& json);

// Opens rows again, or accepts their difference.  Returns {"changed": N}.  Waits for the target.
Result<std::string> edit_quarantine(const Manifest& manifest, const QuarantineEdit& edit);

// The entry of the audit log for an edit.
AuditEntry audit_of(const QuarantineEdit& edit, const std::string& actor);

// GET lists, POST edits and writes the audit log.
ControlResponse answer_quarantine(const Manifest& manifest, RocksdbStore& store,
                                  const ControlRequest& request);

}  // namespace lockstep
