// VerifiedStore: what reconciliation has compared and found, kept across restarts.
//
// Every call is blocking and bounded.  Losing it costs another comparison, never rows.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "pipeline/base/result.h"
#include "pipeline/model/row.h"
#include "pipeline/model/snapshot.h"
#include "pipeline/ports/reader.h"

namespace lockstep {

// A range of a table's keys, and what is known of it.
struct VerifiedRange {
  KeyRange range;
  std::int64_t at_us = 0;  // When it was last compared whole; 0: it never was.
  // Of the source: every row of it was compared under a snapshot that saw all commits before.
  Lsn position = 0;
  std::uint64_t rows = 0;  // Of the source, then.

  bool known() const { return at_us != 0; }
};

enum class FindingKind : std::uint8_t { MissingInTarget, ExtraInTarget, Differing };
// "missing_in_target", ...
std::string_view kind_text(FindingKind kind);

enum class FindingState : std::uint8_t {
  Open,       // The last look found it so.
  Resolved,   // A later look found the row equal, and we had not repaired it.
  Repairing,  // The row is read again from the source; until a look finds it equal.
  Repaired,   // A later look found it so.
  Undone,     // A person took the repair back: only a person has it repaired again.
};
// Whether the row is not known to be equal by now.
inline bool is_open(FindingState state) {
  return state == FindingState::Open || state == FindingState::Repairing ||
         state == FindingState::Undone;
}
// "open", ...
std::string_view state_text(FindingState state);

// What a person did to a finding.
struct FindingMark {
  std::uint64_t finding = 0;
  // Undone, of one that is repaired; Repaired, of one that is undone: it could not be.
  FindingState to = FindingState::Undone;
};

// Which findings a person has repaired.
enum class RepairScope : std::uint8_t {
  All,
  Upsert,  // Nothing is deleted.
  Insert,  // Only rows that the target lacks: nothing that is there is changed.
};
bool is_in_scope(FindingKind kind, RepairScope scope);
// "all", "upsert", "insert".
std::string_view scope_text(RepairScope scope);
std::optional<RepairScope> parse_scope(std::string_view text);

// A row that differed under fresh snapshots again and again, with nothing under way (V6).
struct Finding {
  std::uint64_t id = 0;  // Of the migration's findings; 0: not saved yet.
  std::string table;     // The source's, as people write it.
  Hash128 key_hash;
  std::string key;  // Cells, in the source's form.
  FindingKind kind = FindingKind::Differing;
  std::vector<std::string> columns;  // Of Differing: as the source calls them.
  std::string cause;                 // As far as the values tell it; else "".
  TargetWriter writer;               // Of the target's row.
  // The compared cells of either side, as the target holds them; "" where there is no such row, or
  // it is too large to be kept.
  std::string source_row;
  std::string target_row;
  Lsn position = 0;                // Of the source, at the last look.
  std::int64_t first_seen_us = 0;  // Microseconds since 1970.
  std::int64_t last_seen_us = 0;
  FindingState state = FindingState::Open;
  std::int64_t state_since_us = 0;  // When it came to its state; 0: nobody noted it.

  // Comes to `to` at `now_us`, unless it is there.
  void become(FindingState to, std::int64_t now_us);
};
// What the values tell, and the writer, for people; "" where nothing is known.
std::string cause_text(const Finding& finding);
// A look at a row that was found before.  A writer that was told to be foreign stays known while
// the target's row is of the same transaction: who came later cannot tell any more whose it was.
void keep_known_writer(TargetWriter& seen, const TargetWriter& known);

// What somebody has seen of a finding that has its rows: its kind and the target's row.
Hash128 seen_as(const Finding& finding);

// That one finding is repaired, of which a person has seen this much.
struct WantedRepair {
  RepairScope scope = RepairScope::All;
  Hash128 seen;
};
using WantedRepairs = std::map<std::uint64_t, WantedRepair>;  // By the findings' ids.

// Used by the sweep's thread.
class VerifiedStore {
 public:
  virtual ~VerifiedStore() = default;

  // All ranges of a table, in no order.
  virtual Result<std::vector<VerifiedRange>> load_ranges(std::string_view table) = 0;
  // Writes `put`, each in place of what begins at its lower bound, and removes what begins at
  // `gone`: all or nothing.
  virtual Status save_ranges(std::string_view table, std::span<const VerifiedRange> put,
                             std::span<const std::optional<std::string>> gone) = 0;
  virtual Status forget_ranges(std::string_view table) = 0;

  // What the ranges of a table that is healed were compared for, as TableLife::missed_as says; "":
  // it is not healed, or nobody knows.
  virtual Result<std::string> load_heal(std::string_view table) = 0;
  virtual Status save_heal(std::string_view table, std::string_view missed) = 0;

  // In which form rows and bounds of a table are stored; "": nobody said so yet.
  virtual Result<std::string> load_shape(std::string_view table) = 0;
  // They have another form from now on: what is stored of the table is forgotten.
  virtual Status begin_shape(std::string_view table, std::string_view shape) = 0;

  // Of which copy of the table its ranges are; "": nobody said so.
  virtual Result<std::string> load_copy(std::string_view table) = 0;
  virtual Status save_copy(std::string_view table, std::string_view copy) = 0;

  // Where the target's log ended when something was last compared with it; 0: nobody said so.
  virtual Result<Lsn> load_target_end() = 0;
  virtual Status save_target_end(Lsn end) = 0;
  // The target may have lost what was written since some time: nothing was compared with this one.
  // Findings that are open stay.
  virtual Status forget_compared() = 0;

  // What is known of a row that was found unequal at some time.
  virtual Result<std::optional<Finding>> find(std::string_view table, const Hash128& key_hash) = 0;
  // The same by its id.
  virtual Result<std::optional<Finding>> find(std::uint64_t id) = 0;
  // Writes a finding in place of what is known of the row; without an id it gets a new one, which
  // is returned.
  virtual Result<std::uint64_t> save_finding(const Finding& finding) = 0;
  virtual Result<std::uint64_t> count_open(std::string_view table) = 0;
  // Removes findings that are not open: those last seen before `before_us`, and, but for the newest
  // `most`, all others.
  virtual Status prune(std::int64_t before_us, std::size_t most) = 0;
  // At most `limit` open findings of a table, without their rows.
  virtual Result<std::vector<Finding>> open_findings(std::string_view table, std::size_t limit) = 0;
};

}  // namespace lockstep
