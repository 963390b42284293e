// The findings of a migration, as verbs list them: they lie in the state directory, which is read
// beside a daemon and without one.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <tuple>
#include <vector>

#include "config/manifest.h"
#include "pipeline/base/result.h"
#include "pipeline/ports/verified.h"

namespace lockstep {

// Findings that are alike: ten thousand of them have one cause, as a rule.
struct FindingGroup {
  std::string table;
  FindingKind kind = FindingKind::Differing;
  FindingState state = FindingState::Open;
  std::string columns;  // "qty, price"; kVarious where the groups became too many.
  std::string cause;    // Likewise; of a foreign writer without its transaction.
  std::uint64_t rows = 0;
  std::uint64_t first_id = 0;  // The least of their ids.
  std::string first_key;       // Cells.
};
inline constexpr const char* kVarious = "(various)";

// Counts findings; bounded in memory, however many they are and however they differ.
class FindingGroups {
 public:
  explicit FindingGroups(std::size_t most = 1000) : most_(most) {}

  void add(const Finding& finding);
  // The largest first.  Their rows are all that were added.
  std::vector<FindingGroup> take();

 private:
  using About = std::tuple<std::string, FindingKind, FindingState, std::string, std::string>;
  const std::size_t most_;  // Beyond it, those of a table, kind and state are one group.
  std::map<About, FindingGroup> groups_;
};

struct FindingsFilter {
  std::vector<std::uint64_t> ids;        // None: those that the other two choose.
  std::string table;                     // "": all.
  bool all = false;                      // Also those that are not open any more.
  RepairScope scope = RepairScope::All;  // Others are only counted, ...
  bool undone = true;                    // ... and, if false, those whose repair was taken back.
  bool with_rows = true;                 // They may be large, and many.
  std::uint64_t limit = 10'000;          // Listed, others are counted; grouped are all.
  bool grouped = false;                  // Also by what they have in common.
};

// How much of a table the target lacks.
struct LackingTable {
  std::uint64_t missing = 0;  // Findings that are open.
  std::uint64_t rows = 0;     // Of the source, that were compared.
};

struct FindingsList {
  std::vector<Finding> findings;                // By id.
  std::map<std::uint64_t, Hash128> seen;        // Of these: seen_as(), by id.
  std::uint64_t total = 0;                      // Also those beyond the limit.
  std::uint64_t left_out = 0;                   // Not in the scope.
  std::uint64_t undone = 0;                     // Left out, too.
  std::vector<FindingGroup> groups;             // Where they were asked for: of all of `total`.
  std::map<std::string, LackingTable> lacking;  // Likewise; by table.
};

// Halt, exit Usage: there is no finding with one of the ids.
Result<FindingsList> list_findings(const Manifest& manifest, const FindingsFilter& filter);

}  // namespace lockstep
