// What commands ask of the daemon about findings, as documents of the control socket.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "checkpoint/records.h"
#include "pipeline/base/result.h"
#include "pipeline/ports/verified.h"

namespace lockstep {

// POST takes a RepairRequest; either answers a RepairsState.
inline constexpr const char* kRepairPath = "/api/v1/repair";
// POST takes a FindingMark.
inline constexpr const char* kMarkPath = "/api/v1/findings/mark";

// Open findings to be repaired.
struct RepairRequest {
  std::vector<std::uint64_t> ids;
  RepairScope scope = RepairScope::All;
  // What whoever asks has seen of them (seen_as()), by id; others are taken as they are when the
  // request comes.
  std::map<std::uint64_t, Hash128> seen{};
};

// `repair undo` is about to send its statement to the target, or that has ended.
struct UndoWrite {
  std::uint64_t finding = 0;
  bool writes = false;
};

// How it stands with what was asked for.
struct RepairsState {
  std::string waits;      // What keeps them from their end, with the next step; "": nothing.
  std::uint64_t run = 0;  // Which of the daemon's runs it is of: another one knows of no request.
                          // 0: none is under way.
};

// {"ids": [17, 18], "scope": "upsert", "seen": {"17": "00...", "18": "5f..."}}
std::string repair_json(const RepairRequest& request);
// {"id": 17, "state": "undone"}
std::string mark_json(FindingMark mark);
// {"id": 17, "writes": true}
std::string undo_write_json(const UndoWrite& write);
// {"waits": "12 repairs wait ..." or null, "run": 3}
std::string repairs_json(const RepairsState& state);

// Halt, exit Usage: it is no such document.
Result<RepairRequest> parse_repair(const std::string& document);
Result<FindingMark> parse_mark(const std::string& document);
// Nothing: it is a mark.
std::optional<UndoWrite> parse_undo_write(const std::string& document);
Result<RepairsState> parse_repairs(const std::string& document);

// The entries of the audit log, as of now.
AuditEntry audit_of(const RepairRequest& request, const std::string& actor);
AuditEntry audit_of(FindingMark mark, const std::string& actor);

}  // namespace lockstep
