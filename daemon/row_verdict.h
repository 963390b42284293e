// What is known of one row of both sides, and the one sentence that follows from it.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "connectors/postgres/target/bookkeeping.h"
#include "pipeline/base/result.h"
#include "pipeline/model/table.h"
#include "pipeline/ports/reader.h"
#include "pipeline/ports/verified.h"

namespace lockstep {

enum class RowSides : std::uint8_t {
  Unknown,  // Nobody could compare them.
  Equal,
  Absent,  // On both.
  Differing,
  MissingInTarget,
  ExtraInTarget,
};
// "equal", "absent", "differing", "missing_in_target", ...
std::string_view sides_text(RowSides sides);

// One side's row.
struct SideRow {
  bool present = false;
  std::string cells;  // Compared ones (tables/compared.h).
  std::optional<RowWriter> writer;
};

struct RowFacts {
  std::string manifest;  // Its path, for the next step.
  std::string table;
  std::string target_table;
  const TableMap* map = nullptr;  // Nothing: the two tables do not fit, and no more is known.
  std::string key;                // Cells, in the source's form.
  Hash128 key_hash;
  std::string state;   // As `status` calls it.
  std::string reason;  // Why it has stopped or is paused, and what to do.
  std::string held;    // Who holds all writes, or the lanes, and what ends that; "": nobody.
  SideRow source;
  SideRow target;
  RowSides sides = RowSides::Unknown;
  std::vector<std::string> columns;  // Of Differing.
  bool copied = false;               // The chunk of its key.
  bool keeps_rows = false;           // Of the target's own.
  bool running = false;              // A daemon.
  bool proven = false;  // Everything that the source's row stems from is applied, and no more is.
  std::optional<QuarantinedRow> debt;
  std::optional<Finding> finding;
  std::optional<VerifiedRange> verified;  // The range of its key, if that was compared.
  std::optional<Lsn> applied;             // Of the direct stream, by the key's lane.
  std::optional<Xid> last_change;         // That the daemon remembers.
};

struct RowVerdict {
  ExitCode exit = ExitCode::Incomplete;  // Ok equal, Different, Incomplete: not to be told.
  std::string text;                      // A sentence that ends in the next step.
};
RowVerdict row_verdict(const RowFacts& row);

}  // namespace lockstep
